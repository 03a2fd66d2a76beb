// Walk over the tiles of a matrix, the inner direction first. Sizes stay as they are during a walk.
//
// clk          clock
// start        go to the first tile
// advance      go to the next tile (also past the last)
// outer, inner sizes of the matrix in elements
// outer_left, inner_left  elements from this tile on, this tile's included
// inner_first, inner_last, last  where this tile lies
module tiles #(
    parameter int OUTER = 1,
    parameter int INNER = 1,
    parameter int SIZE  = 21
) (
    input  logic            clk,
    input  logic            start,
    input  logic            advance,
    input  logic [SIZE-1:0] outer,
    input  logic [SIZE-1:0] inner,
    output logic [SIZE-1:0] outer_left,
    output logic [SIZE-1:0] inner_left,
    output logic            inner_first,
    output logic            inner_last,
    output logic            last
);
    assign inner_first = inner_left == inner;
    assign inner_last = inner_left <= SIZE'(INNER);
    assign last = inner_last && outer_left <= SIZE'(OUTER);
    always_ff @(posedge clk)
        if (start) begin
            outer_left <= outer;
            inner_left <= inner;
        end else if (advance) begin
            outer_left <= inner_last ? outer_left - SIZE'(OUTER) : outer_left;
            inner_left <= inner_last ? inner : inner_left - SIZE'(INNER);
        end
endmodule
