// Adds a number to a float32 and rounds once: what mac_float and sum_float have in common.
//
// y = c + x exactly, rounded to nearest even, as long as the window of V bits is wide enough
// for its user (who states why); IEEE 754 subnormals, zeros, infinities; every NaN is 7fc00000.
//
//   clk          clock of the pipeline registers
//   x            X + 1 bits, signed; the addend is x, or -x if x_negative
//   x_negative   see x; also the sign of a zero or an infinite x
//   x_exponent   weight of bit X - 1 of x, biased as in float32; c's largest and least exponent
//                are 254 and 1, and the difference must fit 10 bits
//   x_zero       the addend is zero whatever x shows
//   x_infinite, x_nan   the addend is that, whatever x shows
//   pass         y is c, bit for bit (with x_zero and x_negative set)
//   c            float32
//   y            float32, as many cycles later as there are ranks
//
//       compare | align | add | normalise | round     a rank at each bar whose parameter is not 0
//
// FAST: the adder and the counter of leading zeros are of least depth; x must not be negative.
module float_accumulate #(
    parameter int X = 24,
    parameter int V = 27,
    parameter int FAST = 0,
    parameter int COMPARE_RANK = 0,
    parameter int ALIGN_RANK = 0,
    parameter int ADD_RANK = 0,
    parameter int NORMALISE_RANK = 0
) (
    input  logic        clk,
    input  logic [X:0]  x,
    input  logic        x_negative,
    input  logic [9:0]  x_exponent,
    input  logic        x_zero,
    input  logic        x_infinite,
    input  logic        x_nan,
    input  logic        pass,
    input  logic [31:0] c,
    output logic [31:0] y
);
    localparam int SUM = V + 2;
    localparam int D   = $clog2(V + 2);

    // Special values, found beside the comparison.
    logic c_infinite, c_nan, nan, infinite, infinite_sign;
    assign c_infinite    = c[30:0] == 31'h7f800000;
    assign c_nan         = c[30:0] > 31'h7f800000;
    assign infinite      = !pass && (x_infinite || c_infinite);
    assign infinite_sign = x_infinite ? x_negative : c[31];
    assign nan = !pass && (x_nan || c_nan || x_infinite && c_infinite && x_negative != c[31]);

    logic x_stays;
    logic [D-1:0] shift;
    logic [9:0] exponent;
    float_compare #(.V(V)) compare (
        .x_exponent, .x_zero, .c_field(c[30:23]), .x_stays, .shift, .exponent
    );

    logic [X:0] x_0;
    logic x_negative_0, x_zero_0, x_stays_0, infinite_sign_0;
    logic [31:0] c_0;
    logic [D-1:0] shift_0;
    logic [9:0] exponent_0;
    logic [2:0] special_0;
    delay #(.WIDTH(X + D + 50), .DEPTH(COMPARE_RANK)) compare_rank (
        .clk,
        .d({x, x_negative, x_zero, c, x_stays, shift, exponent, infinite_sign,
            pass, nan, infinite}),
        .q({x_0, x_negative_0, x_zero_0, c_0, x_stays_0, shift_0, exponent_0, infinite_sign_0,
            special_0})
    );

    logic [SUM-1:0] larger, smaller;
    logic carry;
    float_align #(.X(X), .V(V)) align (
        .x(x_0), .x_negative(x_negative_0), .x_zero(x_zero_0), .x_stays(x_stays_0),
        .shift(shift_0), .c(c_0), .larger, .smaller, .carry
    );

    logic [SUM-1:0] larger_1, smaller_1;
    logic carry_1, x_negative_1, zero_sign_1, infinite_sign_1;
    logic [9:0] exponent_1;
    logic [2:0] special_1;
    delay #(.WIDTH(2 * SUM + 17), .DEPTH(ALIGN_RANK)) align_rank (
        .clk,
        .d({larger, smaller, carry, exponent_0, x_negative_0, x_negative_0 & c_0[31],
            infinite_sign_0, special_0}),
        .q({larger_1, smaller_1, carry_1, exponent_1, x_negative_1, zero_sign_1, infinite_sign_1,
            special_1})
    );

    logic sum_negative;
    logic [SUM-1:0] magnitude;
    if (FAST != 0) begin : fast
        float_add_fast #(.SUM(SUM)) add (
            .larger(larger_1), .smaller(smaller_1), .carry(carry_1), .x_negative(x_negative_1),
            .zero_sign(zero_sign_1), .negative(sum_negative), .magnitude
        );
    end else begin : plain
        float_add #(.SUM(SUM)) add (
            .larger(larger_1), .smaller(smaller_1), .carry(carry_1), .x_negative(x_negative_1),
            .zero_sign(zero_sign_1), .negative(sum_negative), .magnitude
        );
    end

    logic negative_2;
    logic [SUM-1:0] magnitude_2;
    logic [9:0] exponent_2;
    logic [2:0] special_2;
    delay #(.WIDTH(SUM + 14), .DEPTH(ADD_RANK)) add_rank (
        .clk,
        .d({magnitude, exponent_1, special_1[0] ? infinite_sign_1 : sum_negative, special_1}),
        .q({magnitude_2, exponent_2, negative_2, special_2})
    );

    logic [23:0] significand;
    logic half, rest;
    logic [9:0] field;
    float_normalise #(.SUM(SUM), .FAST(FAST)) normalise (
        .magnitude(magnitude_2), .exponent(exponent_2), .significand, .half, .rest, .field
    );

    logic [23:0] significand_3;
    logic half_3, rest_3, negative_3, pass_3, nan_3, infinite_3;
    logic [9:0] field_3;
    delay #(.WIDTH(40), .DEPTH(NORMALISE_RANK)) normalise_rank (
        .clk,
        .d({significand, half, rest, field, negative_2, special_2}),
        .q({significand_3, half_3, rest_3, field_3, negative_3, pass_3, nan_3, infinite_3})
    );

    float_round round (
        .negative(negative_3), .significand(significand_3), .half(half_3), .rest(rest_3),
        .field(field_3), .pass(pass_3), .nan(nan_3), .infinite(infinite_3), .y
    );
endmodule
