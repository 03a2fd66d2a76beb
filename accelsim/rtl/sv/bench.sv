// A GEMM engine with its three SRAMs, for simulation: words are written into the operand SRAMs
// before `start`, and every write of the engine is seen at the ports.
//
// west_load, north_load   write west_new or north_new to load_address
// west_idle, north_idle, sum_idle   what the ports show when nothing was read
// west_shown, north_shown, sum_shown  an operand word, partial sums stand at the engine's port
// the others              see gemm
module bench #(
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
    parameter int DEPTH = 4096,
    parameter int WRITE_FIRST = 1,
    // Derived, not to be set.
    parameter int SIZE = 21,
    parameter int ADDRESS = 32,
    parameter int WEST = ORGANISATION == 2 ? W : A,
    parameter int NORTH = ORGANISATION == 2 ? A : W
) (
    input  logic                        clk,
    input  logic                        rst,
    input  logic                        west_load,
    input  logic                        north_load,
    input  logic [         ADDRESS-1:0] load_address,
    input  logic [ROWS*LANES*WEST-1:0]  west_new,
    input  logic [COLS*LANES*NORTH-1:0] north_new,
    input  logic [ROWS*LANES*WEST-1:0]  west_idle,
    input  logic [COLS*LANES*NORTH-1:0] north_idle,
    input  logic [        COLS*ACC-1:0] sum_idle,
    input  logic                        start,
    input  logic [            SIZE-1:0] m,
    input  logic [            SIZE-1:0] k,
    input  logic [            SIZE-1:0] n,
    output logic                        busy,
    output logic                        west_shown,
    output logic                        north_shown,
    output logic                        sum_shown,
    output logic                        write,
    output logic [         ADDRESS-1:0] write_address,
    output logic [            COLS-1:0] write_mask,
    output logic [        COLS*ACC-1:0] write_word
);
    logic west_read, north_read, sum_read;
    logic [ADDRESS-1:0] west_address, north_address, sum_address;
    logic [ROWS*LANES*WEST-1:0] west_word;
    logic [COLS*LANES*NORTH-1:0] north_word;
    logic [COLS*ACC-1:0] sum_word;

    gemm #(
        .ORGANISATION(ORGANISATION), .KIND(KIND), .A(A), .W(W), .ROWS(ROWS), .COLS(COLS),
        .LANES(LANES), .ACC(ACC), .OVERFLOW(OVERFLOW), .LATENCY(LATENCY), .INTERVAL(INTERVAL),
        .INTERLEAVE(INTERLEAVE), .OVERLAP(OVERLAP), .SIZE(SIZE), .ADDRESS(ADDRESS)
    ) u_gemm (
        .clk, .rst, .start, .m, .k, .n, .busy, .west_read, .west_address, .west_word, .north_read,
        .north_address, .north_word, .sum_read, .sum_address, .sum_word, .write, .write_address,
        .write_mask, .write_word
    );
    sram #(.WIDTH(ROWS * LANES * WEST), .DEPTH(DEPTH), .ADDRESS(ADDRESS)) u_west (
        .clk, .write(west_load), .write_address(load_address), .mask(1'b1), .d(west_new),
        .read(west_read), .read_address(west_address), .idle(west_idle), .q(west_word),
        .shown(west_shown)
    );
    sram #(.WIDTH(COLS * LANES * NORTH), .DEPTH(DEPTH), .ADDRESS(ADDRESS)) u_north (
        .clk, .write(north_load), .write_address(load_address), .mask(1'b1), .d(north_new),
        .read(north_read), .read_address(north_address), .idle(north_idle), .q(north_word),
        .shown(north_shown)
    );
    sram #(
        .WIDTH(ACC), .ELEMENTS(COLS), .DEPTH(DEPTH), .ADDRESS(ADDRESS), .WRITE_FIRST(WRITE_FIRST)
    ) u_sums (
        .clk, .write, .write_address, .mask(write_mask), .d(write_word), .read(sum_read),
        .read_address(sum_address), .idle(sum_idle), .q(sum_word), .shown(sum_shown)
    );
endmodule
