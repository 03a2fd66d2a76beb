// Product of two IEEE 754 numbers, rounded once to nearest even; subnormals and infinities count.
//
// A NaN result is the quiet NaN with sign 0. fp16: EXP = 5, MAN = 10; bf16: 8, 7; fp32: 8, 23.
//
//   clk    clock of the pipeline registers
//   a, b   1 + EXP + MAN bits
//   y      1 + EXP + MAN bits, STAGES cycles after its operands
//
//       multiply | normalise | round
//   STAGES = 1   |
//            2   |           |
module fp_mul #(
    parameter int EXP    = 8,
    parameter int MAN    = 23,
    parameter int STAGES = 0
) (
    input  logic             clk,
    input  logic [EXP+MAN:0] a,
    input  logic [EXP+MAN:0] b,
    output logic [EXP+MAN:0] y
);
    localparam int P    = MAN + 1;
    localparam int E    = EXP + 2;
    localparam int BIAS = 2 ** (EXP - 1) - 1;

    logic a_negative, a_zero, a_infinite, a_nan, b_negative, b_zero, b_infinite, b_nan;
    logic [EXP-1:0] a_exponent, b_exponent;
    logic [MAN:0] a_significand, b_significand;
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_a (
        .number(a), .negative(a_negative), .exponent(a_exponent), .significand(a_significand),
        .zero(a_zero), .infinite(a_infinite), .nan(a_nan)
    );
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_b (
        .number(b), .negative(b_negative), .exponent(b_exponent), .significand(b_significand),
        .zero(b_zero), .infinite(b_infinite), .nan(b_nan)
    );

    logic [2*P-1:0] product, product_1;
    float_multiply #(.WIDTH(P)) multiply (.a(a_significand), .w(b_significand), .product);

    // The first bit of the product is worth 2.
    logic [E-1:0] exponent, exponent_1;
    logic negative, nan, infinite, negative_1, nan_1, infinite_1;
    assign exponent = E'(a_exponent) + E'(b_exponent) - E'(BIAS - 1);
    assign negative = a_negative != b_negative;
    assign nan      = a_nan || b_nan || a_infinite && b_zero || a_zero && b_infinite;
    assign infinite = a_infinite || b_infinite;
    delay #(.WIDTH(2 * P + E + 3), .DEPTH(STAGES >= 1 ? 1 : 0)) multiply_rank (
        .clk,
        .d({product, exponent, negative, nan, infinite}),
        .q({product_1, exponent_1, negative_1, nan_1, infinite_1})
    );

    logic [MAN:0] significand, significand_2;
    logic half, rest, half_2, rest_2, negative_2, nan_2, infinite_2;
    logic [E-1:0] field, field_2;
    fp_normalise #(.EXP(EXP), .MAN(MAN), .WORD(2 * P)) normalise (
        .word(product_1), .exponent(exponent_1), .significand, .half, .rest, .field
    );
    delay #(.WIDTH(P + E + 5), .DEPTH(STAGES >= 2 ? 1 : 0)) normalise_rank (
        .clk,
        .d({significand, half, rest, field, negative_1, nan_1, infinite_1}),
        .q({significand_2, half_2, rest_2, field_2, negative_2, nan_2, infinite_2})
    );

    fp_round #(.EXP(EXP), .MAN(MAN)) round (
        .negative(negative_2), .significand(significand_2), .half(half_2), .rest(rest_2),
        .field(field_2), .nan(nan_2), .infinite(infinite_2), .number(y)
    );
endmodule
