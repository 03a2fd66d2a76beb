// Fused floating-point dot product of LANES lanes: exact products, aligned to the largest
// exponent, added as integers. sum_float adds the result to a float32 and normalises.
//
//   clk     clock
//   a, w    LANES operands of 1 + EXP + MAN bits, lane 0 in the lowest bits
//   valid   one bit a lane; a lane that is not valid contributes nothing
//   t       {special, exponent, sum}, 1 + ceil(log2 LANES) cycles after its operands:
//             special    2 bits: 0 a number, 1 NaN, 2 +infinite, 3 -infinite
//             exponent   EXP + 1 bits: e, largest sum of two exponent fields (a subnormal counts
//                        as 1) of the lanes whose product is not zero; 0 if there is none
//             sum        signed, WINDOW + ceil(log2 LANES) + 1 bits
//           t = sum * 2^(e - 2 * bias + 2 - WINDOW),  bias = 2^(EXP - 1) - 1
//
// What is exact and what is not. A product has P = 2 * MAN + 2 bits and is exact. Aligned, it
// keeps its WINDOW bits of weight 2^(e - 2 bias + 1) and below; what lies lower is cut off its
// magnitude (towards zero). Nothing is cut from a product whose exponent is less than
// WINDOW - P + 1 below e, so that t is exact if all are; in any case t is off by less than
// LANES - 1 units of its last place (WINDOW >= P). The addition is exact.
//
// WINDOW = 26 + ceil(log2 LANES) is what float32 sums deserve: all that a step cuts off, c in
// sum_float included, is less than half a unit in the last place of a float32 as large as the
// least normal product with exponent e.
//
//       multiply, compare | compare, align | add 4 | add 2 | ...     a register at each bar,
//   LANES = 2             |      and add 2 |                         and one at the end
//   LANES = 1             |
module dot_float #(
    parameter int LANES  = 4,
    parameter int EXP    = 5,
    parameter int MAN    = 10,
    parameter int WINDOW = 26 + $clog2(LANES),
    parameter int LEVELS = $clog2(LANES),
    parameter int T      = EXP + WINDOW + LEVELS + 4
) (
    input  logic                         clk,
    input  logic [LANES*(EXP+MAN+1)-1:0] a,
    input  logic [LANES*(EXP+MAN+1)-1:0] w,
    input  logic [LANES-1:0]             valid,
    output logic [T-1:0]                 t
);
    localparam int N = EXP + MAN + 1;
    localparam int P = 2 * MAN + 2;
    localparam int E = EXP + 1;

    // Products, and the largest exponent of every NEAR lanes beside them: up to three comparisons
    // take about as long as a multiplication.
    localparam int NEAR = 2 ** (LEVELS < 3 ? LEVELS : 3);
    localparam int FAR  = (LANES + NEAR - 1) / NEAR;

    logic [LANES-1:0] negative, infinite, nan;
    logic [LANES*E-1:0] exponents;
    logic [LANES*P-1:0] significands;
    for (genvar i = 0; i < LANES; i = i + 1) begin : lane
        dot_product_float #(.EXP(EXP), .MAN(MAN)) product (
            .a(a[i*N+:N]), .w(w[i*N+:N]), .valid(valid[i]), .negative(negative[i]),
            .exponent(exponents[i*E+:E]), .significand(significands[i*P+:P]),
            .infinite(infinite[i]), .nan(nan[i])
        );
    end
    logic [FAR*E-1:0] largest_near;
    largest_groups #(.COUNT(LANES), .GROUP(NEAR), .WIDTH(E)) near (
        .words(exponents), .largest(largest_near)
    );
    logic plus_infinite, minus_infinite, any_nan;
    logic [1:0] special;
    assign plus_infinite  = (infinite & ~negative) != 0;
    assign minus_infinite = (infinite & negative) != 0;
    assign any_nan = nan != 0 || plus_infinite && minus_infinite;
    assign special = {!any_nan && (plus_infinite || minus_infinite), any_nan || minus_infinite};

    logic [LANES-1:0] negative_p;
    logic [LANES*E-1:0] exponents_p;
    logic [LANES*P-1:0] significands_p;
    logic [FAR*E-1:0] largest_near_p;
    logic [1:0] special_p;
    delay #(.WIDTH(LANES * (1 + E + P) + FAR * E + 2)) product_rank (
        .clk,
        .d({negative, exponents, significands, largest_near, special}),
        .q({negative_p, exponents_p, significands_p, largest_near_p, special_p})
    );

    // Alignment to the largest exponent of all.
    logic [E-1:0] largest;
    largest_groups #(.COUNT(FAR), .GROUP(2 ** LEVELS / NEAR), .WIDTH(E)) far (
        .words(largest_near_p), .largest
    );
    logic [LANES*(WINDOW+1)-1:0] aligned;
    for (genvar i = 0; i < LANES; i = i + 1) begin : align
        float_window #(.E(E), .P(P), .WINDOW(WINDOW)) window (
            .largest, .exponent(exponents_p[i*E+:E]), .significand(significands_p[i*P+:P]),
            .complement(negative_p[i]), .aligned(aligned[i*(WINDOW+1)+:WINDOW+1])
        );
    end

    logic [LANES*(WINDOW+1)-1:0] aligned_1;
    logic [LANES-1:0] negative_1;
    logic [E+1:0] scale_1;  // special and exponent
    delay #(
        .WIDTH(LANES * (WINDOW + 2) + E + 2), .DEPTH(LEVELS >= 2 ? 1 : 0)
    ) align_rank (
        .clk, .d({aligned, negative_p, special_p, largest}), .q({aligned_1, negative_1, scale_1})
    );

    // Addition: two levels of the tree at once, then one at a time.
    localparam int FIRST = LEVELS < 2 ? LEVELS : 2;
    localparam int FOURS = (LANES + 2 ** FIRST - 1) / 2 ** FIRST;
    localparam int WIDTH = WINDOW + 1 + FIRST;
    logic [FOURS*WIDTH-1:0] sums, sums_2;
    logic [E+1:0] scale_2;
    sum_groups #(.COUNT(LANES), .GROUP(2 ** FIRST), .WIDTH(WINDOW + 1)) add (
        .words(aligned_1), .plus(negative_1), .sums
    );
    delay #(.WIDTH(FOURS * WIDTH + E + 2), .DEPTH(LEVELS >= 1 ? 1 : 0)) add_rank (
        .clk, .d({sums, scale_1}), .q({sums_2, scale_2})
    );
    // verilator lint_off UNUSEDSIGNAL
    logic zero;  // no word asks for a carry any more
    // verilator lint_on UNUSEDSIGNAL
    adder_tree #(.COUNT(FOURS), .WIDTH(WIDTH)) tree (
        .clk, .x(sums_2), .carries({FOURS{1'b0}}), .y(t[WINDOW+LEVELS:0]), .carry(zero)
    );
    delay #(.WIDTH(E + 2), .DEPTH(LEVELS - FIRST)) scale_delay (
        .clk, .d(scale_2), .q(t[T-1:WINDOW+LEVELS+1])
    );
endmodule
