// Activation to int8 code: round(x * scale), ties to even, held within -128 .. 127.
//
// The product is rounded to float32 and then to an integer, as the functional model does; rounding
// once would give another code where the float32 is a tie and the product is not. Subnormal float32
// operands are taken for zero. That changes no code as long as `scale` is a normal number of at
// most 2^125: a smaller x then has |x * scale| <= 1/2. A scale made by quantise_scale is below
// 2^24. An infinite product gives 127 or -128; a NaN (no network has one) gives 0.
//
//   clk     clock of the pipeline registers
//   x       1 + EXP + MAN bits: fp16, bf16 or fp32
//   scale   float32
//   code    int8, STAGES cycles after its operands
//
//       multiply parts | add them | round to float32 | round to integer
//   STAGES = 1                    |
//            2                    |                  |
//            3         |          |                  |
module quantise #(
    parameter int EXP    = 8,
    parameter int MAN    = 23,
    parameter int STAGES = 0
) (
    input  logic             clk,
    input  logic [EXP+MAN:0] x,
    input  logic [31:0]      scale,
    output logic [7:0]       code
);
    localparam int RANKS = STAGES >= 3 ? 2 : STAGES >= 1 ? 1 : 0;

    logic [31:0] wide;
    float_widen #(.EXP(EXP), .MAN(MAN)) widen (.number(x), .wide);

    logic x_negative, x_zero, x_infinite, x_nan, s_negative, s_zero, s_infinite, s_nan;
    logic [7:0] x_exponent, s_exponent;
    logic [23:0] x_significand, s_significand;
    float_decode #(.EXP(8), .MAN(23)) decode_x (
        .number(wide), .negative(x_negative), .exponent(x_exponent), .significand(x_significand),
        .zero(x_zero), .infinite(x_infinite), .nan(x_nan)
    );
    float_decode #(.EXP(8), .MAN(23)) decode_scale (
        .number(scale), .negative(s_negative), .exponent(s_exponent),
        .significand(s_significand), .zero(s_zero), .infinite(s_infinite), .nan(s_nan)
    );

    // exponent: of the bit of the product that is worth 1, biased by 254.
    logic [47:0] product_1;
    logic [8:0] exponent, exponent_1;
    logic negative, nothing, infinite, negative_1, nothing_1, infinite_1;
    float_multiplier #(.WIDTH(24), .RANKS(RANKS)) multiplier (
        .clk, .a(x_significand), .w(s_significand), .product(product_1)
    );
    assign exponent = {1'b0, x_exponent} + {1'b0, s_exponent};
    assign negative = x_negative != s_negative;
    assign infinite = x_infinite || s_infinite;
    assign nothing  = x_nan || s_nan || !x_significand[23] || !s_significand[23];
    delay #(.WIDTH(12), .DEPTH(RANKS)) multiply_rank (
        .clk,
        .d({exponent, negative, nothing, infinite}),
        .q({exponent_1, negative_1, nothing_1, infinite_1})
    );

    // The product of two normal numbers begins with its first or its second bit.
    logic carry, half, rest;
    logic [23:0] kept;
    logic [24:0] rounded;
    assign {kept, half} = product_1[47] ? product_1[47:23] : product_1[46:22];
    assign rest    = product_1[21:0] != 0 || product_1[47] && product_1[22];
    assign rounded = {1'b0, kept} + 25'(half && (rest || kept[0]));
    assign carry   = rounded[24];

    logic [23:0] significand, significand_2;
    logic [8:0] place, place_2;
    logic negative_2, nothing_2, infinite_2;
    assign significand = carry ? rounded[24:1] : rounded[23:0];
    assign place = exponent_1 + 9'(product_1[47]) + 9'(carry);
    delay #(.WIDTH(36), .DEPTH(STAGES >= 2 ? 1 : 0)) round_rank (
        .clk,
        .d({significand, place, negative_1, nothing_1, infinite_1}),
        .q({significand_2, place_2, negative_2, nothing_2, infinite_2})
    );

    // |x * scale| has its first bit at 2^(place - 254): from 128 up it is held, below 1/2 it is 0,
    // between them the first bit is shifted to one of 64's, 32's, .. 1's or the half's place.
    logic [30:0] fixed;
    logic [2:0] shift;
    logic [7:0] magnitude;
    logic held, vanishes;
    assign held     = infinite_2 || place_2 >= 9'd261;
    assign vanishes = nothing_2 || place_2 < 9'd253;
    assign shift = 3'(9'd260 - place_2);
    assign fixed = {significand_2, 7'd0} >> shift;
    assign magnitude = {1'b0, fixed[30:24]} + 8'(fixed[23] && (fixed[22:0] != 0 || fixed[24]));

    always_comb begin
        if (vanishes) code = 8'd0;
        else if (held || magnitude[7]) code = negative_2 ? 8'h80 : 8'h7f;
        else code = negative_2 ? -magnitude : magnitude;
    end
    // verilator lint_off UNUSEDSIGNAL
    logic zeros;  // zeros have no leading bit, as subnormals
    // verilator lint_on UNUSEDSIGNAL
    assign zeros = x_zero || s_zero;
endmodule
