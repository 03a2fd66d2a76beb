// Ternary codes at the ports of an integer PE (int4, int8): wires, for a code is its own low bits.
//
//   codes    WEIGHTS codes of 2 bits: 00 = 0, 01 = +1, 11 = -1
//   values   WEIGHTS two's complement integers of BITS
module ternary_to_int #(
    parameter int WEIGHTS = 1,
    parameter int BITS    = 8
) (
    input  logic [2*WEIGHTS-1:0]    codes,
    output logic [BITS*WEIGHTS-1:0] values
);
    for (genvar i = 0; i < WEIGHTS; i = i + 1) begin : weight
        assign values[BITS*i+:BITS] = {{(BITS - 1) {codes[2*i+1]}}, codes[2*i]};
    end
endmodule
