// Weights stored in 2 bits (HF uint8, I2_S, TQ2_0) to the codes of a PE.
//
//   stored 0, 1, 2 stand for -1, 0, +1; a PE takes 11, 00, 01. A stored 3 is no weight: it gives 0.
//
// Which weight of a matrix lies in which 2 bits of a byte is a matter of wires, not of gates: weight
// i of `weights` is bits 2i+1 : 2i of `stored`. HF and TQ2_0 count from the low bits of a byte up,
// I2_S from the high bits down; HIGH_FIRST reverses the four weights of each byte.
//
//   clk       clock of the output register
//   stored    2 * WEIGHTS bits
//   weights   WEIGHTS codes of 2 bits, one cycle later if REGISTERED
module decoder_ternary2 #(
    parameter int WEIGHTS    = 4,
    parameter int HIGH_FIRST = 0,
    parameter int REGISTERED = 0
) (
    input  logic                 clk,
    input  logic [2*WEIGHTS-1:0] stored,
    output logic [2*WEIGHTS-1:0] weights
);
    logic [2*WEIGHTS-1:0] codes;
    for (genvar i = 0; i < WEIGHTS; i = i + 1) begin : weight
        // i ^ 3 counts backwards within a byte.
        localparam integer FIELD = HIGH_FIRST != 0 ? i ^ 3 : i;
        logic high, low;
        assign {high, low} = stored[2*FIELD+:2];
        assign codes[2*i+:2] = {!high && !low, !low};
    end

    delay #(.WIDTH(2 * WEIGHTS), .DEPTH(REGISTERED)) register_out (
        .clk, .d(codes), .q(weights)
    );
endmodule
