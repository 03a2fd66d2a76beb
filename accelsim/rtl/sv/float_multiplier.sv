// Exact product of two significands, in 0 to 2 register ranks.
//
// Timing: product belongs to the operands given RANKS cycles before. One rank stands behind the
// multiplier; two cut it: products with each third of w | their sum, which is registered again.
//
//   clk       clock of the registers
//   a, w      WIDTH bits, unsigned
//   product   2 * WIDTH bits
module float_multiplier #(
    parameter int WIDTH = 24,
    parameter int RANKS = 0
) (
    input  logic               clk,
    input  logic [WIDTH-1:0]   a,
    input  logic [WIDTH-1:0]   w,
    output logic [2*WIDTH-1:0] product
);
    logic [2*WIDTH-1:0] whole;
    if (RANKS < 2) begin : at_once
        float_multiply #(.WIDTH(WIDTH)) multiply (.a, .w, .product(whole));
    end else begin : thirds
        localparam int PART = (WIDTH + 2) / 3;
        localparam int WIDE = WIDTH + PART;
        logic [3*PART-1:0] padded;
        logic [3*WIDE-1:0] parts, parts_taken;
        assign padded = (3 * PART)'(w);
        for (genvar i = 0; i < 3; i++) begin : third
            assign parts[i*WIDE+:WIDE] = {{PART{1'b0}}, a} * {{WIDTH{1'b0}}, padded[i*PART+:PART]};
        end
        delay #(.WIDTH(3 * WIDE), .DEPTH(1)) part_rank (.clk, .d(parts), .q(parts_taken));
        assign whole = (2 * WIDTH)'(parts_taken[0+:WIDE])
                     + ((2 * WIDTH)'(parts_taken[WIDE+:WIDE]) << PART)
                     + ((2 * WIDTH)'(parts_taken[2*WIDE+:WIDE]) << (2 * PART));
    end
    delay #(.WIDTH(2 * WIDTH), .DEPTH(RANKS == 0 ? 0 : 1)) rank (.clk, .d(whole), .q(product));
endmodule
