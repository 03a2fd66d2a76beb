// The largest of every GROUP neighbouring words, found in a tree. Combinational.
//
//   words     COUNT unsigned words of WIDTH bits
//   largest   ceil(COUNT / GROUP) words; the last group may be smaller
//
// GROUP is a power of two.
module largest_groups #(
    parameter integer COUNT  = 4,
    parameter integer GROUP  = 2,
    parameter integer WIDTH  = 6,
    parameter integer GROUPS = (COUNT + GROUP - 1) / GROUP
) (
    input  logic [COUNT*WIDTH-1:0]  words,
    output logic [GROUPS*WIDTH-1:0] largest
);
    // After each round word i is the largest of words i .. i + 2 * span - 1.
    logic [GROUPS*GROUP*WIDTH-1:0] round;
    always_comb begin
        round = (GROUPS * GROUP * WIDTH)'(words);
        for (integer span = 1; span < GROUP; span = 2 * span)
            for (integer i = 0; i < GROUPS * GROUP; i = i + 2 * span)
                if (round[(i+span)*WIDTH+:WIDTH] > round[i*WIDTH+:WIDTH])
                    round[i*WIDTH+:WIDTH] = round[(i+span)*WIDTH+:WIDTH];
        for (integer i = 0; i < GROUPS; i = i + 1)
            largest[i*WIDTH+:WIDTH] = round[i*GROUP*WIDTH+:WIDTH];
    end
endmodule
