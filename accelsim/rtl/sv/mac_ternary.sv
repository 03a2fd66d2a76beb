// Multiply-accumulate of an int8 activation and a ternary weight: add, subtract or skip.
//
//   y = reduce ? c + r : step ? c + a * w : c
//
// A weight selects a, its complement with a carry, or nothing; no multiplier, no negation.
//
// Timing: y belongs to the operands given STAGES cycles before. The carry chain of the adder is cut
// into STAGES + 1 segments; the selector is part of the first.
//
// step    add a * w; reduce goes before it
// reduce  add r
// a       activation, two's complement
// w       weight: 00 = 0, 01 = +1, 11 = -1
// r       another partial sum, two's complement
// c       accumulator, two's complement
// y       next accumulator, wrapped (OVERFLOW = 0) or saturated (OVERFLOW = 1)
module mac_ternary #(
    parameter int ACC = 24,
    parameter int STAGES = 0,
    parameter int OVERFLOW = 0
) (
    input  logic           clk,
    input  logic           step,
    input  logic           reduce,
    input  logic [7:0]     a,
    input  logic [1:0]     w,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
    localparam int IN = ACC > 8 ? ACC : 8;  // of the addend

    logic [7:0] selected;
    logic       negative;
    ternary_selector selector (.valid(step && !reduce), .a, .w, .y(selected), .negative);

    // One adder serves both.
    logic [IN-1:0] addend;
    assign addend = reduce ? IN'($signed(r)) : IN'($signed(selected));

    int_adder #(.ACC(ACC), .IN(IN), .SEGMENTS(STAGES + 1), .OVERFLOW(OVERFLOW)) adder (
        .clk, .c, .addend, .carry(negative), .y
    );
endmodule
