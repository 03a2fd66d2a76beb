// The largest of every GROUP neighbouring words, found in a tree. Combinational.
//
//   words     COUNT unsigned words of WIDTH bits
//   largest   ceil(COUNT / GROUP) words; the last group may be smaller
//
// GROUP is a power of two.
module largest_groups #(
    parameter int COUNT  = 4,
    parameter int GROUP  = 2,
    parameter int WIDTH  = 6,
    parameter int GROUPS = (COUNT + GROUP - 1) / GROUP
) (
    input  logic [COUNT*WIDTH-1:0]  words,
    output logic [GROUPS*WIDTH-1:0] largest
);
    // After each round word i is the largest of words i .. i + 2 * span - 1.
    logic [GROUPS*GROUP*WIDTH-1:0] round;
    always_comb begin
        round = (GROUPS * GROUP * WIDTH)'(words);
        for (int span = 1; span < GROUP; span = 2 * span)
            for (int i = 0; i < GROUPS * GROUP; i = i + 2 * span)
                if (round[(i+span)*WIDTH+:WIDTH] > round[i*WIDTH+:WIDTH])
                    round[i*WIDTH+:WIDTH] = round[(i+span)*WIDTH+:WIDTH];
        for (int i = 0; i < GROUPS; i = i + 1)
            largest[i*WIDTH+:WIDTH] = round[i*GROUP*WIDTH+:WIDTH];
    end
endmodule
