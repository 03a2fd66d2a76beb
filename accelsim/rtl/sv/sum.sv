// Accumulates the sums of a dot-product unit, of any kind (see dot).
//
//   y = reduce ? c + r : add ? c + t : c
//
// Timing: y belongs to the operands given STAGES cycles before, combinational behind STAGES register
// ranks. See the module of a kind for where they stand.
//
// KIND  t                          r, c, y            module
// 0     {integer, carry}           integer, ACC bits  sum_int
// 1, 2  integer                    integer, ACC bits  sum_int
// 6, 7  exponent and integer sum   fp32 (ACC = 32)    sum_float
//
// add     add t; reduce goes before it
// reduce  add r
// t       sum of a dot-product unit of the same KIND, LANES and WINDOW
// r       another partial sum
// c       accumulator
// y       next accumulator
module sum #(
    parameter int KIND = 0,
    parameter int LANES = 8,
    parameter int ACC = 24,
    parameter int STAGES = 0,
    parameter int OVERFLOW = 0,                 // integers: 0 wrap, 1 saturate
    parameter int WINDOW = 26 + $clog2(LANES),  // floats: see dot
    parameter int EXP = KIND == 6 ? 5 : 8,
    parameter int T = KIND == 0 ? 9 + $clog2(LANES)
                    : KIND == 1 ? 16 + $clog2(LANES)
                    : KIND == 2 ? 12 + $clog2(LANES)
                    : EXP + WINDOW + $clog2(LANES) + 4
) (
    input  logic           clk,
    input  logic           add,
    input  logic           reduce,
    input  logic [T-1:0]   t,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
    if (KIND < 3) begin : integers
        sum_int #(.ACC(ACC), .STAGES(STAGES), .T(T), .CARRY(KIND == 0 ? 1 : 0), .OVERFLOW(OVERFLOW)) unit (
            .clk, .add, .reduce, .t, .r, .c, .y
        );
    end else begin : floats
        sum_float #(
            .ACC(ACC), .STAGES(STAGES), .LANES(LANES), .EXP(EXP), .WINDOW(WINDOW)
        ) unit (.clk, .add, .reduce, .t, .r, .c, .y);
    end
endmodule
