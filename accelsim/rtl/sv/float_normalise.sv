// Shifts a magnitude to the left until its highest bit is set, or until it has the least exponent
// of float32 (a subnormal). Combinational.
//
//   magnitude     SUM bits
//   exponent      weight of bit SUM - 2, biased, >= 1: never is a shift to the right needed
//   significand   the highest 24 bits
//   half          the bit below them
//   rest          any bit below that
//   field         exponent field of the result before rounding; 0 if subnormal; may exceed 255
//
// FAST: leading zeros are counted in a tree.
module float_normalise #(
    parameter int SUM  = 29,
    parameter int FAST = 0
) (
    input  logic [SUM-1:0] magnitude,
    input  logic [9:0]     exponent,
    output logic [23:0]    significand,
    output logic           half,
    output logic           rest,
    output logic [9:0]     field
);
    localparam int COUNT = $clog2(SUM + 1);

    // A bit where the shift must end turns min(leading zeros, exponent) into one count.
    logic [SUM-1:0] least, shifted;
    logic [COUNT-1:0] shift;
    assign least = {1'b1, {(SUM - 1) {1'b0}}} >> exponent;
    if (FAST != 0) begin : fast
        leading_zeros_tree #(.WIDTH(SUM)) count_zeros (.word(magnitude | least), .count(shift));
    end else begin : plain
        leading_zeros #(.WIDTH(SUM)) count_zeros (.word(magnitude | least), .count(shift));
    end

    assign shifted = magnitude << shift;
    assign significand = shifted[SUM-1-:24];
    assign half  = shifted[SUM-25];
    assign rest  = shifted[SUM-26:0] != 0;
    assign field = shifted[SUM-1] ? exponent + 10'd1 - 10'(shift) : 10'd0;
endmodule
