// Exact product of two significands, in 0 to 2 register ranks.
//
// Timing: product belongs to the operands given RANKS cycles before. One rank stands behind the
// multiplier; two cut it: products with each of PARTS parts of w | their sum, which is registered
// again.
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
        localparam int PART = (WIDTH + PARTS - 1) / PARTS;
        localparam int WIDE = WIDTH + PART;
        logic [PARTS*PART-1:0] padded;
        logic [PARTS*WIDE-1:0] products, taken;
        assign padded = (PARTS * PART)'(w);
        for (genvar i = 0; i < PARTS; i++) begin : part
            assign products[i*WIDE+:WIDE] =
                {{PART{1'b0}}, a} * {{WIDTH{1'b0}}, padded[i*PART+:PART]};
        end
        delay #(.WIDTH(PARTS * WIDE), .DEPTH(1)) part_rank (.clk, .d(products), .q(taken));
        always_comb begin
            whole = '0;
            for (int i = 0; i < PARTS; i = i + 1)
                whole = whole + ((2 * WIDTH)'(taken[i*WIDE+:WIDE]) << (i * PART));
        end
    end
    delay #(.WIDTH(2 * WIDTH), .DEPTH(RANKS == 0 ? 0 : 1)) rank (.clk, .d(whole), .q(product));
endmodule
