// Ternary codes at the ports of a floating-point PE: wires, for the exponent field of 1.0 is all
// ones below its first bit, and that of 0.0 all zeros. Zero is +0.
//
//   codes    WEIGHTS codes of 2 bits: 00 = 0, 01 = +1, 11 = -1
//   values   WEIGHTS numbers of 1 + EXP + MAN bits
module ternary_to_float #(
    parameter int WEIGHTS = 1,
    parameter int EXP     = 5,
    parameter int MAN     = 10
) (
    input  logic [2*WEIGHTS-1:0]           codes,
    output logic [(1+EXP+MAN)*WEIGHTS-1:0] values
);
    for (genvar i = 0; i < WEIGHTS; i = i + 1) begin : weight
        assign values[(1+EXP+MAN)*i+:1+EXP+MAN] = {
            codes[2*i+1], 1'b0, {(EXP - 1) {codes[2*i]}}, {MAN{1'b0}}
        };
    end
endmodule
