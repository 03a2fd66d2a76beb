// float32 to fp16 or bf16, to nearest even. Combinational. Every NaN becomes the quiet one, sign 0.
//
//   number   float32
//   narrow   1 + EXP + MAN bits; MAN <= 21
module float_narrow #(
    parameter int EXP = 5,
    parameter int MAN = 10
) (
    input  logic [31:0]      number,
    output logic [EXP+MAN:0] narrow
);
    localparam int E     = 10;
    localparam int SHIFT = 128 - 2 ** (EXP - 1);  // between the biases

    logic negative, zero, infinite, nan;
    logic [7:0] exponent;
    logic [23:0] word;
    float_decode #(.EXP(8), .MAN(23)) decode (
        .number, .negative, .exponent, .significand(word), .zero, .infinite, .nan
    );

    logic [MAN:0] significand;
    logic half, rest;
    logic [E-1:0] field;
    fp_normalise #(
        .EXP(EXP), .MAN(MAN), .WORD(24), .LEFT(0), .RIGHT(SHIFT == 0 ? 0 : 1), .E(E)
    ) normalise (
        .word, .exponent(E'(exponent) - E'(SHIFT)), .significand, .half, .rest, .field
    );
    fp_round #(.EXP(EXP), .MAN(MAN), .E(E)) round (
        .negative, .significand, .half, .rest, .field, .nan, .infinite, .number(narrow)
    );
    // verilator lint_off UNUSEDSIGNAL
    logic unused;  // a zero is a significand like others
    // verilator lint_on UNUSEDSIGNAL
    assign unused = zero;
endmodule
