// Shifts a product of significands to where it is rounded. Combinational.
//
//   product        2 * (MAN + 1) bits
//   shift          SHIFT bits: by how much it goes to the left, from MAN + 3 places below its own
//   field          E bits: the exponent field that the first bit of its place stands for, 1 or more
//   significand    MAN + 1 bits
//   half           the bit below them
//   rest           whether any bit is set below that
//   field_normal   E bits: exponent field before rounding, 0 if the number is subnormal
//
// A product may have one zero more in front than its factors together: it is shifted once again, if
// the exponent allows it.
module fp_mul_normalise #(
    parameter int MAN   = 23,
    parameter int SHIFT = 6,
    parameter int E     = 10
) (
    input  logic [2*MAN+1:0] product,
    input  logic [SHIFT-1:0] shift,
    input  logic [E-1:0]     field,
    output logic [MAN:0]     significand,
    output logic             half,
    output logic             rest,
    output logic [E-1:0]     field_normal
);
    localparam int WORD = 3 * MAN + 5;  // the product, and MAN + 3 places below

    logic [WORD-1:0] word;
    logic again;
    assign word  = {{(MAN + 3) {1'b0}}, product} << shift;
    assign again = !word[WORD-1] && field != E'(1);

    assign {significand, half} = again ? word[WORD-2-:MAN+2] : word[WORD-1-:MAN+2];
    assign rest = word[WORD-MAN-4:0] != 0 || !again && word[WORD-MAN-3];
    assign field_normal = significand[MAN] ? field - E'(again) : '0;
endmodule
