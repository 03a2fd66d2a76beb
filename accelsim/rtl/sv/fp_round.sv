// Rounds to EXP and MAN bits, to nearest, ties to even, and puts special values in. Combinational.
//
//   negative      sign of the result
//   significand, half, rest, field   see fp_normalise
//   nan           the result is the quiet NaN: sign 0, the first bit of the fraction set
//   infinite      the result is infinite
//   number        1 + EXP + MAN bits
module fp_round #(
    parameter int EXP = 8,
    parameter int MAN = 23,
    parameter int E   = EXP + 2
) (
    input  logic             negative,
    input  logic [MAN:0]     significand,
    input  logic             half,
    input  logic             rest,
    input  logic [E-1:0]     field,
    input  logic             nan,
    input  logic             infinite,
    output logic [EXP+MAN:0] number
);
    // A carry out of the fraction increments the exponent: subnormal to normal, largest to infinite.
    logic [EXP+MAN-1:0] rounded;
    logic up, overflow;
    assign up       = half && (rest || significand[0]);
    assign rounded  = {field[EXP-1:0], significand[MAN-1:0]} + (EXP + MAN)'(up);
    assign overflow = field >= E'(2 ** EXP - 1);
    assign number   = nan ? {1'b0, {EXP{1'b1}}, 1'b1, {(MAN - 1) {1'b0}}}
                    : infinite || overflow ? {negative, {EXP{1'b1}}, {MAN{1'b0}}}
                    : {negative, rounded};
    // verilator lint_off UNUSEDSIGNAL
    logic leading;  // the leading bit is in the exponent
    // verilator lint_on UNUSEDSIGNAL
    assign leading = significand[MAN];
endmodule
