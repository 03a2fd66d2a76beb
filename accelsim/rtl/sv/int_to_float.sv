// Integer to IEEE 754, to nearest even. Combinational. An int8 code is exact in fp16 and in bf16.
//
//   integer_in   BITS, signed; BITS <= 2 ** EXP
//   number       1 + EXP + MAN bits; 0 is +0, what exceeds the format is infinite
module int_to_float #(
    parameter int BITS = 8,
    parameter int EXP  = 5,
    parameter int MAN  = 10
) (
    input  logic [BITS-1:0]  integer_in,
    output logic [EXP+MAN:0] number
);
    localparam int E    = EXP + 2;
    localparam int WORD = BITS > MAN + 3 ? BITS : MAN + 3;
    localparam int BIAS = 2 ** (EXP - 1) - 1;

    logic negative;
    logic [BITS-1:0] magnitude;
    assign negative  = integer_in[BITS-1];
    assign magnitude = negative ? -integer_in : integer_in;

    logic [MAN:0] significand;
    logic half, rest;
    logic [E-1:0] field;
    fp_normalise #(.EXP(EXP), .MAN(MAN), .WORD(WORD), .RIGHT(0)) normalise (
        .word(WORD'(magnitude) << (WORD - BITS)), .exponent(E'(BIAS + BITS - 1)), .significand,
        .half, .rest, .field
    );
    fp_round #(.EXP(EXP), .MAN(MAN)) round (
        .negative, .significand, .half, .rest, .field, .nan(1'b0), .infinite(1'b0), .number
    );
endmodule
