// Shifts a product into the window below the largest exponent. Combinational.
//
//   largest, exponent   E bits, largest >= exponent
//   significand         P bits
//   complement          invert the result: 1 added to it makes the negative number
//   aligned             WINDOW + 1 bits, signed: the highest WINDOW bits of the significand shifted
//                       to the right by largest - exponent; what lies below is cut off
module float_window #(
    parameter int E      = 6,
    parameter int P      = 22,
    parameter int WINDOW = 28
) (
    input  logic [E-1:0]    largest,
    input  logic [E-1:0]    exponent,
    input  logic [P-1:0]    significand,
    input  logic            complement,
    output logic [WINDOW:0] aligned
);
    localparam int WIDE  = WINDOW > P ? WINDOW : P;
    localparam int SHIFT = $clog2(WINDOW + 1);

    logic [E-1:0] distance;
    logic [WIDE-1:0] shifted;
    always_comb begin
        distance = largest - exponent;
        shifted  = WIDE'(significand) << (WIDE - P);
        shifted  = 32'(distance) >= WINDOW ? '0 : shifted >> SHIFT'(distance);
        aligned  = {1'b0, shifted[WIDE-1-:WINDOW]} ^ {(WINDOW + 1) {complement}};
    end
endmodule
