// Sum of two IEEE 754 numbers, rounded once to nearest even; subnormals and infinities count.
//
// A NaN result is the quiet NaN with sign 0; a sum of opposite numbers is +0. fp16: EXP = 5,
// MAN = 10; bf16: 8, 7; fp32: 8, 23.
//
//   clk    clock of the pipeline registers
//   a, b   1 + EXP + MAN bits
//   y      1 + EXP + MAN bits, STAGES cycles after its operands
//
//       align | add | normalise | round
//   STAGES = 1      |
//            2      |           |
//            3|     |           |
module fp_add #(
    parameter int EXP    = 8,
    parameter int MAN    = 23,
    parameter int STAGES = 0
) (
    input  logic             clk,
    input  logic [EXP+MAN:0] a,
    input  logic [EXP+MAN:0] b,
    output logic [EXP+MAN:0] y
);
    localparam int E    = EXP + 2;
    localparam int TERM = MAN + 4;  // significand, two bits below it, one that says "any below"
    localparam int SUM  = TERM + 1;

    // The number of larger magnitude stays where it is; the difference is then never negative.
    logic swap;
    logic [EXP+MAN:0] major, minor;
    assign swap = a[EXP+MAN-1:0] < b[EXP+MAN-1:0];
    assign {major, minor} = swap ? {b, a} : {a, b};

    logic major_negative, major_zero, major_infinite, major_nan;
    logic minor_negative, minor_zero, minor_infinite, minor_nan;
    logic [EXP-1:0] major_exponent, minor_exponent;
    logic [MAN:0] major_significand, minor_significand;
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_large (
        .number(major), .negative(major_negative), .exponent(major_exponent),
        .significand(major_significand), .zero(major_zero), .infinite(major_infinite),
        .nan(major_nan)
    );
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_small (
        .number(minor), .negative(minor_negative), .exponent(minor_exponent),
        .significand(minor_significand), .zero(minor_zero), .infinite(minor_infinite),
        .nan(minor_nan)
    );

    // Bits that are shifted out are or-ed into the last one: the exact sum lies on the same side.
    localparam int SHIFT = $clog2(TERM);
    logic [EXP-1:0] distance;
    logic [SHIFT-1:0] shift;
    logic [2*TERM-2:0] wide;
    logic [TERM-1:0] term, aligned;
    always_comb begin
        distance = major_exponent - minor_exponent;
        shift    = 32'(distance) > TERM - 1 ? SHIFT'(TERM - 1) : SHIFT'(distance);
        wide     = {minor_significand, 3'b000, {(TERM - 1) {1'b0}}} >> shift;
        term     = {major_significand, 3'b000};
        aligned  = {wide[2*TERM-2:TERM], wide[TERM-1:0] != 0};
    end

    logic subtract, negative, zero_sign, nan, infinite;
    assign subtract  = major_negative != minor_negative;
    assign negative  = major_negative;
    assign zero_sign = major_negative && minor_negative;
    assign nan       = major_nan || minor_nan || minor_infinite && subtract;
    assign infinite  = major_infinite;

    logic [TERM-1:0] term_1, aligned_1;
    logic [EXP-1:0] exponent_1;
    logic subtract_1, negative_1, zero_sign_1, nan_1, infinite_1;
    delay #(.WIDTH(2 * TERM + EXP + 5), .DEPTH(STAGES >= 3 ? 1 : 0)) align_rank (
        .clk,
        .d({term, aligned, major_exponent, subtract, negative, zero_sign, nan, infinite}),
        .q({term_1, aligned_1, exponent_1, subtract_1, negative_1, zero_sign_1, nan_1,
            infinite_1})
    );

    logic [SUM-1:0] sum_1, sum_2;
    logic sign_1, negative_2, nan_2, infinite_2;
    logic [EXP-1:0] exponent_2;
    assign sum_1  = {1'b0, term_1} + ({1'b0, aligned_1} ^ {SUM{subtract_1}}) + SUM'(subtract_1);
    assign sign_1 = sum_1 == 0 ? zero_sign_1 : negative_1;
    delay #(.WIDTH(SUM + EXP + 3), .DEPTH(STAGES >= 1 ? 1 : 0)) add_rank (
        .clk,
        .d({sum_1, exponent_1, infinite_1 ? negative_1 : sign_1, nan_1, infinite_1}),
        .q({sum_2, exponent_2, negative_2, nan_2, infinite_2})
    );

    logic [MAN:0] significand, significand_3;
    logic half, rest, half_3, rest_3, negative_3, nan_3, infinite_3;
    logic [E-1:0] field, field_3;
    fp_normalise #(.EXP(EXP), .MAN(MAN), .WORD(SUM), .RIGHT(0)) normalise (
        .word(sum_2), .exponent(E'(exponent_2) + E'(1)), .significand, .half, .rest, .field
    );
    delay #(.WIDTH(MAN + E + 6), .DEPTH(STAGES >= 2 ? 1 : 0)) normalise_rank (
        .clk,
        .d({significand, half, rest, field, negative_2, nan_2, infinite_2}),
        .q({significand_3, half_3, rest_3, field_3, negative_3, nan_3, infinite_3})
    );

    fp_round #(.EXP(EXP), .MAN(MAN)) round (
        .negative(negative_3), .significand(significand_3), .half(half_3), .rest(rest_3),
        .field(field_3), .nan(nan_3), .infinite(infinite_3), .number(y)
    );
    // verilator lint_off UNUSEDSIGNAL
    logic zeros;  // zeros are significands like others
    // verilator lint_on UNUSEDSIGNAL
    assign zeros = major_zero || minor_zero;
endmodule
