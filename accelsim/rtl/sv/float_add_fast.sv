// Does what float_add does, with one carry network instead of two in a row, where the addend x is
// never negative. Combinational.
//
// Without `carry` both words are zero or more. With it one of them is a complement, and the sum is
// negative or zero if no carry leaves the highest place: then its magnitude is what the places show
// without a carry in, complemented; else a carry comes in (it runs around the end).
//
//   larger, smaller, carry   see float_align
//   x_negative   the sum is to be negated
//   zero_sign    sign of a sum that is exactly zero
//   negative     sign of the sum
//   magnitude    its absolute value
module float_add_fast #(
    parameter int SUM = 29
) (
    input  logic [SUM-1:0] larger,
    input  logic [SUM-1:0] smaller,
    input  logic           carry,
    input  logic           x_negative,
    input  logic           zero_sign,
    output logic           negative,
    output logic [SUM-1:0] magnitude
);
    logic [SUM-1:0] generates, propagates;
    prefix_add #(.WIDTH(SUM)) add (.a(larger), .b(smaller), .generates, .propagates);

    logic around, inverted, zero;
    assign around   = carry & generates[SUM-1];
    assign inverted = carry & !generates[SUM-1];
    assign zero     = carry ? propagates[SUM-1] : (larger | smaller) == 0;

    assign magnitude = larger ^ smaller ^ {SUM{inverted}}
                     ^ {generates[SUM-2:0] | propagates[SUM-2:0] & {(SUM - 1) {around}}, around};
    assign negative  = zero ? zero_sign : inverted ^ x_negative;
endmodule
