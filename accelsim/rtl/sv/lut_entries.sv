// Table of a LUT group: the sums of 3 activations that belong to n = w0 + 3 w1 + 9 w2 = 0 to 13.
//
// Timing: activations given with fill in cycle t stand in the table from cycle t + 1 on.
//
// fill     take the activations
// a        3 activations, that of w0 lowest, two's complement
// entries  14 entries of 10 bits, entry 0 (zero) lowest
module lut_entries (
    input  logic         clk,
    input  logic         fill,
    input  logic [23:0]  a,
    output logic [139:0] entries
);
    logic signed [9:0] a0;
    logic signed [9:0] a1;
    logic signed [9:0] a2;
    assign a0 = 10'($signed(a[7:0]));
    assign a1 = 10'($signed(a[15:8]));
    assign a2 = 10'($signed(a[23:16]));

    logic signed [9:0] sum_01;  // shared by two entries each
    logic signed [9:0] difference_01;
    assign sum_01        = a0 + a1;
    assign difference_01 = a0 - a1;

    logic [129:0] sums;
    assign sums = {
        a2 + sum_01,         // 13
        a2 + a1,
        a2 - difference_01,  // 11
        a2 + a0,
        a2,                  // 9
        a2 - a0,
        a2 + difference_01,  // 7
        a2 - a1,
        a2 - sum_01,         // 5
        sum_01,
        a1,                  // 3
        -difference_01,
        a0                   // 1
    };

    logic [129:0] taken;
    always_ff @(posedge clk) begin : cells
        if (fill) taken <= sums;
    end
    assign entries = {taken, 10'b0};
endmodule
