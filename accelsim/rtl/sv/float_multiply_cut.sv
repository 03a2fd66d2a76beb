// Exact product of two significands, cut by one register rank: partial products, added to two words
// without carries that run | their sum.
//
// Timing: product belongs to the operands given in the cycle before, combinational behind the rank.
//
//   clk       clock of the rank
//   a, w      WIDTH bits, unsigned
//   product   2 * WIDTH bits
module float_multiply_cut #(
    parameter int WIDTH = 24
) (
    input  logic               clk,
    input  logic [WIDTH-1:0]   a,
    input  logic [WIDTH-1:0]   w,
    output logic [2*WIDTH-1:0] product
);
    localparam int P = 2 * WIDTH;

    logic [WIDTH*P-1:0] partial;
    for (genvar i = 0; i < WIDTH; i++) begin : place
        assign partial[i*P+:P] = P'(a & {WIDTH{w[i]}}) << i;
    end
    logic [P-1:0] sum, carry, sum_1, carry_1;
    carry_save #(.COUNT(WIDTH), .WIDTH(P)) reduce (.words(partial), .sum, .carry);
    delay #(.WIDTH(2 * P), .DEPTH(1)) rank (.clk, .d({sum, carry}), .q({sum_1, carry_1}));

    logic [P-2:0] generates;
    // verilator lint_off UNUSEDSIGNAL
    logic [P-2:0] propagates;  // no carry comes in
    // verilator lint_on UNUSEDSIGNAL
    prefix_add #(.WIDTH(P - 1)) add (
        .a(sum_1[P-2:0]), .b(carry_1[P-2:0]), .generates, .propagates
    );
    assign product = sum_1 ^ carry_1 ^ {generates, 1'b0};
endmodule
