// Dot product of LANES int8 activations and integer weights of W bits, without the accumulation.
//
// Timing: t belongs to the operands given 1 + ceil(log2 LANES) cycles before: a register rank behind
// the multipliers, and one behind each level of the tree.
//
// a      activations, lane 0 lowest, two's complement
// w      weights, lane 0 lowest, two's complement
// valid  a lane that is not valid contributes zero, whatever its a and w show
// t      the sum, exact, two's complement
module dot_int #(
    parameter int LANES = 8,
    parameter int W = 8,
    localparam int T = 8 + W + $clog2(LANES)
) (
    input  logic               clk,
    input  logic [LANES*8-1:0] a,
    input  logic [LANES*W-1:0] w,
    input  logic [LANES-1:0]   valid,
    output logic [T-1:0]       t
);
    logic [LANES*(8+W)-1:0] products;

    for (genvar i = 0; i < LANES; i++) begin : lane
        int_multiplier #(.W(W), .RANKS(1)) multiplier (
            .clk, .valid(valid[i]), .a(a[8*i+:8]), .w(w[W*i+:W]), .y(products[(8+W)*i+:8+W])
        );
    end

    // verilator lint_off UNUSEDSIGNAL
    logic zero;  // no word asks for a carry
    // verilator lint_on UNUSEDSIGNAL
    adder_tree #(.COUNT(LANES), .WIDTH(8 + W)) tree (
        .clk, .x(products), .carries({LANES{1'b0}}), .y(t), .carry(zero)
    );
endmodule
