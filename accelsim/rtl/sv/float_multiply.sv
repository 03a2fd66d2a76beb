// Exact product of two significands. Combinational; a module so that its energy can be told apart.
//
//   a, w      WIDTH bits, unsigned
//   product   2 * WIDTH bits
module float_multiply #(
    parameter int WIDTH = 11
) (
    input  logic [WIDTH-1:0]   a,
    input  logic [WIDTH-1:0]   w,
    output logic [2*WIDTH-1:0] product
);
    assign product = {{WIDTH{1'b0}}, a} * {{WIDTH{1'b0}}, w};
endmodule
