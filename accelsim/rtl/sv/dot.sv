// Dot product of LANES lanes, of any kind, without the accumulation (see sum).
//
// Timing: t belongs to the operands given 1 + ceil(log2 LANES) cycles before: products are
// registered, and each level of the adder tree.
//
// KIND  a     w                     t                           module
// 0     int8  ternary (00, 01, 11)  {integer, carry}            dot_ternary
// 1     int8  int8                  integer                     dot_int
// 2     int8  int4                  integer                     dot_int
// 6     fp16  fp16                  exponent and integer sum    dot_float
// 7     bf16  bf16                  exponent and integer sum    dot_float
//
// a, w   operands, A and W bits a lane, lane 0 lowest
// valid  a lane that is not valid contributes zero, whatever its a and w show
// t      the sum, exact for integers, as sum takes it
module dot #(
    parameter int KIND = 0,
    parameter int LANES = 8,
    parameter int WINDOW = 26 + $clog2(LANES),  // floats: bits that an aligned product keeps
    parameter int A = KIND < 3 ? 8 : 16,
    parameter int W = KIND == 0 ? 2 : KIND == 1 ? 8 : KIND == 2 ? 4 : A,
    parameter int EXP = KIND == 6 ? 5 : 8,      // floats: bits of an exponent
    parameter int T = KIND == 0 ? 9 + $clog2(LANES)
                    : KIND < 3 ? A + W + $clog2(LANES)
                    : EXP + WINDOW + $clog2(LANES) + 4
) (
    input  logic               clk,
    input  logic [LANES*A-1:0] a,
    input  logic [LANES*W-1:0] w,
    input  logic [LANES-1:0]   valid,
    output logic [T-1:0]       t
);
    if (KIND == 0) begin : ternary
        dot_ternary #(.LANES(LANES)) unit (.clk, .a, .w, .valid, .t);
    end else if (KIND < 3) begin : integers
        dot_int #(.LANES(LANES), .W(W)) unit (.clk, .a, .w, .valid, .t);
    end else begin : floats
        dot_float #(.LANES(LANES), .EXP(EXP), .MAN(A - EXP - 1), .WINDOW(WINDOW)) unit (
            .clk, .a, .w, .valid, .t
        );
    end
endmodule
