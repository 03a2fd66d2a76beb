// Exact product of two significands, in 3 register ranks; float_multiplier has fewer.
//
// Timing: product belongs to the operands given 3 cycles before: products with each of PARTS parts
// in either half of w | sums of a half | their sum, which is registered again.
//
//   clk       clock of the registers
//   a, w      WIDTH bits, unsigned
//   product   2 * WIDTH bits
module float_multiplier_halves #(
    parameter int WIDTH = 24,
    parameter int PARTS = 4
) (
    input  logic               clk,
    input  logic [WIDTH-1:0]   a,
    input  logic [WIDTH-1:0]   w,
    output logic [2*WIDTH-1:0] product
);
    localparam int PART = (WIDTH + 2 * PARTS - 1) / (2 * PARTS);
    localparam int HALF = PARTS * PART;
    localparam int WIDE = WIDTH + PART;
    localparam int SUM  = WIDTH + HALF;
    logic [2*HALF-1:0] padded;
    logic [2*SUM-1:0] sums;
    assign padded = (2 * HALF)'(w);
    for (genvar h = 0; h < 2; h++) begin : half
        logic [PARTS*WIDE-1:0] products, taken;
        for (genvar i = 0; i < PARTS; i++) begin : part
            assign products[i*WIDE+:WIDE] =
                {{PART{1'b0}}, a} * {{WIDTH{1'b0}}, padded[h*HALF+i*PART+:PART]};
        end
        delay #(.WIDTH(PARTS * WIDE), .DEPTH(1)) part_rank (.clk, .d(products), .q(taken));
        logic [SUM-1:0] sum;
        always_comb begin
            sum = '0;
            for (int i = 0; i < PARTS; i = i + 1)
                sum = sum + (SUM'(taken[i*WIDE+:WIDE]) << (i * PART));
        end
        delay #(.WIDTH(SUM), .DEPTH(1)) sum_rank (.clk, .d(sum), .q(sums[h*SUM+:SUM]));
    end
    logic [2*WIDTH-1:0] whole;
    assign whole = (2 * WIDTH)'(sums[SUM-1:0]) + ((2 * WIDTH)'(sums[SUM+:SUM]) << HALF);
    delay #(.WIDTH(2 * WIDTH), .DEPTH(1)) rank (.clk, .d(whole), .q(product));
endmodule
