// A rank of pipeline registers, or a plain wire where a unit has none at this place.
//
//   clk   clock
//   d     what enters
//   q     the same, one cycle later if PRESENT, otherwise in the same cycle
//
// The registers hold operands and need no reset.
module pipeline_rank #(
    parameter integer WIDTH   = 1,
    parameter integer PRESENT = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
    if (PRESENT != 0) begin : registers
        always_ff @(posedge clk) q <= d;
    end else begin : wires
        assign q = d;
        logic unused;
        assign unused = clk;
    end
endmodule
