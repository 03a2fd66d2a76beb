// Dot-product unit of LANES lanes that accumulates in place.
//
// Operands taken at the edge that ends cycle t are in the registers in t + 1; their sum leaves the
// adder tree, and is accumulated by the operation that stands at `op`, in cycle
// t + 2 + ceil(log2 LANES); it is visible LATENCY cycles later. A lane acts only where its operands
// are valid; without any the unit adds zero.
//
// clk, rst   clock, synchronous reset
// a_in, w_in, valid_in  operands, lane 0 in the lowest bits, and lanes in use
// op         operation for the sum at the tree's output, {index, capture, first, reduce, step}
// column, above, word, captured   drain, see accumulators
module pe_dot #(
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int LANES = 4,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int SUMS = 1,
    parameter int INDEX = 1,
    parameter int OVERLAP = 1
) (
    input  logic               clk,
    input  logic               rst,
    input  logic [LANES*A-1:0] a_in,
    input  logic [LANES*W-1:0] w_in,
    input  logic [  LANES-1:0] valid_in,
    input  logic [  INDEX+3:0] op,
    input  logic               column,
    input  logic [    ACC-1:0] above,
    output logic [    ACC-1:0] word,
    output logic               captured
);
    // Keeps the build of large arrays short.
    /*verilator no_inline_module*/

    logic [LANES*A-1:0] a;
    logic [LANES*W-1:0] w;
    logic [LANES-1:0] valid;
    always_ff @(posedge clk) begin : operand_registers
        a <= a_in;
        w <= w_in;
    end
    always_ff @(posedge clk) begin : control_registers
        if (rst) valid <= '0;
        else valid <= valid_in;
    end

    // Bits of the sum of a step, as dot and sum have them.
    localparam int WINDOW = 26 + $clog2(LANES);
    localparam int EXP = KIND == 6 ? 5 : 8;
    localparam int T = KIND == 0 ? 9 + $clog2(LANES)
            : KIND < 3 ? A + W + $clog2(LANES)
            : EXP + WINDOW + $clog2(LANES) + 4;
    logic [T-1:0] t;
    logic step, reduce;
    logic [ACC-1:0] c, r, y;
    assign step   = op[0];
    assign reduce = op[1];

    dot #(.KIND(KIND), .LANES(LANES)) u_dot (
        .clk, .a, .w, .valid, .t
    );
    sum #(.KIND(KIND), .LANES(LANES), .ACC(ACC), .STAGES(LATENCY - 1), .OVERFLOW(OVERFLOW)) u_sum (
        .clk, .add(step), .reduce, .t, .r, .c, .y
    );
    accumulators #(
        .ACC(ACC), .LATENCY(LATENCY), .SUMS(SUMS), .INDEX(INDEX), .OVERLAP(OVERLAP)
    ) u_accumulators (
        .clk, .rst, .act(step | reduce), .reduce, .first(op[2]), .capture(op[3]),
        .index(op[4+:INDEX]), .c, .r, .y, .column, .above, .word, .captured
    );
endmodule
