// Stand-in until the leaf cells are merged: ternary and int8.
module mac #(
    parameter int KIND = 0,
    parameter int ACC = 32,
    parameter int STAGES = 0,
    parameter int OVERFLOW = 0,
    parameter int A = 8,
    parameter int W = KIND == 0 ? 2 : 8
) (
    input  logic           clk,
    input  logic           step,
    input  logic           reduce,
    input  logic [  A-1:0] a,
    input  logic [  W-1:0] w,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
  logic signed [63:0] product, sum;
  logic [ACC-1:0] total;
  assign product = $signed(a) * $signed(w);
  assign sum = reduce ? 64'($signed(c)) + 64'($signed(r)) : step ? 64'($signed(c)) + product : 64'($signed(c));
  localparam signed [63:0] MAX = (64'sd1 << (ACC - 1)) - 64'sd1;
  assign total = OVERFLOW == 0 ? ACC'(sum) : sum > MAX ? ACC'(MAX) : sum < -MAX - 1 ? ACC'(-MAX - 1) : ACC'(sum);
  delay #(.WIDTH(ACC), .DEPTH(STAGES)) u_pipe (.clk(clk), .d(total), .q(y));
endmodule
