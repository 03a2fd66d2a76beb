// Which of PLACES are in use when `left` elements remain: place p if p < left.
//
// left   elements that remain
// valid  a bit per place
module in_use #(
    parameter int PLACES = 1,
    parameter int SIZE   = 21
) (
    input  logic [  SIZE-1:0] left,
    output logic [PLACES-1:0] valid
);
    genvar p;
    generate
        for (p = 0; p < PLACES; p = p + 1) begin : g_place
            assign valid[p] = left > SIZE'(p);
        end
    endgenerate
endmodule
