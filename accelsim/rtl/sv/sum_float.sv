// Accumulate path behind dot_float: adds its result to a float32, normalises and rounds once.
//
//   y = reduce ? c + r : add ? c + t : c
//
// c + r is a float32 addition of IEEE 754. c + t is rounded once, to nearest even, but bits of c
// more than TAIL places below the last place of t are jammed: their sum counts as half a unit of
// the first place that is cut off. TAIL = 25 makes c + t exactly rounded; with TAIL = 0, c is
// treated like one more product of dot_float (see WINDOW there), and y is off by less than one
// unit of the last place of t before it is rounded. Nothing is lost where c is larger than t
// could be or t is zero. t = 0 counts as +0. A NaN result is 7fc00000. With neither reduce nor
// add c passes bit for bit.
//
//   clk      clock of the pipeline registers
//   add      add t
//   reduce   add r; goes before add
//   t        see dot_float, of the same LANES, EXP and WINDOW
//   r, c     float32
//   y        float32, STAGES cycles after its operands, combinational behind the last rank
//
//       select | align | add | normalise | round
//   STAGES = 1               |
//            2         |     |
//            3         |     |           |
//            4 |       |     |           |
//
//       select | compare | align | add | normalise | round
//            5 |         |       |     |           |
module sum_float #(
    parameter int ACC    = 32,
    parameter int STAGES = 0,
    parameter int LANES  = 4,
    parameter int EXP    = 5,
    parameter int WINDOW = 26 + $clog2(LANES),
    parameter int TAIL   = 0,
    parameter int T      = EXP + WINDOW + $clog2(LANES) + 4
) (
    input  logic           clk,
    input  logic           add,
    input  logic           reduce,
    input  logic [T-1:0]   t,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
    localparam int BIAS = 2 ** (EXP - 1) - 1;
    localparam int S    = WINDOW + $clog2(LANES);          // bits of |sum|
    localparam int X    = S > 24 ? S : 24;                 // of a sum or a float32
    localparam int V    = X + TAIL > 27 ? X + TAIL : 27;   // 27: see mac_float

    logic [1:0] special;
    logic [EXP:0] t_exponent;
    logic [S:0] sum;
    assign {special, t_exponent, sum} = t;

    logic r_negative, r_zero, r_infinite, r_nan;
    logic [7:0] r_exponent;
    logic [23:0] r_significand;
    float_decode #(.EXP(8), .MAN(23)) decode_r (
        .number(r), .negative(r_negative), .exponent(r_exponent), .significand(r_significand),
        .zero(r_zero), .infinite(r_infinite), .nan(r_nan)
    );

    // What is added: r, t or nothing.
    logic [X:0] x;
    logic [9:0] exponent;
    logic negative, nothing, infinite, nan, pass;
    always_comb begin
        pass     = !reduce && !add;
        x        = {1'b0, r_significand, {(X - 24) {1'b0}}};
        exponent = {2'b0, r_exponent};
        negative = r_negative;
        nothing  = r_zero;
        infinite = r_infinite;
        nan      = r_nan;
        if (!reduce) begin
            x        = {sum, {(X - S) {1'b0}}};
            exponent = 10'(t_exponent) + 10'(128 - 2 * BIAS + $clog2(LANES));
            negative = pass || special == 2'd3;  // c + -0 = c, for zeros too
            nothing  = pass || sum == 0;
            infinite = special[1];
            nan      = special == 2'd1;
        end
    end

    logic [X:0] x_1;
    logic [9:0] exponent_1;
    logic negative_1, nothing_1, infinite_1, nan_1, pass_1;
    logic [31:0] c_1;
    delay #(.WIDTH(X + 48), .DEPTH(STAGES >= 4 ? 1 : 0)) select_rank (
        .clk,
        .d({x, exponent, negative, nothing, infinite, nan, pass, c}),
        .q({x_1, exponent_1, negative_1, nothing_1, infinite_1, nan_1, pass_1, c_1})
    );
    float_accumulate #(
        .X(X), .V(V), .COMPARE_RANK(STAGES >= 5 ? 1 : 0), .ALIGN_RANK(STAGES >= 2 ? 1 : 0),
        .ADD_RANK(STAGES >= 1 ? 1 : 0), .NORMALISE_RANK(STAGES >= 3 ? 1 : 0)
    ) accumulate (
        .clk, .x(x_1), .x_negative(negative_1), .x_exponent(exponent_1), .x_zero(nothing_1),
        .x_infinite(infinite_1), .x_nan(nan_1), .pass(pass_1), .c(c_1), .y
    );
endmodule
