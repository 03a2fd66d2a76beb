// For ROWS cycles after its bottom PE captured, a column gives one word per cycle.
//
// clk, rst  clock, synchronous reset
// captured  the bottom PE captures now; its sum is visible in the next cycle
// leaving   the bottom word of the column leaves in this cycle
module drain_counter #(
    parameter int ROWS = 1
) (
    input  logic clk,
    input  logic rst,
    input  logic captured,
    output logic leaving
);
    localparam int COUNT = $clog2(ROWS + 1);
    logic [COUNT-1:0] left;
    assign leaving = left != '0;
    always_ff @(posedge clk)
        if (rst) left <= '0;
        else if (captured) left <= COUNT'(ROWS);
        else if (leaving) left <= left - COUNT'(1);
endmodule
