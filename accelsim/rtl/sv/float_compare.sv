// Which of two addends has the larger exponent, and how far the other one is to be shifted.
// Combinational.
//
//   x_exponent   exponent of x, biased as in float32
//   x_zero       x is zero whatever its exponent
//   c_field      exponent field of c
//   x_stays      x is not shifted, c is
//   shift        places to the right, V + 1 at most
//   exponent     the larger exponent, >= 1
module float_compare #(
    parameter int V = 27,
    parameter int D = $clog2(V + 2)
) (
    input  logic [9:0]   x_exponent,
    input  logic         x_zero,
    input  logic [7:0]   c_field,
    output logic         x_stays,
    output logic [D-1:0] shift,
    output logic [9:0]   exponent
);
    logic [9:0] c_exponent, difference, distance;
    always_comb begin
        c_exponent = {2'b0, c_field} | {9'b0, c_field == 0};
        difference = x_exponent - c_exponent;
        x_stays    = !x_zero && !difference[9];
        distance   = difference[9] ? -difference : difference;
        shift      = distance > 10'(V + 1) ? D'(V + 1) : distance[D-1:0];
        exponent   = x_stays ? x_exponent : c_exponent;
    end
endmodule
