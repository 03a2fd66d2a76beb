// A GEMM engine: an array and its control, with ports for three SRAMs (docs/timing.md).
//
// ORGANISATION 0 os, 1 ws, 2 is, 3 dot-product units. os and dot: activations enter from the west,
// weights from the north. ws: activations from the west, weights (held) from the north. is: weights
// from the west, activations (held) from the north. Sums leave at the south.
//
// SRAMs are synchronous: an address given in a cycle is answered in the next. Words not asked for
// may be anything. An element of a word that is not in use may be anything, too.
//
// clk, rst  clock, synchronous reset
// start     begin a GEMM of m x k x n; the sizes stay as they are until `busy` falls
// busy      from the cycle after `start` to the last write
// west_*, north_*  operand SRAMs: read, address, and the word of the address of the cycle before
// sum_*            output SRAM, read: partial sums of the k-fold before (ws and is alone). It is
//                  write-first: an element read in the cycle of its write shows what is written
// write_*          output SRAM, write: address, elements, word
module gemm #(
    parameter int ORGANISATION = 0,
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int ROWS = 2,
    parameter int COLS = 2,
    parameter int LANES = 1,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int INTERVAL = 1,
    parameter int INTERLEAVE = 0,
    parameter int OVERLAP = 1,
    parameter int SIZE = 21,
    parameter int ADDRESS = 32,
    // Bits of one operand at either edge; derived, not to be set.
    parameter int WEST = ORGANISATION == 2 ? W : A,
    parameter int NORTH = ORGANISATION == 2 ? A : W
) (
    input  logic                        clk,
    input  logic                        rst,
    input  logic                        start,
    input  logic [            SIZE-1:0] m,
    input  logic [            SIZE-1:0] k,
    input  logic [            SIZE-1:0] n,
    output logic                        busy,
    output logic                        west_read,
    output logic [         ADDRESS-1:0] west_address,
    input  logic [ROWS*LANES*WEST-1:0]  west_word,
    output logic                        north_read,
    output logic [         ADDRESS-1:0] north_address,
    input  logic [COLS*LANES*NORTH-1:0] north_word,
    output logic                        sum_read,
    output logic [         ADDRESS-1:0] sum_address,
    input  logic [        COLS*ACC-1:0] sum_word,
    output logic                        write,
    output logic [         ADDRESS-1:0] write_address,
    output logic [            COLS-1:0] write_mask,
    output logic [        COLS*ACC-1:0] write_word
);
    // Accumulators of a PE that adds in place.
    localparam int SUMS = INTERLEAVE != 0 ? (LATENCY + INTERVAL - 1) / INTERVAL : 1;
    localparam int INDEX = SUMS > 1 ? $clog2(SUMS) : 1;

    generate
        if (ORGANISATION == 0 || ORGANISATION == 3) begin : g_sums_held
            logic [INDEX+3:0] op;
            logic [ROWS-1:0] row_valid;
            logic [COLS-1:0] col_valid;
            logic [LANES-1:0] lane_valid;
            logic leaving;
            assign north_read  = west_read;
            assign sum_read    = 1'b0;
            assign sum_address = '0;
            // verilator lint_off UNUSEDSIGNAL
            logic unused;  // sums never come back
            // verilator lint_on UNUSEDSIGNAL
            control_os #(
                .ROWS(ROWS), .COLS(COLS), .LANES(LANES), .LATENCY(LATENCY), .INTERVAL(INTERVAL),
                .SUMS(SUMS), .INDEX(INDEX), .OVERLAP(OVERLAP), .SIZE(SIZE), .ADDRESS(ADDRESS)
            ) u_control (
                .clk, .rst, .start, .m, .k, .n, .busy, .read(west_read), .west_address,
                .north_address, .op, .row_valid, .col_valid, .lane_valid, .leaving, .write,
                .write_address, .write_mask
            );
            if (ORGANISATION == 0) begin : g_os
                assign unused = ^{sum_word, lane_valid};
                array_os #(
                    .KIND(KIND), .A(A), .W(W), .ROWS(ROWS), .COLS(COLS), .ACC(ACC),
                    .OVERFLOW(OVERFLOW), .LATENCY(LATENCY), .SUMS(SUMS), .INDEX(INDEX),
                    .OVERLAP(OVERLAP)
                ) u_array (
                    .clk, .rst, .west(west_word), .west_valid(row_valid), .north(north_word),
                    .north_valid(col_valid), .op, .leaving, .south(write_word)
                );
            end else begin : g_dot
                assign unused = ^sum_word;
                array_dot #(
                    .KIND(KIND), .A(A), .W(W), .ROWS(ROWS), .COLS(COLS), .LANES(LANES), .ACC(ACC),
                    .OVERFLOW(OVERFLOW), .LATENCY(LATENCY), .SUMS(SUMS), .INDEX(INDEX),
                    .OVERLAP(OVERLAP)
                ) u_array (
                    .clk, .rst, .west(west_word), .row_valid, .north(north_word), .col_valid,
                    .lane_valid, .op, .leaving, .south(write_word)
                );
            end
        end else begin : g_operands_held
            localparam int IN_STEP = OVERLAP != 0 && LATENCY > 1 ? 1 : 0;
            logic [ROWS-1:0] row_valid;
            logic swap, load, load_last, arriving, add;
            control_held #(
                .ROWS(ROWS), .COLS(COLS), .LATENCY(LATENCY), .INTERVAL(INTERVAL), .OVERLAP(OVERLAP),
                .IN_STEP(IN_STEP), .SIZE(SIZE), .ADDRESS(ADDRESS)
            ) u_control (
                .clk, .rst, .start, .streamed(ORGANISATION == 2 ? n : m), .k,
                .wide(ORGANISATION == 2 ? m : n), .busy, .west_read, .west_address, .row_valid,
                .swap, .north_read, .north_address, .load, .load_last, .arriving, .sum_read,
                .sum_address, .add, .write, .write_address, .write_mask
            );
            array_held #(
                .KIND(KIND), .A(A), .W(W), .HELD_ACTIVATION(ORGANISATION == 2 ? 1 : 0),
                .STREAM(WEST), .HELD(NORTH), .ROWS(ROWS), .COLS(COLS), .ACC(ACC),
                .OVERFLOW(OVERFLOW), .LATENCY(LATENCY), .OVERLAP(OVERLAP)
            ) u_array (
                .clk, .rst, .west(west_word), .west_valid(row_valid), .swap, .north(north_word),
                .load, .load_last, .arriving, .add, .sums(sum_word), .south(write_word)
            );
        end
    endgenerate
endmodule
