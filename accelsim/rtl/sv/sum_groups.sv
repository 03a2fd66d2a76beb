// The exact sum of every GROUP neighbouring words. Combinational.
//
//   words   COUNT signed words of WIDTH bits
//   plus    one more to add for each word: what completes a complement to a negation
//   sums    ceil(COUNT / GROUP) signed words of SUM bits; the last group may be smaller
//
// GROUP is a power of two. SUM has room for the sum of negated words of WIDTH bits, too, as long
// as none of them is -2^(WIDTH - 1).
module sum_groups #(
    parameter int COUNT  = 4,
    parameter int GROUP  = 2,
    parameter int WIDTH  = 28,
    parameter int GROUPS = (COUNT + GROUP - 1) / GROUP,
    parameter int SUM    = WIDTH + $clog2(GROUP)
) (
    input  logic [COUNT*WIDTH-1:0] words,
    input  logic [COUNT-1:0]       plus,
    output logic [GROUPS*SUM-1:0]  sums
);
    for (genvar i = 0; i < GROUPS; i = i + 1) begin : group
        logic [SUM-1:0] sum;
        always_comb begin
            sum = '0;
            for (int j = i * GROUP; j < (i + 1) * GROUP && j < COUNT; j = j + 1)
                sum = sum + SUM'($signed(words[j*WIDTH+:WIDTH])) + SUM'(plus[j]);
        end
        assign sums[i*SUM+:SUM] = sum;
    end
endmodule
