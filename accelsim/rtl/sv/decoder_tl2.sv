// Indices and signs of TL2 (bitnet.cpp) to the codes of a PE: three weights in 5 bits.
//
//   v = 9 w0 + 3 w1 + w2, index = |v|, sign = v < 0. A sign with index 0 gives zeros, as no sign
//   does. The indices 14 and 15 hold no weights: they give zeros.
//
//   clk       clock of the output register
//   stored    TRIPLES indices of 4 bits; in a file the first triple of a byte lies in its high bits
//   signs     TRIPLES bits, from a plane of their own
//   weights   3 * TRIPLES codes of 2 bits, w0 of triple 0 lowest; one cycle later if REGISTERED
module decoder_tl2 #(
    parameter int TRIPLES    = 1,
    parameter int REGISTERED = 0
) (
    input  logic                 clk,
    input  logic [4*TRIPLES-1:0] stored,
    input  logic [TRIPLES-1:0]   signs,
    output logic [6*TRIPLES-1:0] weights
);
    localparam logic [1:0] M = 2'b11, O = 2'b00, P = 2'b01;  // -1, 0, +1

    function automatic logic [5:0] triple(input logic [3:0] index);  // {w2, w1, w0}
        case (index)
            4'd0:  triple = {O, O, O};
            4'd1:  triple = {P, O, O};
            4'd2:  triple = {M, P, O};
            4'd3:  triple = {O, P, O};
            4'd4:  triple = {P, P, O};
            4'd5:  triple = {M, M, P};
            4'd6:  triple = {O, M, P};
            4'd7:  triple = {P, M, P};
            4'd8:  triple = {M, O, P};
            4'd9:  triple = {O, O, P};
            4'd10: triple = {P, O, P};
            4'd11: triple = {M, P, P};
            4'd12: triple = {O, P, P};
            4'd13: triple = {P, P, P};
            default: triple = {O, O, O};
        endcase
    endfunction

    logic [6*TRIPLES-1:0] codes;
    for (genvar i = 0; i < TRIPLES; i = i + 1) begin : word
        logic [5:0] positive;
        assign positive = triple(stored[4*i+:4]);
        for (genvar j = 0; j < 3; j = j + 1) begin : weight  // negating 01 makes 11, and back
            assign codes[6*i+2*j+:2] = {
                positive[2*j+1] ^ (signs[i] & positive[2*j]), positive[2*j]
            };
        end
    end

    delay #(.WIDTH(6 * TRIPLES), .DEPTH(REGISTERED)) register_out (
        .clk, .d(codes), .q(weights)
    );
endmodule
