// Brings two addends to a common exponent. Combinational.
//
// The addend with the larger exponent stays, the other one is shifted right. Bits that fall out
// below are or-ed into the last bit (jammed): the sum then lies between the same two neighbours as
// the exact sum, which is all that rounding needs to know.
//
//   x            X + 1 bits, signed; the addend is x, or -x if x_negative
//   x_negative   negate x (done by negating c, and the sum afterwards)
//   x_exponent   weight of bit X - 1 of x, biased as in float32 (127)
//   x_zero       the addend is zero whatever x shows; c then passes without loss
//   c            float32; exponent field 255 is treated like any other
//   larger       SUM bits, signed: the addend that stayed, complemented if `carry` belongs to it
//   smaller      SUM bits, signed: the addend that was shifted, likewise
//   carry        add 1: c was complemented
//   exponent     weight of bit SUM - 2, biased as in float32, >= 1
//
// The window has V bits below the sign, and the jammed bit: SUM = V + 2.
module float_align #(
    parameter int X   = 24,
    parameter int V   = 27,
    parameter int SUM = V + 2
) (
    input  logic [X:0]     x,
    input  logic           x_negative,
    input  logic [9:0]     x_exponent,
    input  logic           x_zero,
    input  logic [31:0]    c,
    output logic [SUM-1:0] larger,
    output logic [SUM-1:0] smaller,
    output logic           carry,
    output logic [9:0]     exponent
);
    localparam int D = $clog2(V + 2);  // bits of a shift by up to V + 1

    logic [9:0] c_exponent, difference, distance;
    logic [D-1:0] shift;
    logic x_stays;
    always_comb begin
        c_exponent = {2'b0, c[30:23]} | {9'b0, c[30:23] == 0};
        difference = x_exponent - c_exponent;
        x_stays    = !x_zero && !difference[9];
        distance   = difference[9] ? -difference : difference;
        shift      = distance > 10'(V + 1) ? D'(V + 1) : distance[D-1:0];
        exponent   = x_stays ? x_exponent : c_exponent;
    end

    logic [SUM-1:0] x_placed, c_placed;
    assign x_placed = {x & {(X + 1) {!x_zero}}, {(SUM - X - 1) {1'b0}}};
    assign c_placed = {1'b0, c[30:23] != 0, c[22:0], {(SUM - 25) {1'b0}}};

    logic signed [SUM-1:0] moving;
    logic jam;
    always_comb begin
        moving = x_stays ? c_placed : x_placed;
        jam    = 1'b0;
        for (int i = 0; i < D; i = i + 1)
            if (shift[i]) begin
                jam    = jam | ((moving & ((SUM'(1) << 2 ** i) - SUM'(1))) != 0);
                moving = moving >>> 2 ** i;
            end
        moving[0] = moving[0] | jam;
    end

    assign carry   = c[31] ^ x_negative;
    assign larger  = x_stays ? x_placed : c_placed ^ {SUM{carry}};
    assign smaller = moving ^ {SUM{x_stays & carry}};
endmodule
