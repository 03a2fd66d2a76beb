// One bit of a quotient: subtracts the divisor where it fits. Combinational.
//
//   remainder   WIDTH + 1 bits, below twice the divisor
//   divisor     WIDTH bits
//   bit_out     whether the divisor fits
//   next        what is left, times 2
module divide_row #(
    parameter int WIDTH = 24
) (
    input  logic [WIDTH:0]   remainder,
    input  logic [WIDTH-1:0] divisor,
    output logic             bit_out,
    output logic [WIDTH:0]   next
);
    logic [WIDTH+1:0] difference;
    assign difference = {1'b0, remainder} - {2'b00, divisor};
    assign bit_out = !difference[WIDTH+1];
    // What is left is below the divisor, so it has WIDTH bits.
    assign next = {bit_out ? difference[WIDTH-1:0] : remainder[WIDTH-1:0], 1'b0};
endmodule
