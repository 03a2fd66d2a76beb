// The factor of a row: 127 / max(largest, 1e-5) in float32, rounded once, as the functional model.
//
// A row with a NaN gets NaN, one with an infinity gets 0; `quantise` makes codes 0 of either.
//
//   clk       clock of the pipeline registers
//   largest   1 + EXP + MAN bits, sign 0: see absmax
//   scale     float32, STAGES cycles later
module quantise_scale #(
    parameter int EXP    = 8,
    parameter int MAN    = 23,
    parameter int STAGES = 0
) (
    input  logic             clk,
    input  logic [EXP+MAN:0] largest,
    output logic [31:0]      scale
);
    localparam logic [31:0] LEAST = 32'h3727c5ac;  // 1e-5
    localparam logic [31:0] CODES = 32'h42fe0000;  // 127

    logic [31:0] wide, divisor;
    float_widen #(.EXP(EXP), .MAN(MAN)) widen (.number(largest), .wide);
    assign divisor = wide < LEAST ? LEAST : wide;
    fp_div #(.STAGES(STAGES)) divide (.clk, .a(CODES), .b(divisor), .y(scale));
endmodule
