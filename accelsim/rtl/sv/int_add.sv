// Adds two integers; the sum wraps. A primitive that synthesis prices.
//
//   clk   clock of the registers
//   a, b  BITS, signed or not
//   y     BITS; REGISTERED puts one register before and one behind the adder
module int_add #(
    parameter int BITS       = 32,
    parameter int REGISTERED = 0
) (
    input  logic            clk,
    input  logic [BITS-1:0] a,
    input  logic [BITS-1:0] b,
    output logic [BITS-1:0] y
);
    logic [BITS-1:0] x, z;
    delay #(.WIDTH(2 * BITS), .DEPTH(REGISTERED)) register_in (
        .clk, .d({a, b}), .q({x, z})
    );
    delay #(.WIDTH(BITS), .DEPTH(REGISTERED)) register_out (.clk, .d(x + z), .q(y));
endmodule
