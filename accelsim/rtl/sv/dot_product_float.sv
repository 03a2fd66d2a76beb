// One lane of dot_float: the exact product of two numbers. Combinational.
//
//   a, w          operands, 1 + EXP + MAN bits
//   valid         a lane that is not valid counts as +0 * +0
//   negative      sign of the product
//   exponent      sum of the exponent fields (1 for a subnormal), 0 if the product is zero
//   significand   P = 2 * MAN + 2 bits: product = significand * 2^(exponent - 2 bias - 2 MAN)
//   infinite, nan   the product is that
module dot_product_float #(
    parameter int EXP = 5,
    parameter int MAN = 10,
    parameter int P   = 2 * MAN + 2
) (
    input  logic [EXP+MAN:0] a,
    input  logic [EXP+MAN:0] w,
    input  logic             valid,
    output logic             negative,
    output logic [EXP:0]     exponent,
    output logic [P-1:0]     significand,
    output logic             infinite,
    output logic             nan
);
    logic a_negative, a_zero, a_infinite, a_nan, w_negative, w_zero, w_infinite, w_nan;
    logic [EXP-1:0] a_exponent, w_exponent;
    logic [MAN:0] a_significand, w_significand;
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_a (
        .number(a), .negative(a_negative), .exponent(a_exponent), .significand(a_significand),
        .zero(a_zero), .infinite(a_infinite), .nan(a_nan)
    );
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_w (
        .number(w), .negative(w_negative), .exponent(w_exponent), .significand(w_significand),
        .zero(w_zero), .infinite(w_infinite), .nan(w_nan)
    );
    float_multiply #(.WIDTH(MAN + 1)) multiply (
        .a(a_significand & {(MAN + 1) {valid}}), .w(w_significand), .product(significand)
    );
    assign negative = a_negative ^ w_negative;
    assign exponent = !valid || a_zero || w_zero ? '0 : {1'b0, a_exponent} + {1'b0, w_exponent};
    assign nan = valid && (a_nan || w_nan || a_infinite && w_zero || a_zero && w_infinite);
    assign infinite = valid && !nan && (a_infinite || w_infinite);
endmodule
