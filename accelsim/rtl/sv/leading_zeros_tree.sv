// Counts the zeros above the highest one of a word, like leading_zeros. Combinational, a tree: larger
// and of half the depth.
//
//   word    WIDTH bits
//   count   0 .. WIDTH - 1; 2 ** COUNT - 1 if no bit is set
module leading_zeros_tree #(
    parameter int WIDTH = 32,
    parameter int COUNT = $clog2(WIDTH + 1)
) (
    input  logic [WIDTH-1:0] word,
    output logic [COUNT-1:0] count
);
    localparam int PADDED = 2 ** COUNT;

    // After each level place i stands for the 2 ** (level + 1) places from i on.
    logic [PADDED-1:0] none;
    logic [PADDED*COUNT-1:0] counts;
    always_comb begin
        none   = ~{word, {(PADDED - WIDTH) {1'b0}}};
        counts = '0;
        for (int level = 0; level < COUNT; level = level + 1)
            for (int i = 0; i < PADDED; i = i + 2 ** (level + 1)) begin
                if (none[i+2**level])
                    counts[i*COUNT+:COUNT] = counts[i*COUNT+:COUNT] | COUNT'(1 << level);
                else counts[i*COUNT+:COUNT] = counts[(i+2**level)*COUNT+:COUNT];
                none[i] = none[i] & none[i+2**level];
            end
        count = counts[COUNT-1:0];
    end
endmodule
