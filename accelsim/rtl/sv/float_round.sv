// Rounds to float32, to nearest, ties to even, and puts the special values in. Combinational.
//
//   negative      sign of the result
//   significand, half, rest, field   see float_normalise
//   pass          the result is c, which came through unchanged: let exponent field 255 stand
//   nan           the result is the quiet NaN 7fc00000
//   infinite      the result is infinite
//   y             float32
module float_round (
    input  logic        negative,
    input  logic [23:0] significand,
    input  logic        half,
    input  logic        rest,
    input  logic [9:0]  field,
    input  logic        pass,
    input  logic        nan,
    input  logic        infinite,
    output logic [31:0] y
);
    // A carry out of the fraction increments the exponent: subnormal to normal, largest to infinite.
    logic [30:0] rounded;
    logic up, overflow;
    assign up = half && (rest || significand[0]);
    assign rounded  = {field[7:0], significand[22:0]} + {30'd0, up};
    assign overflow = field >= 10'd255 && !pass;
    assign y = nan ? 32'h7fc00000
             : infinite || overflow ? {negative, 31'h7f800000}
             : {negative, rounded};
    logic unused;  // the leading bit is in the exponent
    assign unused = significand[23];
endmodule
