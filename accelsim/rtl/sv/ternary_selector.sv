// Multiplies an int8 activation by a ternary weight, up to a carry.
//
//   a * w = y + negative
//
// Timing: combinational.
//
// valid     without it the product is zero, whatever a and w show
// a         activation, two's complement
// w         weight: 00 = 0, 01 = +1, 11 = -1
// y         a, its complement, or zero
// negative  what is missing to -a, for the carry input of the adder that follows
module ternary_selector (
    input  logic       valid,
    input  logic [7:0] a,
    input  logic [1:0] w,
    output logic [7:0] y,
    output logic       negative
);
    logic counts;
    assign counts   = valid && w[0];
    assign negative = counts && w[1];
    assign y        = counts ? a ^ {8{w[1]}} : 8'b0;
endmodule
