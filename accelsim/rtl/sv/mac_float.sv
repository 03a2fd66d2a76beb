// Floating-point multiply-add: two numbers of EXP and MAN bits, float32 sum, one rounding.
//
//   y = reduce ? c + r : step ? c + a * w : c
//
// The product is exact and the sum is rounded once, to nearest even (a fused multiply-add of
// IEEE 754 with subnormals, signed zeros and infinities). A NaN result is 7fc00000. With neither
// reduce nor step c passes bit for bit. fp16: EXP = 5, MAN = 10. bf16: 8, 7. fp32: 8, 23.
//
//   clk      clock of the pipeline registers
//   step     add a * w
//   reduce   add r; goes before step
//   a, w     operands, 1 + EXP + MAN bits
//   r, c     float32
//   y        float32, STAGES cycles after its operands, combinational behind the last rank
//
//       multiply | align | add | normalise | round
//   STAGES = 1           |
//            2           |     |
//            3   |       |     |
//            4   |       |     |           |
//
//       multiply | its last addition, compare | align | add | normalise | round
//            5   |                            |       |     |           |
module mac_float #(
    parameter int ACC    = 32,
    parameter int STAGES = 0,
    parameter int EXP    = 5,
    parameter int MAN    = 10
) (
    input  logic             clk,
    input  logic             step,
    input  logic             reduce,
    input  logic [EXP+MAN:0] a,
    input  logic [EXP+MAN:0] w,
    input  logic [ACC-1:0]   r,
    input  logic [ACC-1:0]   c,
    output logic [ACC-1:0]   y
);
    localparam int P    = 2 * MAN + 2;        // bits of a product, the highest worth 2
    localparam int X    = P > 24 ? P : 24;    // a product or a float32
    localparam int BIAS = 2 ** (EXP - 1) - 1;
    localparam int CUT  = STAGES >= 5 ? 1 : 0;  // of the multiplier

    // Leading zeros that a product can bring into the sum. A short product (fp16, bf16) is shifted
    // to the left, to have at most one: its own shifter costs less than the wider window would. A
    // long one (fp32) keeps those of one subnormal factor; two subnormals vanish beside any c, which
    // takes as wide an exponent range as c's.
    localparam int SHORT = P <= 24 ? 1 : 0;
    localparam int ZEROS = SHORT != 0 ? 1 : MAN + 1;
    // c loses bits only if it lies wholly below the product's first bit, and then the sum has at
    // most one leading zero more than the product: 24 bits and the bit that decides on rounding.
    localparam int V = X > ZEROS + 26 ? X : ZEROS + 26;

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
    logic r_negative, r_zero, r_infinite, r_nan;
    logic [7:0] r_exponent;
    logic [23:0] r_significand;
    float_decode #(.EXP(8), .MAN(23)) decode_r (
        .number(r), .negative(r_negative), .exponent(r_exponent), .significand(r_significand),
        .zero(r_zero), .infinite(r_infinite), .nan(r_nan)
    );

    logic [P-1:0] product;
    if (CUT != 0) begin : cut
        float_multiply_cut #(.WIDTH(MAN + 1)) multiply (
            .clk, .a(a_significand), .w(w_significand), .product
        );
    end else begin : whole
        float_multiply #(.WIDTH(MAN + 1)) multiply (.a(a_significand), .w(w_significand), .product);
    end

    // Zeros to shift out of the product, counted while it is made.
    localparam int Z = $clog2(P);
    logic [Z-1:0] zeros;
    if (SHORT != 0) begin : shorten
        localparam int COUNT = $clog2(MAN + 2);
        logic [COUNT-1:0] a_zeros, w_zeros;
        leading_zeros #(.WIDTH(MAN + 1)) count_a (.word(a_significand), .count(a_zeros));
        leading_zeros #(.WIDTH(MAN + 1)) count_w (.word(w_significand), .count(w_zeros));
        assign zeros = reduce ? Z'(0) : Z'(a_zeros) + Z'(w_zeros);
    end else begin : keep
        assign zeros = Z'(0);
    end

    // What is added: r, the product or nothing.
    logic [9:0] exponent;
    logic negative, nothing, infinite, nan, pass;
    always_comb begin
        pass     = !reduce && !step;
        exponent = {2'b0, r_exponent};
        negative = r_negative;
        nothing  = r_zero;
        infinite = r_infinite;
        nan      = r_nan;
        if (!reduce) begin
            exponent = 10'(a_exponent) + 10'(w_exponent) + 10'(128 - 2 * BIAS) - 10'(zeros);
            negative = pass || a_negative != w_negative;  // c + -0 = c, for zeros too
            nothing  = pass || a_zero || w_zero;
            infinite = a_infinite || w_infinite;
            nan      = a_nan || w_nan || a_infinite && w_zero || a_zero && w_infinite;
        end
    end

    logic [Z-1:0] zeros_0;
    logic [9:0] exponent_0;
    logic negative_0, nothing_0, infinite_0, nan_0, pass_0, reduce_0;
    logic [23:0] r_significand_0;
    logic [31:0] c_0;
    delay #(.WIDTH(Z + 72), .DEPTH(CUT)) part_rank (
        .clk,
        .d({zeros, exponent, negative, nothing, infinite, nan, pass, reduce, r_significand, c}),
        .q({zeros_0, exponent_0, negative_0, nothing_0, infinite_0, nan_0, pass_0, reduce_0,
            r_significand_0, c_0})
    );
    logic [X-1:0] addend;
    assign addend = reduce_0 ? {r_significand_0, {(X - 24) {1'b0}}} : {product, {(X - P) {1'b0}}};

    logic [X-1:0] addend_1;
    logic [Z-1:0] zeros_1;
    logic [9:0] exponent_1;
    logic negative_1, nothing_1, infinite_1, nan_1, pass_1;
    logic [31:0] c_1;
    delay #(.WIDTH(X + Z + 47), .DEPTH(STAGES >= 3 ? 1 - CUT : 0)) multiply_rank (
        .clk,
        .d({addend, zeros_0, exponent_0, negative_0, nothing_0, infinite_0, nan_0, pass_0, c_0}),
        .q({addend_1, zeros_1, exponent_1, negative_1, nothing_1, infinite_1, nan_1, pass_1, c_1})
    );

    logic [X-1:0] x;
    assign x = addend_1 << zeros_1;
    float_accumulate #(
        .X(X), .V(V), .FAST(CUT), .COMPARE_RANK(CUT), .ALIGN_RANK(STAGES >= 1 ? 1 : 0),
        .ADD_RANK(STAGES >= 2 ? 1 : 0), .NORMALISE_RANK(STAGES >= 4 ? 1 : 0)
    ) accumulate (
        .clk, .x({1'b0, x}), .x_negative(negative_1), .x_exponent(exponent_1),
        .x_zero(nothing_1), .x_infinite(infinite_1), .x_nan(nan_1), .pass(pass_1), .c(c_1), .y
    );
endmodule
