// Compares two signed integers. A primitive that synthesis prices.
//
//   clk    clock of the registers
//   a, b   BITS, signed
//   less   a < b; REGISTERED puts one register before and one behind the comparison
//   equal  a = b, likewise
module int_compare #(
    parameter int BITS       = 32,
    parameter int REGISTERED = 0
) (
    input  logic            clk,
    input  logic [BITS-1:0] a,
    input  logic [BITS-1:0] b,
    output logic            less,
    output logic            equal
);
    logic [BITS-1:0] x, z;
    delay #(.WIDTH(2 * BITS), .DEPTH(REGISTERED)) register_in (
        .clk, .d({a, b}), .q({x, z})
    );
    delay #(.WIDTH(2), .DEPTH(REGISTERED)) register_out (
        .clk, .d({$signed(x) < $signed(z), x == z}), .q({less, equal})
    );
endmodule
