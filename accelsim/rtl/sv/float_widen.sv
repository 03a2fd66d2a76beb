// fp16, bf16 or fp32 to float32, exactly. Combinational. A NaN keeps its sign and fraction.
//
//   number   1 + EXP + MAN bits; EXP and MAN up to 8 and 23
//   wide     float32
module float_widen #(
    parameter int EXP = 5,
    parameter int MAN = 10
) (
    input  logic [EXP+MAN:0] number,
    output logic [31:0]      wide
);
    if (EXP == 8) begin : same_exponents
        assign wide = {number, {(23 - MAN) {1'b0}}};
    end else begin : more_exponents
        localparam int COUNT = $clog2(MAN + 2);
        localparam int SHIFT = 128 - 2 ** (EXP - 1);  // between the biases

        logic negative, zero, infinite, nan;
        logic [EXP-1:0] exponent;
        logic [MAN:0] significand, normal;
        logic [COUNT-1:0] zeros;
        float_decode #(.EXP(EXP), .MAN(MAN)) decode (
            .number, .negative, .exponent, .significand, .zero, .infinite, .nan
        );
        // A subnormal of the narrow format is a normal number of the wide one.
        leading_zeros #(.WIDTH(MAN + 1)) count_zeros (.word(significand), .count(zeros));
        assign normal = significand << zeros;

        logic [7:0] field;
        assign field = zero ? 8'd0 : infinite || nan ? 8'd255
                     : 8'(exponent) + 8'(SHIFT) - 8'(zeros);
        assign wide  = {negative, field, normal[MAN-1:0], {(23 - MAN) {1'b0}}};
        // verilator lint_off UNUSEDSIGNAL
        logic leading;  // implied by the exponent
        // verilator lint_on UNUSEDSIGNAL
        assign leading = normal[MAN];
    end
endmodule
