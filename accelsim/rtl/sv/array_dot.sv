// Array of dot-product units: words are broadcast along rows and columns, without skew.
//
// The sums of a word shown in cycle x are accumulated in cycle x + 2 + ceil(log2 LANES) in all
// units. Columns drain downwards as in array_os.
//
// clk, rst     clock, synchronous reset
// west         activations, row 0 lowest, of a row lane 0 lowest    row_valid  rows in use
// north        weights, column 0 lowest, of a column lane 0 lowest  col_valid  columns in use
// lane_valid   lanes in use
// op           operation of these words, see pe_dot
// leaving      an output word stands at `south`, row ROWS - 1 of a tile first
// south        sums, column 0 in the lowest bits
module array_dot #(
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int ROWS = 2,
    parameter int COLS = 2,
    parameter int LANES = 4,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int SUMS = 1,
    parameter int INDEX = 1,
    parameter int OVERLAP = 1
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic [ROWS*LANES*A-1:0] west,
    input  logic [        ROWS-1:0] row_valid,
    input  logic [COLS*LANES*W-1:0] north,
    input  logic [        COLS-1:0] col_valid,
    input  logic [       LANES-1:0] lane_valid,
    input  logic [       INDEX+3:0] op,
    output logic                    leaving,
    output logic [    COLS*ACC-1:0] south
);
    // The operation waits for the operand registers, the products and the tree.
    logic [INDEX+3:0] op_now;
    delay_token #(.WIDTH(INDEX + 4), .DEPTH(2 + $clog2(LANES))) u_operation (
        .clk, .rst, .d(op), .q(op_now)
    );

    logic captured;  // all units capture at once
    genvar i, j;
    generate
        for (i = 0; i < ROWS; i = i + 1) begin : g_row
            for (j = 0; j < COLS; j = j + 1) begin : g_col
                // verilator lint_off UNUSEDSIGNAL
                logic captures;  // one unit speaks for all
                // verilator lint_on UNUSEDSIGNAL
                logic [ACC-1:0] above, word;
                logic column;
                if (i == 0) begin : g_top
                    assign above = '0;
                end else begin : g_above
                    assign above = g_row[i-1].g_col[j].word;
                end
                assign column = OVERLAP != 0 ? captured : leaving;
                pe_dot #(
                    .KIND(KIND), .A(A), .W(W), .LANES(LANES), .ACC(ACC), .OVERFLOW(OVERFLOW),
                    .LATENCY(LATENCY), .SUMS(SUMS), .INDEX(INDEX), .OVERLAP(OVERLAP)
                ) u_pe (
                    .clk, .rst, .a_in(west[i*LANES*A+:LANES*A]), .w_in(north[j*LANES*W+:LANES*W]),
                    .valid_in(row_valid[i] && col_valid[j] ? lane_valid : {LANES{1'b0}}),
                    .op(op_now), .column, .above, .word, .captured(captures)
                );
            end
        end
        for (j = 0; j < COLS; j = j + 1) begin : g_south
            assign south[j*ACC+:ACC] = g_row[ROWS-1].g_col[j].word;
        end
    endgenerate
    assign captured = g_row[ROWS-1].g_col[COLS-1].captures;
    drain_counter #(.ROWS(ROWS)) u_drain (
        .clk, .rst, .captured, .leaving
    );
endmodule
