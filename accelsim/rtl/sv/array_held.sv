// Systolic array that holds one operand: weights (ws), or activations (is, operands exchanged).
//
// A streamed word shown in cycle y reaches PE i,j in cycle y + 1 + i * LATENCY + j, just when the
// partial sum from above does, and its sums arrive at the feet of all columns in cycle
// y + ROWS * LATENCY + COLS. There one more adder per column adds the sums of the k-folds before;
// the total stands at `south` LATENCY cycles later. Column j of the held words passes j skew
// registers, its partial sums COLS - 1 - j deskew registers.
//
// clk, rst   clock, synchronous reset
// west       streamed operands, row 0 in the lowest bits   west_valid  rows in use
// swap       first word of a fold, for all rows
// north      held operands, column 0 in the lowest bits
// load       the word at `north` enters the columns; load_last  it is the last of a load
// arriving   in the next cycle partial sums arrive at the feet
// add        add `sums` to the partial sums that are at the feet now, else leave them
// sums       what the output SRAM shows
// south      totals of the partial sums of LATENCY cycles before
module array_held #(
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int HELD_ACTIVATION = 0,
    parameter int STREAM = 8,
    parameter int HELD = 2,
    parameter int ROWS = 2,
    parameter int COLS = 2,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int OVERLAP = 1
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic [ROWS*STREAM-1:0] west,
    input  logic [       ROWS-1:0] west_valid,
    input  logic                   swap,
    input  logic [  COLS*HELD-1:0] north,
    input  logic                   load,
    input  logic                   load_last,
    output logic                   arriving,
    input  logic                   add,
    input  logic [   COLS*ACC-1:0] sums,
    output logic [   COLS*ACC-1:0] south
);
    genvar i, j;
    generate
        for (i = 0; i < ROWS; i = i + 1) begin : g_west
            logic [STREAM-1:0] x;
            logic x_valid, row_swap;
            delay #(.WIDTH(STREAM), .DEPTH(i * LATENCY)) u_skew (
                .clk, .d(west[i*STREAM+:STREAM]), .q(x)
            );
            delay_token #(.WIDTH(2), .DEPTH(i * LATENCY)) u_token (
                .clk, .rst, .d({swap, west_valid[i]}), .q({row_swap, x_valid})
            );
        end
        for (j = 0; j < COLS; j = j + 1) begin : g_north
            logic [HELD-1:0] h;
            logic col_load, col_last;
            delay #(.WIDTH(HELD), .DEPTH(j)) u_skew (
                .clk, .d(north[j*HELD+:HELD]), .q(h)
            );
            delay_token #(.WIDTH(2), .DEPTH(j)) u_token (
                .clk, .rst, .d({load, load_last}), .q({col_load, col_last})
            );
        end

        for (i = 0; i < ROWS; i = i + 1) begin : g_row
            for (j = 0; j < COLS; j = j + 1) begin : g_col
                // verilator lint_off UNUSEDSIGNAL
                // Streamed operands end at the last column, held ones in the last row.
                logic [STREAM-1:0] x;
                logic [HELD-1:0] h;
                logic x_valid, swapped;
                // verilator lint_on UNUSEDSIGNAL
                logic [STREAM-1:0] x_in;
                logic [HELD-1:0] h_in;
                logic [ACC-1:0] sum_in, sum;
                logic x_valid_in, swap_in;
                if (j == 0) begin : g_edge
                    assign x_in = g_west[i].x;
                    assign x_valid_in = g_west[i].x_valid;
                    assign swap_in = g_west[i].row_swap;
                end else begin : g_left
                    assign x_in = g_row[i].g_col[j-1].x;
                    assign x_valid_in = g_row[i].g_col[j-1].x_valid;
                    assign swap_in = g_row[i].g_col[j-1].swapped;
                end
                if (i == 0) begin : g_top
                    assign h_in   = g_north[j].h;
                    assign sum_in = '0;
                end else begin : g_above
                    assign h_in   = g_row[i-1].g_col[j].h;
                    assign sum_in = g_row[i-1].g_col[j].sum;
                end
                pe_held #(
                    .KIND(KIND), .A(A), .W(W), .HELD_ACTIVATION(HELD_ACTIVATION), .STREAM(STREAM),
                    .HELD(HELD), .ACC(ACC), .OVERFLOW(OVERFLOW), .LATENCY(LATENCY),
                    .OVERLAP(OVERLAP)
                ) u_pe (
                    .clk, .rst, .x_in, .x_valid_in, .swap_in, .x, .x_valid, .swap(swapped), .h_in,
                    .h_out(h), .load(g_north[j].col_load), .load_last(g_north[j].col_last), .sum_in,
                    .sum
                );
            end
        end

        // The adder in front of the output SRAM: a multiply-accumulate that never steps.
        for (j = 0; j < COLS; j = j + 1) begin : g_foot
            logic [ACC-1:0] partial, total;
            delay #(.WIDTH(ACC), .DEPTH(COLS - 1 - j)) u_deskew (
                .clk, .d(g_row[ROWS-1].g_col[j].sum), .q(partial)
            );
            mac #(.KIND(KIND), .ACC(ACC), .STAGES(LATENCY - 1), .OVERFLOW(OVERFLOW)) u_adder (
                .clk, .step(1'b0), .reduce(add), .a({A{1'b0}}), .w({W{1'b0}}), .r(sums[j*ACC+:ACC]),
                .c(partial), .y(total)
            );
            always_ff @(posedge clk) south[j*ACC+:ACC] <= total;
        end
    endgenerate

    // The valid bit of row 0 travels with the partial sums of the last column, which arrive last.
    delay_token #(.WIDTH(1), .DEPTH(ROWS * LATENCY - 1)) u_presence (
        .clk, .rst, .d(g_row[0].g_col[COLS-1].x_valid), .q(arriving)
    );
endmodule
