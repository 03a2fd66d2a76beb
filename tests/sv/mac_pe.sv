// An int8 multiply-accumulate PE with its registers; ports as in add_pe, an int8 weight.
module mac_pe #(parameter integer ACC = 32) (
    input  logic           clk, rst,
    input  logic           valid, clear,
    input  logic [7:0]     a,
    input  logic [7:0]     w,
    output logic [7:0]     a_q,
    output logic [7:0]     w_q,
    output logic [ACC-1:0] sum
);
  logic valid_q, clear_q;
  logic signed [15:0] product;
  logic signed [ACC-1:0] base;

  always_ff @(posedge clk) begin
    a_q <= a;
    w_q <= w;
    clear_q <= clear;
    if (rst) valid_q <= 1'b0;
    else valid_q <= valid;
  end

  always_comb begin
    product = $signed(a_q) * $signed(w_q);
    base = $signed(sum);
    if (clear_q) base = '0;
  end

  always_ff @(posedge clk) if (valid_q) sum <= base + {{(ACC - 16){product[15]}}, product};
endmodule
