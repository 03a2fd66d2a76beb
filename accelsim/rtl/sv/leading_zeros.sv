// Counts the zeros above the highest one of a word. Combinational, halving what is left to search.
//
//   word    WIDTH bits
//   count   0 .. WIDTH - 1; 2 ** COUNT - 1 if no bit is set
module leading_zeros #(
    parameter int WIDTH = 32,
    parameter int COUNT = $clog2(WIDTH + 1)
) (
    input  logic [WIDTH-1:0] word,
    output logic [COUNT-1:0] count
);
    localparam int PADDED = 2 ** COUNT;

    logic [PADDED-1:0] rest;
    always_comb begin
        rest = {word, {(PADDED - WIDTH) {1'b0}}};
        for (int i = COUNT - 1; i >= 0; i = i - 1) begin
            count[i] = (rest >> (PADDED - 2 ** i)) == 0;
            if (count[i]) rest = rest << (2 ** i);
        end
    end
endmodule
