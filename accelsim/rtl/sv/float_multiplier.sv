// Exact product of two significands, in 0 to 3 register ranks.
//
// Timing: product belongs to the operands given RANKS cycles before. One rank stands behind the
// multiplier; two cut it: products with each of PARTS parts of w | their sum, which is registered
// again. Three have twice as many parts, and add those of either half of w | the two sums.
//
//   clk       clock of the registers
//   a, w      WIDTH bits, unsigned
//   product   2 * WIDTH bits
module float_multiplier #(
    parameter int WIDTH = 24,
    parameter int RANKS = 0,
    parameter int PARTS = 4
) (
    input  logic               clk,
    input  logic [WIDTH-1:0]   a,
    input  logic [WIDTH-1:0]   w,
    output logic [2*WIDTH-1:0] product
);
    logic [2*WIDTH-1:0] whole;
    if (RANKS < 2) begin : at_once
        float_multiply #(.WIDTH(WIDTH)) multiply (.a, .w, .product(whole));
    end else begin : parts
        localparam int HALVES = RANKS == 2 ? 1 : 2;
        localparam int COUNT  = PARTS * HALVES;
        localparam int PART   = (WIDTH + COUNT - 1) / COUNT;
        localparam int WIDE   = WIDTH + PART;
        localparam int SUM    = WIDTH + PARTS * PART;
        logic [COUNT*PART-1:0] padded;
        logic [COUNT*WIDE-1:0] products, taken;
        assign padded = (COUNT * PART)'(w);
        for (genvar i = 0; i < COUNT; i++) begin : part
            assign products[i*WIDE+:WIDE] =
                {{PART{1'b0}}, a} * {{WIDTH{1'b0}}, padded[i*PART+:PART]};
        end
        delay #(.WIDTH(COUNT * WIDE), .DEPTH(1)) part_rank (.clk, .d(products), .q(taken));

        logic [HALVES*SUM-1:0] sums, halves;
        always_comb begin
            sums = '0;
            for (int i = 0; i < COUNT; i = i + 1)
                sums[i/PARTS*SUM+:SUM] = sums[i/PARTS*SUM+:SUM]
                    + (SUM'(taken[i*WIDE+:WIDE]) << (i % PARTS * PART));
        end
        delay #(.WIDTH(HALVES * SUM), .DEPTH(HALVES - 1)) half_rank (.clk, .d(sums), .q(halves));
        always_comb begin
            whole = '0;
            for (int i = 0; i < HALVES; i = i + 1)
                whole = whole + ((2 * WIDTH)'(halves[i*SUM+:SUM]) << (i * PARTS * PART));
        end
    end
    delay #(.WIDTH(2 * WIDTH), .DEPTH(RANKS == 0 ? 0 : 1)) rank (.clk, .d(whole), .q(product));
endmodule
