// Product of two IEEE 754 numbers, rounded once to nearest even; subnormals and infinities count.
//
// The zeros in front of a product are those of its factors, or one more. So they are counted beside
// the multiplication, and what shifts the product is known when it is.
//
// A NaN result is the quiet NaN with sign 0. fp16: EXP = 5, MAN = 10; bf16: 8, 7; fp32: 8, 23.
//
//   clk    clock of the pipeline registers
//   a, b   1 + EXP + MAN bits
//   y      1 + EXP + MAN bits, STAGES cycles after its operands
//
//       multiply parts | add those of halves | add halves | normalise | round
//   STAGES = 1                                            |
//            2                                            |           |
//            3         |                                  |           |
//            4         |                     |            |           |
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
    localparam int P     = MAN + 1;
    localparam int E     = EXP + 2;
    localparam int BIAS  = 2 ** (EXP - 1) - 1;
    localparam int RANKS = STAGES >= 3 ? STAGES - 1 : STAGES >= 1 ? 1 : 0;
    localparam int ZEROS = $clog2(P + 1);
    localparam int MOST  = MAN + 3;
    localparam int SHIFT = $clog2(MOST + 2 ** (ZEROS + 1));

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

    logic [2*P-1:0] product;
    if (RANKS <= 2) begin : whole
        float_multiplier #(.WIDTH(P), .RANKS(RANKS)) multiplier (
            .clk, .a(a_significand), .w(b_significand), .product
        );
    end else begin : halves
        float_multiplier_halves #(.WIDTH(P)) multiplier (
            .clk, .a(a_significand), .w(b_significand), .product
        );
    end

    // The first bit of the product is worth 2.
    logic signed [E-1:0] exponent, exponent_0;
    logic [ZEROS-1:0] a_zeros, b_zeros, a_zeros_0, b_zeros_0;
    logic negative, nan, infinite, negative_0, nan_0, infinite_0;
    leading_zeros #(.WIDTH(P)) count_a (.word(a_significand), .count(a_zeros));
    leading_zeros #(.WIDTH(P)) count_b (.word(b_significand), .count(b_zeros));
    assign exponent = E'(a_exponent) + E'(b_exponent) - E'(BIAS - 1);
    assign negative = a_negative != b_negative;
    assign nan      = a_nan || b_nan || a_infinite && b_zero || a_zero && b_infinite;
    assign infinite = a_infinite || b_infinite;
    delay #(.WIDTH(2 * ZEROS + E + 3), .DEPTH(RANKS >= 2 ? RANKS - 1 : 0)) part_rank (
        .clk,
        .d({a_zeros, b_zeros, exponent, negative, nan, infinite}),
        .q({a_zeros_0, b_zeros_0, exponent_0, negative_0, nan_0, infinite_0})
    );

    // To the left by the factors' zeros, as long as the exponent stays at 1; a product whose exponent
    // lies below 1 goes to the right, MOST places at most: all of it is then lost.
    logic signed [E-1:0] zeros, above, left, places;
    logic [SHIFT-1:0] shift, shift_1;
    logic [E-1:0] field_1;
    logic negative_1, nan_1, infinite_1;
    assign zeros  = E'(a_zeros_0) + E'(b_zeros_0);
    assign above  = exponent_0 - E'(1);
    assign left   = zeros < above ? zeros : above;
    assign places = left + E'(MOST);
    assign shift  = places < 0 ? '0 : places[SHIFT-1:0];
    delay #(.WIDTH(SHIFT + E + 3), .DEPTH(RANKS == 0 ? 0 : 1)) multiply_rank (
        .clk,
        .d({shift, exponent_0 - left, negative_0, nan_0, infinite_0}),
        .q({shift_1, field_1, negative_1, nan_1, infinite_1})
    );

    logic [MAN:0] significand, significand_2;
    logic half, rest, half_2, rest_2, negative_2, nan_2, infinite_2;
    logic [E-1:0] field_normal, field_2;
    fp_mul_normalise #(.MAN(MAN), .SHIFT(SHIFT), .E(E)) normalise (
        .product, .shift(shift_1), .field(field_1), .significand, .half, .rest, .field_normal
    );
    delay #(.WIDTH(P + E + 5), .DEPTH(STAGES >= 2 ? 1 : 0)) normalise_rank (
        .clk,
        .d({significand, half, rest, field_normal, negative_1, nan_1, infinite_1}),
        .q({significand_2, half_2, rest_2, field_2, negative_2, nan_2, infinite_2})
    );

    fp_round #(.EXP(EXP), .MAN(MAN)) round (
        .negative(negative_2), .significand(significand_2), .half(half_2), .rest(rest_2),
        .field(field_2), .nan(nan_2), .infinite(infinite_2), .number(y)
    );
endmodule
