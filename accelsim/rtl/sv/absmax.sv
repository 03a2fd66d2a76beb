// Largest magnitude of a row that comes LANES numbers at a time: a tree, and a running maximum.
//
// Magnitudes of IEEE 754 numbers compare like integers, so formats differ in width alone. An
// infinity exceeds every number and a NaN exceeds an infinity. Lanes past a row's end are given 0.
//
// Timing: `largest` includes the numbers given 1 + STAGES cycles before. A register stands behind
// each of the last STAGES of the ceil(log2 LANES) levels of the tree.
//
//   clk, rst   clock; reset of the running maximum and of the tokens beside the tree
//   valid      `numbers` count
//   clear      begin again from 0, before `numbers` count
//   numbers    LANES numbers of 1 + EXP + MAN bits, lane 0 lowest
//   largest    the largest magnitude since the last clear, sign 0
module absmax #(
    parameter int LANES  = 8,
    parameter int EXP    = 8,
    parameter int MAN    = 7,
    parameter int STAGES = 0
) (
    input  logic                         clk,
    input  logic                         rst,
    input  logic                         valid,
    input  logic                         clear,
    input  logic [(1+EXP+MAN)*LANES-1:0] numbers,
    output logic [EXP+MAN:0]             largest
);
    localparam int W = EXP + MAN;

    logic [LANES-1:0]   unused_signs;
    logic [LANES*W-1:0] magnitudes;
    for (genvar i = 0; i < LANES; i++) begin : lane
        assign {unused_signs[i], magnitudes[i*W+:W]} = numbers[i*(W+1)+:W+1];
    end

    logic [W-1:0] top;
    max_tree #(.COUNT(LANES), .WIDTH(W), .STAGES(STAGES)) tree (
        .clk, .x(magnitudes), .y(top)
    );

    // Tokens go beside the tree.
    logic valid_top, clear_top;
    if (STAGES == 0) begin : at_once
        assign {valid_top, clear_top} = {valid, clear};
    end else begin : tokens
        logic [2*STAGES-1:0] line;
        logic [2*STAGES+1:0] longer;
        assign longer = {line, valid, clear};
        always_ff @(posedge clk) begin
            if (rst) line <= '0;
            else line <= longer[2*STAGES-1:0];
        end
        assign {valid_top, clear_top} = longer[2*STAGES+:2];
    end

    logic [W-1:0] running, held;
    assign held = clear_top ? {W{1'b0}} : running;
    always_ff @(posedge clk) begin : running_maximum
        if (rst) running <= '0;
        else running <= valid_top && held < top ? top : held;
    end
    assign largest = {1'b0, running};
endmodule
