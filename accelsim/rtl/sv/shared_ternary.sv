// PE of LANES ternary adders that share one accumulator: LANES activations and weights a cycle.
//
//   y = (first ? 0 : y) + sum of a * w over the valid lanes,  at each step
//
// Timing: what is given in cycle t stands in the operand registers in cycle t + 1, where selectors,
// tree and adder form the sum; y shows it from cycle t + 2 on. One step per cycle.
//
// rst    synchronous; y needs none, since a first step starts from zero
// step   these operands count; without it y stays
// first  this step starts from zero
// a      activations, lane 0 lowest, two's complement
// w      weights, lane 0 lowest: 00 = 0, 01 = +1, 11 = -1
// valid  a lane that is not valid adds nothing, whatever its a and w show
// y      accumulator, wrapped (OVERFLOW = 0) or saturated once per step (OVERFLOW = 1)
module shared_ternary #(
    parameter int LANES = 4,
    parameter int ACC = 24,
    parameter int OVERFLOW = 0
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               step,
    input  logic               first,
    input  logic [LANES*8-1:0] a,
    input  logic [LANES*2-1:0] w,
    input  logic [LANES-1:0]   valid,
    output logic [ACC-1:0]     y
);
    logic               step_taken;
    logic               first_taken;
    logic [LANES*8-1:0] a_taken;
    logic [LANES*2-1:0] w_taken;
    logic [LANES-1:0]   valid_taken;
    always_ff @(posedge clk) begin : control
        step_taken <= step && !rst;
    end
    always_ff @(posedge clk) begin : operands
        first_taken <= first;
        a_taken     <= a;
        w_taken     <= w;
        valid_taken <= valid;
    end

    logic [LANES*8-1:0] selected;
    logic [LANES-1:0]   negative;
    for (genvar i = 0; i < LANES; i++) begin : lane
        ternary_selector selector (
            .valid(valid_taken[i]), .a(a_taken[8*i+:8]), .w(w_taken[2*i+:2]),
            .y(selected[8*i+:8]), .negative(negative[i])
        );
    end

    // The carry that the tree leaves goes into the accumulator's adder.
    localparam int SUM = 8 + $clog2(LANES);
    logic [SUM-1:0] sum;
    logic           carry;
    adder_tree #(.COUNT(LANES), .WIDTH(8), .PIPELINED(0)) tree (
        .clk, .x(selected), .carries(negative), .y(sum), .carry
    );

    logic [ACC-1:0] c;
    logic [ACC-1:0] next;
    assign c = first_taken ? '0 : y;
    int_adder #(.ACC(ACC), .IN(SUM), .OVERFLOW(OVERFLOW)) adder (
        .clk, .c, .addend(sum), .carry, .y(next)
    );
    always_ff @(posedge clk) begin : accumulator
        if (step_taken) y <= next;
    end
endmodule
