// Multiplies two signed integers exactly. A primitive that synthesis prices.
//
//   clk   clock of the registers
//   a, b  A and B bits, signed
//   y     A + B bits, signed; REGISTERED puts one register before and one behind the multiplier
module int_mul #(
    parameter int A          = 8,
    parameter int B          = 8,
    parameter int REGISTERED = 0
) (
    input  logic           clk,
    input  logic [A-1:0]   a,
    input  logic [B-1:0]   b,
    output logic [A+B-1:0] y
);
    logic [A-1:0] x;
    logic [B-1:0] z;
    delay #(.WIDTH(A + B), .DEPTH(REGISTERED)) register_in (
        .clk, .d({a, b}), .q({x, z})
    );
    logic signed [A+B-1:0] product;
    assign product = $signed(x) * $signed(z);
    delay #(.WIDTH(A + B), .DEPTH(REGISTERED)) register_out (.clk, .d(product), .q(y));
endmodule
