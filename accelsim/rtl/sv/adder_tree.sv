// Adds COUNT signed words level by level; each word may ask for one more (its carry).
//
// A node adds two words and the carry of the right one; the carry of the left one is passed on. So
// words that were inverted instead of negated cost no adder of their own, and one carry, that of
// word 0, is left for whoever follows. An odd word passes through.
//
// Timing: y belongs to the words given ceil(log2 COUNT) cycles before, a register behind each level
// (PIPELINED = 1), or the tree is combinational (PIPELINED = 0).
//
// x          COUNT words of WIDTH bits, two's complement, word 0 lowest
// carries    one per word
// y          x and all carries but that of word 0, exactly
// carry      the carry of word 0
module adder_tree #(
    parameter int COUNT = 4,
    parameter int WIDTH = 8,
    parameter int PIPELINED = 1
) (
    input  logic                           clk,
    input  logic [COUNT*WIDTH-1:0]         x,
    input  logic [COUNT-1:0]               carries,
    output logic [WIDTH+$clog2(COUNT)-1:0] y,
    output logic                           carry
);
    if (COUNT == 1) begin : root
        // verilator lint_off UNUSEDSIGNAL
        logic unclocked;
        // verilator lint_on UNUSEDSIGNAL
        assign unclocked = clk;
        assign y = x;
        assign carry = carries[0];
    end else begin : level
        localparam int NODES = (COUNT + 1) / 2;
        logic [NODES*(WIDTH+1)-1:0] sums;
        logic [NODES-1:0]           passed;

        for (genvar i = 0; i < NODES; i++) begin : node
            logic [WIDTH:0] left;
            logic [WIDTH:0] sum;
            assign left = (WIDTH + 1)'($signed(x[2*i*WIDTH+:WIDTH]));
            if (2 * i + 1 < COUNT) begin : pair
                logic [WIDTH:0] right;
                assign right = (WIDTH + 1)'($signed(x[(2*i+1)*WIDTH+:WIDTH]));
                assign sum   = left + right + (WIDTH + 1)'(carries[2*i+1]);
            end else begin : odd
                assign sum = left;
            end
            assign sums[i*(WIDTH+1)+:WIDTH+1] = sum;
            assign passed[i] = carries[2*i];
        end

        logic [NODES*(WIDTH+1)-1:0] sums_taken;
        logic [NODES-1:0]           passed_taken;
        delay #(.WIDTH(NODES * (WIDTH + 2)), .DEPTH(PIPELINED)) rank (
            .clk, .d({sums, passed}), .q({sums_taken, passed_taken})
        );
        adder_tree #(.COUNT(NODES), .WIDTH(WIDTH + 1), .PIPELINED(PIPELINED)) rest (
            .clk, .x(sums_taken), .carries(passed_taken), .y, .carry
        );
    end
endmodule
