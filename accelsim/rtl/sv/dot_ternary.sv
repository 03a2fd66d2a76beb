// Dot product of LANES int8 activations and ternary weights, without the accumulation.
//
//   sum of a * w over the valid lanes = t[T-1:1] + t[0]
//
// Products are inverted, not negated. The tree takes all carries that this leaves but one, and that
// one is for the carry input of the accumulator's adder (sum_int with CARRY = 1).
//
// Timing: t belongs to the operands given 1 + ceil(log2 LANES) cycles before: a register rank behind
// the selectors, and one behind each level of the tree.
//
// a      activations, lane 0 lowest, two's complement
// w      weights, lane 0 lowest: 00 = 0, 01 = +1, 11 = -1
// valid  a lane that is not valid contributes zero, whatever its a and w show
// t      {sum in two's complement, carry}, exact
module dot_ternary #(
    parameter int LANES = 8,
    localparam int T = 9 + $clog2(LANES)
) (
    input  logic               clk,
    input  logic [LANES*8-1:0] a,
    input  logic [LANES*2-1:0] w,
    input  logic [LANES-1:0]   valid,
    output logic [T-1:0]       t
);
    logic [LANES*8-1:0] products;
    logic [LANES-1:0]   carries;
    for (genvar i = 0; i < LANES; i++) begin : lane
        ternary_selector selector (
            .valid(valid[i]), .a(a[8*i+:8]), .w(w[2*i+:2]),
            .y(products[8*i+:8]), .negative(carries[i])
        );
    end

    logic [LANES*8-1:0] products_taken;
    logic [LANES-1:0]   carries_taken;
    delay #(.WIDTH(LANES * 9), .DEPTH(1)) rank (
        .clk, .d({products, carries}), .q({products_taken, carries_taken})
    );
    adder_tree #(.COUNT(LANES), .WIDTH(8)) tree (
        .clk, .x(products_taken), .carries(carries_taken), .y(t[T-1:1]), .carry(t[0])
    );
endmodule
