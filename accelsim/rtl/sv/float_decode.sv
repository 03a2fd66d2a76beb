// Takes an IEEE 754 number apart. Combinational.
//
//   number        sign, EXP bits of exponent field, MAN bits of fraction
//   negative      its sign
//   exponent      exponent field, 1 for zeros and subnormals: value = significand * 2^(exponent
//                 - bias - MAN), bias = 2^(EXP - 1) - 1
//   significand   MAN + 1 bits with the leading bit, 0 for zeros and subnormals
//   zero, infinite, nan   what it is, if not a number that counts
module float_decode #(
    parameter int EXP = 5,
    parameter int MAN = 10
) (
    input  logic [EXP+MAN:0] number,
    output logic             negative,
    output logic [EXP-1:0]   exponent,
    output logic [MAN:0]     significand,
    output logic             zero,
    output logic             infinite,
    output logic             nan
);
    logic [EXP-1:0] field;
    logic [MAN-1:0] fraction;
    assign {negative, field, fraction} = number;

    assign exponent    = field == 0 ? EXP'(1) : field;
    assign significand = {field != 0, fraction};
    assign zero        = field == 0 && fraction == 0;
    assign infinite    = field == {EXP{1'b1}} && fraction == 0;
    assign nan         = field == {EXP{1'b1}} && fraction != 0;
endmodule
