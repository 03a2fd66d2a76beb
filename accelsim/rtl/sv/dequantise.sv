// Accumulator to float: float32(acc) / scale * weight_scale, each step rounded to nearest even.
//
// DIVIDE = 1 is the functional model, bit for bit. Where a network's weight scale divides, the
// model computes acc / (scale * weight_scale): give that product as `scale`, and 1 as
// `weight_scale`. DIVIDE = 0 multiplies by `scale`: given the reciprocal, a multiplier stands where
// the divider did, and the result may differ in the last places (docs/rtl_edge.md).
//
//   clk            clock of the pipeline registers
//   acc            ACC bits, signed
//   scale          float32: of the row, given with acc
//   weight_scale   float32: of the tensor, steady while any acc is under way
//   y              1 + EXP + MAN bits: float32 as it is, or rounded once more to fp16 or bf16
//
//   convert | scale | multiply, narrow       ranks at the bars if RANKED, in the units as many as
//                                            CONVERT_STAGES, SCALE_STAGES, WEIGHT_STAGES say
//
// y comes 2 * RANKED + CONVERT_STAGES + SCALE_STAGES + WEIGHT_STAGES cycles after acc.
module dequantise #(
    parameter int ACC            = 24,
    parameter int DIVIDE         = 1,
    parameter int EXP            = 8,
    parameter int MAN            = 23,
    parameter int RANKED         = 0,
    parameter int CONVERT_STAGES = 0,
    parameter int SCALE_STAGES   = 0,
    parameter int WEIGHT_STAGES  = 0
) (
    input  logic             clk,
    input  logic [ACC-1:0]   acc,
    input  logic [31:0]      scale,
    input  logic [31:0]      weight_scale,
    output logic [EXP+MAN:0] y
);
    logic [31:0] converted, converted_1, scale_1;
    int_to_float #(.BITS(ACC), .EXP(8), .MAN(23), .STAGES(CONVERT_STAGES)) convert (
        .clk, .integer_in(acc), .number(converted)
    );
    delay #(.WIDTH(32), .DEPTH(RANKED)) convert_rank (.clk, .d(converted), .q(converted_1));
    delay #(.WIDTH(32), .DEPTH(RANKED + CONVERT_STAGES)) scale_wait (
        .clk, .d(scale), .q(scale_1)
    );

    logic [31:0] scaled, scaled_1;
    if (DIVIDE != 0) begin : divides
        fp_div #(.STAGES(SCALE_STAGES)) divide (
            .clk, .a(converted_1), .b(scale_1), .y(scaled)
        );
    end else begin : multiplies
        fp_mul #(.STAGES(SCALE_STAGES)) multiply (
            .clk, .a(converted_1), .b(scale_1), .y(scaled)
        );
    end
    delay #(.WIDTH(32), .DEPTH(RANKED)) scale_rank (.clk, .d(scaled), .q(scaled_1));

    logic [31:0] wide;
    fp_mul #(.STAGES(WEIGHT_STAGES)) weight (.clk, .a(scaled_1), .b(weight_scale), .y(wide));

    if (MAN == 23) begin : float32
        assign y = wide;
    end else begin : narrows
        float_narrow #(.EXP(EXP), .MAN(MAN)) narrowing (.number(wide), .narrow(y));
    end
endmodule
