// Reduces words to two that have the same sum, three words to two at a time. Combinational; no
// carry runs further than one place.
//
//   words    COUNT words of WIDTH bits, word 0 lowest
//   sum, carry   their sum is that of the words, modulo 2^WIDTH
module carry_save #(
    parameter int COUNT = 4,
    parameter int WIDTH = 8
) (
    input  logic [COUNT*WIDTH-1:0] words,
    output logic [WIDTH-1:0]       sum,
    output logic [WIDTH-1:0]       carry
);
    if (COUNT == 2) begin : two
        assign {carry, sum} = words;
    end else begin : level
        localparam int THREES = COUNT / 3;
        localparam int LEFT   = COUNT - THREES;
        logic [LEFT*WIDTH-1:0] fewer;
        for (genvar i = 0; i < THREES; i++) begin : three
            logic [WIDTH-1:0] x, y, z;
            logic [WIDTH-2:0] over;  // the highest place's carry is lost
            assign {z, y, x} = words[3*i*WIDTH+:3*WIDTH];
            assign over = (WIDTH - 1)'(x & y | z & (x ^ y));
            assign fewer[2*i*WIDTH+:2*WIDTH] = {over, 1'b0, x ^ y ^ z};
        end
        if (COUNT > 3 * THREES) begin : odd
            assign fewer[LEFT*WIDTH-1:2*THREES*WIDTH] = words[COUNT*WIDTH-1:3*THREES*WIDTH];
        end
        carry_save #(.COUNT(LEFT), .WIDTH(WIDTH)) rest (.words(fewer), .sum, .carry);
    end
endmodule
