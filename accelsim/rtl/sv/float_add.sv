// Adds what float_align has aligned, and splits the sum into sign and magnitude. Combinational.
//
//   larger, smaller, carry   see float_align
//   x_negative   the sum is to be negated
//   zero_sign    sign of a sum that is exactly zero
//   negative     sign of the sum
//   magnitude    its absolute value
module float_add #(
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
    logic [SUM:0] sum;
    assign sum = {larger[SUM-1], larger} + {smaller[SUM-1], smaller} + {{SUM{1'b0}}, carry};
    assign magnitude = sum[SUM] ? -sum[SUM-1:0] : sum[SUM-1:0];
    assign negative  = sum == 0 ? zero_sign : sum[SUM] ^ x_negative;
endmodule
