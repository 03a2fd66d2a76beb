// Systolic output stationary array with its skew and deskew registers.
//
// A word shown in cycle x reaches the operand registers of PE i,j in cycle x + 1 + i + j. Columns
// drain downwards; column j passes COLS - 1 - j deskew registers, so that a whole word leaves at
// once.
//
// clk, rst     clock, synchronous reset
// west         activations, row 0 in the lowest bits   west_valid   rows in use
// north        weights, column 0 in the lowest bits    north_valid  columns in use
// op           operation of these words, see pe_os
// leaving      an output word stands at `south`, row ROWS - 1 of a tile first
// south        sums, column 0 in the lowest bits
module array_os #(
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int ROWS = 2,
    parameter int COLS = 2,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int SUMS = 1,
    parameter int INDEX = 1,
    parameter int OVERLAP = 1
) (
    input  logic                clk,
    input  logic                rst,
    input  logic [  ROWS*A-1:0] west,
    input  logic [    ROWS-1:0] west_valid,
    input  logic [  COLS*W-1:0] north,
    input  logic [    COLS-1:0] north_valid,
    input  logic [   INDEX+3:0] op,
    output logic                leaving,
    output logic [COLS*ACC-1:0] south
);
    logic [COLS-1:0] captured, column, column_leaving;

    genvar i, j;
    generate
        for (i = 0; i < ROWS; i = i + 1) begin : g_west
            logic [A-1:0] a;
            logic a_valid;
            logic [INDEX+3:0] row_op;
            delay #(.WIDTH(A), .DEPTH(i)) u_skew (
                .clk, .d(west[i*A+:A]), .q(a)
            );
            delay_token #(.WIDTH(INDEX + 5), .DEPTH(i)) u_token (
                .clk, .rst, .d({op, west_valid[i]}), .q({row_op, a_valid})
            );
        end
        for (j = 0; j < COLS; j = j + 1) begin : g_north
            logic [W-1:0] w;
            logic w_valid;
            delay #(.WIDTH(W), .DEPTH(j)) u_skew (
                .clk, .d(north[j*W+:W]), .q(w)
            );
            delay_token #(.WIDTH(1), .DEPTH(j)) u_token (
                .clk, .rst, .d(north_valid[j]), .q(w_valid)
            );
        end

        for (i = 0; i < ROWS; i = i + 1) begin : g_row
            for (j = 0; j < COLS; j = j + 1) begin : g_col
                // verilator lint_off UNUSEDSIGNAL
                // What leaves at the last row or column ends there; the last row's capture counts.
                logic [A-1:0] a;
                logic [W-1:0] w;
                logic [INDEX+3:0] op_here;
                logic a_valid, w_valid, captures;
                // verilator lint_on UNUSEDSIGNAL
                logic [A-1:0] a_in;
                logic [W-1:0] w_in;
                logic [INDEX+3:0] op_in;
                logic [ACC-1:0] above, word;
                logic a_valid_in, w_valid_in;
                if (j == 0) begin : g_edge
                    assign a_in = g_west[i].a;
                    assign a_valid_in = g_west[i].a_valid;
                    assign op_in = g_west[i].row_op;
                end else begin : g_left
                    assign a_in = g_row[i].g_col[j-1].a;
                    assign a_valid_in = g_row[i].g_col[j-1].a_valid;
                    assign op_in = g_row[i].g_col[j-1].op_here;
                end
                if (i == 0) begin : g_top
                    assign w_in = g_north[j].w;
                    assign w_valid_in = g_north[j].w_valid;
                    assign above = '0;
                end else begin : g_above
                    assign w_in = g_row[i-1].g_col[j].w;
                    assign w_valid_in = g_row[i-1].g_col[j].w_valid;
                    assign above = g_row[i-1].g_col[j].word;
                end
                pe_os #(
                    .KIND(KIND), .A(A), .W(W), .ACC(ACC), .OVERFLOW(OVERFLOW), .LATENCY(LATENCY),
                    .SUMS(SUMS), .INDEX(INDEX), .OVERLAP(OVERLAP)
                ) u_pe (
                    .clk, .rst, .a_in, .a_valid_in, .op_in, .w_in, .w_valid_in, .a, .a_valid,
                    .op(op_here), .w, .w_valid, .column(column[j]), .above, .word,
                    .captured(captures)
                );
            end
        end

        for (j = 0; j < COLS; j = j + 1) begin : g_south
            assign captured[j] = g_row[ROWS-1].g_col[j].captures;
            assign column[j] = OVERLAP != 0 ? captured[j] : column_leaving[j];
            drain_counter #(.ROWS(ROWS)) u_drain (
                .clk, .rst, .captured(captured[j]), .leaving(column_leaving[j])
            );
            delay #(.WIDTH(ACC), .DEPTH(COLS - 1 - j)) u_deskew (
                .clk, .d(g_row[ROWS-1].g_col[j].word), .q(south[j*ACC+:ACC])
            );
        end
    endgenerate
    assign leaving = column_leaving[COLS-1];
endmodule
