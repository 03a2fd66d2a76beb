// Indices of TL1 (bitnet.cpp) to the codes of a PE: two weights in 4 bits.
//
//   index = 3 w0 + w1 + 4. The indices 9 to 15 hold no weights: they give 0, 0.
//
//   clk       clock of the output register
//   stored    PAIRS indices of 4 bits; in a file the first pair of a byte lies in its high bits
//   weights   2 * PAIRS codes of 2 bits, w0 of pair 0 lowest; one cycle later if REGISTERED
module decoder_tl1 #(
    parameter int PAIRS      = 1,
    parameter int REGISTERED = 0
) (
    input  logic               clk,
    input  logic [4*PAIRS-1:0] stored,
    output logic [4*PAIRS-1:0] weights
);
    localparam logic [1:0] M = 2'b11, O = 2'b00, P = 2'b01;  // -1, 0, +1

    function automatic logic [3:0] pair(input logic [3:0] index);  // {w1, w0}
        case (index)
            4'd0: pair = {M, M};
            4'd1: pair = {O, M};
            4'd2: pair = {P, M};
            4'd3: pair = {M, O};
            4'd4: pair = {O, O};
            4'd5: pair = {P, O};
            4'd6: pair = {M, P};
            4'd7: pair = {O, P};
            4'd8: pair = {P, P};
            default: pair = {O, O};
        endcase
    endfunction

    logic [4*PAIRS-1:0] codes;
    for (genvar i = 0; i < PAIRS; i = i + 1) begin : word
        assign codes[4*i+:4] = pair(stored[4*i+:4]);
    end

    delay #(.WIDTH(4 * PAIRS), .DEPTH(REGISTERED)) register_out (
        .clk, .d(codes), .q(weights)
    );
endmodule
