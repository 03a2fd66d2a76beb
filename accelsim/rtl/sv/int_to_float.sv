// Integer to IEEE 754, to nearest even. An int8 code is exact in fp16 and in bf16.
//
//   clk          clock of the pipeline registers
//   integer_in   BITS, signed; BITS <= 2 ** EXP
//   number       1 + EXP + MAN bits, STAGES cycles later; 0 is +0, what exceeds the format is
//                infinite
//
//       magnitude | normalise | round
//   STAGES = 1                |
//            2    |           |
module int_to_float #(
    parameter int BITS   = 8,
    parameter int EXP    = 5,
    parameter int MAN    = 10,
    parameter int STAGES = 0
) (
    input  logic             clk,
    input  logic [BITS-1:0]  integer_in,
    output logic [EXP+MAN:0] number
);
    localparam int E    = EXP + 2;
    localparam int WORD = BITS > MAN + 3 ? BITS : MAN + 3;
    localparam int BIAS = 2 ** (EXP - 1) - 1;

    logic negative, negative_0;
    logic [BITS-1:0] magnitude, magnitude_0;
    assign negative  = integer_in[BITS-1];
    assign magnitude = negative ? -integer_in : integer_in;
    delay #(.WIDTH(BITS + 1), .DEPTH(STAGES >= 2 ? 1 : 0)) magnitude_rank (
        .clk, .d({negative, magnitude}), .q({negative_0, magnitude_0})
    );

    logic [MAN:0] significand, significand_1;
    logic half, rest, negative_1, half_1, rest_1;
    logic [E-1:0] field, field_1;
    fp_normalise #(.EXP(EXP), .MAN(MAN), .WORD(WORD), .RIGHT(0)) normalise (
        .word(WORD'(magnitude_0) << (WORD - BITS)), .exponent(E'(BIAS + BITS - 1)), .significand,
        .half, .rest, .field
    );
    delay #(.WIDTH(MAN + 1 + E + 3), .DEPTH(STAGES >= 1 ? 1 : 0)) normalise_rank (
        .clk,
        .d({negative_0, significand, half, rest, field}),
        .q({negative_1, significand_1, half_1, rest_1, field_1})
    );
    fp_round #(.EXP(EXP), .MAN(MAN)) round (
        .negative(negative_1), .significand(significand_1), .half(half_1), .rest(rest_1),
        .field(field_1), .nan(1'b0), .infinite(1'b0), .number
    );
endmodule
