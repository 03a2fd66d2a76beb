// Quotient of two IEEE 754 numbers, rounded once to nearest even; subnormals and infinities count.
//
// One row of subtraction for each of MAN + 3 bits of the quotient, and a rank of registers behind
// some of the rows. x / 0 is infinite, 0 / 0 and infinite / infinite are NaN: the quiet one with
// sign 0. fp16: EXP = 5, MAN = 10; bf16: 8, 7; fp32: 8, 23.
//
//   clk    clock of the pipeline registers
//   a, b   1 + EXP + MAN bits
//   y      a / b, 1 + EXP + MAN bits, STAGES cycles after its operands; STAGES <= MAN + 3
module fp_div #(
    parameter int EXP    = 8,
    parameter int MAN    = 23,
    parameter int STAGES = 0
) (
    input  logic             clk,
    input  logic [EXP+MAN:0] a,
    input  logic [EXP+MAN:0] b,
    output logic [EXP+MAN:0] y
);
    localparam int P    = MAN + 1;
    localparam int ROWS = MAN + 3;
    localparam int E    = EXP + 2;
    localparam int BIAS = 2 ** (EXP - 1) - 1;

    logic a_negative, a_zero, a_infinite, a_nan, b_negative, b_zero, b_infinite, b_nan;
    logic [EXP-1:0] a_exponent, b_exponent;
    logic [MAN:0] a_significand, b_significand;
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_a (
        .number(a), .negative(a_negative), .exponent(a_exponent), .significand(a_significand),
        .zero(a_zero), .infinite(a_infinite), .nan(a_nan)
    );
    float_decode #(.EXP(EXP), .MAN(MAN)) decode_b (
        .number(b), .negative(b_negative), .exponent(b_exponent), .significand(b_significand),
        .zero(b_zero), .infinite(b_infinite), .nan(b_nan)
    );

    // Rows need first bits that are set: subnormals are shifted.
    localparam int COUNT = $clog2(P + 1);
    logic [COUNT-1:0] a_zeros, b_zeros;
    leading_zeros #(.WIDTH(P)) count_a (.word(a_significand), .count(a_zeros));
    leading_zeros #(.WIDTH(P)) count_b (.word(b_significand), .count(b_zeros));
    logic [E-1:0] exponent;
    logic negative, nan, infinite;
    assign exponent = E'(a_exponent) - E'(b_exponent) - E'(a_zeros) + E'(b_zeros) + E'(BIAS);
    assign negative = a_negative != b_negative;
    assign nan      = a_nan || b_nan || a_zero && b_zero || a_infinite && b_infinite;
    assign infinite = a_infinite || b_zero;

    // Between the rows: quotient so far, remainder, divisor, exponent and special values.
    localparam int WIDTH = ROWS + 2 * P + 1 + E + 3;
    logic [(ROWS+1)*WIDTH-1:0] line;
    logic [P-1:0] dividend;
    assign dividend = b_infinite ? {P{1'b0}} : a_significand << a_zeros;
    assign line[WIDTH-1:0] = {
        {ROWS{1'b0}}, 1'b0, dividend, P'(b_significand << b_zeros), exponent, negative, nan,
        infinite
    };
    for (genvar i = 0; i < ROWS; i++) begin : row
        logic [ROWS-1:0] quotient;
        logic [P:0] remainder, next;
        logic [P-1:0] divisor;
        logic [E+2:0] beside;
        logic fits;
        assign {quotient, remainder, divisor, beside} = line[i*WIDTH+:WIDTH];
        divide_row #(.WIDTH(P)) subtract (.remainder, .divisor, .bit_out(fits), .next);
        delay #(
            .WIDTH(WIDTH), .DEPTH((i + 1) * STAGES / ROWS - i * STAGES / ROWS)
        ) rank (
            .clk,
            .d({quotient | ROWS'(fits) << (ROWS - 1 - i), next, divisor, beside}),
            .q(line[(i+1)*WIDTH+:WIDTH])
        );
    end

    logic [ROWS-1:0] quotient;
    logic [P:0] remainder;
    logic [P-1:0] divisor_left;
    logic [E-1:0] exponent_out;
    logic negative_out, nan_out, infinite_out;
    assign {quotient, remainder, divisor_left, exponent_out, negative_out, nan_out, infinite_out} =
        line[ROWS*WIDTH+:WIDTH];

    logic [MAN:0] significand;
    logic half, rest;
    logic [E-1:0] field;
    fp_normalise #(.EXP(EXP), .MAN(MAN), .WORD(ROWS + 1)) normalise (
        .word({quotient, remainder != 0}), .exponent(exponent_out), .significand, .half, .rest,
        .field
    );
    fp_round #(.EXP(EXP), .MAN(MAN)) round (
        .negative(negative_out), .significand, .half, .rest, .field, .nan(nan_out),
        .infinite(infinite_out), .number(y)
    );
    // verilator lint_off UNUSEDSIGNAL
    logic unused;  // the last row needs no divisor behind it
    // verilator lint_on UNUSEDSIGNAL
    assign unused = |divisor_left;
endmodule
