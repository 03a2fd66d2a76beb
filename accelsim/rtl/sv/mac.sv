// Multiply-accumulate of any kind, the heart of a PE. Integers wrap or saturate, floats round.
//
//   y = reduce ? c + r : step ? c + a * w : c
//
// Timing: y belongs to the operands given STAGES cycles before, combinational behind STAGES register
// ranks. See the module of a kind for where they stand.
//
// KIND  a         w                      r, c, y            module
// 0     int8      ternary (00, 01, 11)   integer, ACC bits  mac_ternary
// 1     int8      int8                   integer, ACC bits  mac_int
// 2     int8      int4                   integer, ACC bits  mac_int
// 3     fp16      fp16                   fp32 (ACC = 32)    mac_float
// 4     bf16      bf16                   fp32 (ACC = 32)    mac_float
// 5     fp32      fp32                   fp32 (ACC = 32)    mac_float
//
// step    add a * w; reduce goes before it
// reduce  add r
// a, w    operands, A and W bits as KIND says
// r       another partial sum
// c       accumulator
// y       next accumulator
module mac #(
    parameter int KIND = 0,
    parameter int ACC = 32,
    parameter int STAGES = 0,
    parameter int OVERFLOW = 0,  // integers: 0 wrap, 1 saturate
    parameter int A = KIND < 3 ? 8 : KIND < 5 ? 16 : 32,
    parameter int W = KIND == 0 ? 2 : KIND == 1 ? 8 : KIND == 2 ? 4 : A
) (
    input  logic           clk,
    input  logic           step,
    input  logic           reduce,
    input  logic [A-1:0]   a,
    input  logic [W-1:0]   w,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
    if (KIND == 0) begin : ternary
        mac_ternary #(.ACC(ACC), .STAGES(STAGES), .OVERFLOW(OVERFLOW)) unit (
            .clk, .step, .reduce, .a, .w, .r, .c, .y
        );
    end else if (KIND < 3) begin : integers
        mac_int #(.ACC(ACC), .STAGES(STAGES), .OVERFLOW(OVERFLOW), .W(W)) unit (
            .clk, .step, .reduce, .a, .w, .r, .c, .y
        );
    end else begin : floats
        localparam int EXP = KIND == 3 ? 5 : 8;
        mac_float #(.ACC(ACC), .STAGES(STAGES), .EXP(EXP), .MAN(A - EXP - 1)) unit (
            .clk, .step, .reduce, .a, .w, .r, .c, .y
        );
    end
endmodule
