// Largest of COUNT unsigned words, level by level; an odd word passes through.
//
// Timing: y belongs to the words given STAGES cycles before, a register behind each of the last
// STAGES of the ceil(log2 COUNT) levels.
//
//   clk   clock of the registers
//   x     COUNT words of WIDTH bits, word 0 lowest
//   y     the largest
module max_tree #(
    parameter int COUNT  = 4,
    parameter int WIDTH  = 15,
    parameter int STAGES = 0
) (
    input  logic                   clk,
    input  logic [COUNT*WIDTH-1:0] x,
    output logic [WIDTH-1:0]       y
);
    if (COUNT == 1) begin : root
        // verilator lint_off UNUSEDSIGNAL
        logic unclocked;
        // verilator lint_on UNUSEDSIGNAL
        assign unclocked = clk;
        assign y = x;
    end else begin : level
        localparam int NODES = (COUNT + 1) / 2;
        logic [NODES*WIDTH-1:0] larger, larger_taken;

        for (genvar i = 0; i < NODES; i++) begin : node
            logic [WIDTH-1:0] left;
            assign left = x[2*i*WIDTH+:WIDTH];
            if (2 * i + 1 < COUNT) begin : pair
                logic [WIDTH-1:0] right;
                assign right = x[(2*i+1)*WIDTH+:WIDTH];
                assign larger[i*WIDTH+:WIDTH] = left < right ? right : left;
            end else begin : odd
                assign larger[i*WIDTH+:WIDTH] = left;
            end
        end

        localparam int RANK = STAGES >= $clog2(COUNT) ? 1 : 0;
        delay #(.WIDTH(NODES * WIDTH), .DEPTH(RANK)) rank (.clk, .d(larger), .q(larger_taken));
        max_tree #(.COUNT(NODES), .WIDTH(WIDTH), .STAGES(STAGES - RANK)) rest (
            .clk, .x(larger_taken), .y
        );
    end
endmodule
