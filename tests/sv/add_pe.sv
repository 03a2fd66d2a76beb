// A ternary adder PE with its registers: one operand pair in, one sum kept.
//   clk, rst   rising edge; rst clears what says whether operands are valid
//   a, w       activation (int8) and weight (00 = 0, 01 = +1, 11 = -1), with valid
//   clear      the sum starts again with this product
//   a_q, w_q   operands of the cycle before, for the neighbour
//   sum        the running sum
module add_pe #(parameter integer ACC = 20) (
    input  logic           clk, rst,
    input  logic           valid, clear,
    input  logic [7:0]     a,
    input  logic [1:0]     w,
    output logic [7:0]     a_q,
    output logic [1:0]     w_q,
    output logic [ACC-1:0] sum
);
  logic valid_q, clear_q;
  logic signed [ACC-1:0] term, base;

  always_ff @(posedge clk) begin
    a_q <= a;
    w_q <= w;
    clear_q <= clear;
    if (rst) valid_q <= 1'b0;
    else valid_q <= valid;
  end

  always_comb begin
    base = $signed(sum);
    if (clear_q) base = '0;
    term = '0;
    if (w_q[0]) term = {{(ACC - 8){a_q[7]}}, a_q};
  end

  always_ff @(posedge clk) if (valid_q) sum <= w_q[1] ? base - term : base + term;
endmodule
