// Brings two addends to a common exponent, which float_compare has found. Combinational.
//
// The addend with the larger exponent stays, the other one is shifted right. Bits that fall out
// below are or-ed into the last bit (jammed): the sum then lies between the same two neighbours as
// the exact sum, which is all that rounding needs to know.
//
//   x            X + 1 bits, signed; the addend is x, or -x if x_negative
//   x_negative   negate x (done by negating c, and the sum afterwards)
//   x_zero       the addend is zero whatever x shows; c then passes without loss
//   x_stays, shift   see float_compare
//   c            float32; exponent field 255 is treated like any other
//   larger       SUM bits, signed: the addend that stayed, complemented if `carry` belongs to it
//   smaller      SUM bits, signed: the addend that was shifted, likewise
//   carry        add 1: c was complemented
//
// The window has V bits below the sign, and the jammed bit: SUM = V + 2. The larger exponent is the
// weight of bit SUM - 2.
module float_align #(
    parameter int X   = 24,
    parameter int V   = 27,
    parameter int SUM = V + 2,
    parameter int D   = $clog2(V + 2)  // bits of a shift by up to V + 1
) (
    input  logic [X:0]     x,
    input  logic           x_negative,
    input  logic           x_zero,
    input  logic           x_stays,
    input  logic [D-1:0]   shift,
    input  logic [31:0]    c,
    output logic [SUM-1:0] larger,
    output logic [SUM-1:0] smaller,
    output logic           carry
);
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
