// PE of an output stationary array: operand registers, multiply-accumulate, sums and drain word.
//
// Operands and the operation taken at the edge that ends cycle t are in the registers in t + 1 and
// are accumulated there; the sum is visible LATENCY cycles later. A step acts only where both
// operands are valid; reduce and capture always act.
//
// clk, rst           clock, synchronous reset
// a_in, a_valid_in   activation from the left        a, a_valid  the register, to the right
// op_in              operation, travels with `a`     op          the register, to the right
// w_in, w_valid_in   weight from above               w, w_valid  the register, downwards
// column, above, word, captured   drain, see accumulators
// An operation is {index, capture, first, reduce, step}.
module pe_os #(
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int SUMS = 1,
    parameter int INDEX = 1,
    parameter int OVERLAP = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [    A-1:0] a_in,
    input  logic             a_valid_in,
    input  logic [INDEX+3:0] op_in,
    input  logic [    W-1:0] w_in,
    input  logic             w_valid_in,
    output logic [    A-1:0] a,
    output logic             a_valid,
    output logic [INDEX+3:0] op,
    output logic [    W-1:0] w,
    output logic             w_valid,
    input  logic             column,
    input  logic [  ACC-1:0] above,
    output logic [  ACC-1:0] word,
    output logic             captured
);
    // Keeps the build of large arrays short.
    /*verilator no_inline_module*/

    always_ff @(posedge clk) begin : operand_registers
        a <= a_in;
        w <= w_in;
    end
    always_ff @(posedge clk) begin : control_registers
        if (rst) begin
            a_valid <= 1'b0;
            w_valid <= 1'b0;
            op <= '0;
        end else begin
            a_valid <= a_valid_in;
            w_valid <= w_valid_in;
            op <= op_in;
        end
    end

    logic step, reduce;
    logic [ACC-1:0] c, r, y;
    assign step   = op[0] & a_valid & w_valid;
    assign reduce = op[1];

    mac #(.KIND(KIND), .ACC(ACC), .STAGES(LATENCY - 1), .OVERFLOW(OVERFLOW)) u_mac (
        .clk, .step, .reduce, .a, .w, .r, .c, .y
    );
    accumulators #(
        .ACC(ACC), .LATENCY(LATENCY), .SUMS(SUMS), .INDEX(INDEX), .OVERLAP(OVERLAP)
    ) u_accumulators (
        .clk, .rst, .act(step | reduce), .reduce, .first(op[2]), .capture(op[3]),
        .index(op[4+:INDEX]), .c, .r, .y, .column, .above, .word, .captured
    );
endmodule
