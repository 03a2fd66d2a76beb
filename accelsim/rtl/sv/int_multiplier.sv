// Multiplies an int8 activation by an integer weight of W bits, in 0 to 2 register ranks.
//
// Timing: y belongs to the operands given RANKS cycles before. One rank stands behind the
// multiplier; two cut it: half multipliers | their sum, which is registered again.
//
// valid  without it the product is zero, whatever a and w show
// a      activation, two's complement
// w      weight, two's complement
// y      a * w, two's complement; zero if not valid
module int_multiplier #(
    parameter int W = 8,
    parameter int RANKS = 0
) (
    input  logic           clk,
    input  logic           valid,
    input  logic [7:0]     a,
    input  logic [W-1:0]   w,
    output logic [W+7:0]   y
);
    // A gated weight keeps what is not valid out of the multiplier.
    logic [W-1:0] weight;
    assign weight = valid ? w : '0;

    if (RANKS < 2) begin : whole
        logic signed [W+7:0] product;
        assign product = $signed(a) * $signed(weight);
        delay #(.WIDTH(W + 8), .DEPTH(RANKS)) rank (.clk, .d(product), .q(y));
    end else begin : halves
        // The low half of a weight is unsigned, the high half carries the sign.
        localparam int HALF = W / 2;
        logic signed [HALF+8:0] low;
        logic signed [HALF+7:0] high;
        assign low  = $signed(a) * $signed({1'b0, weight[HALF-1:0]});
        assign high = $signed(a) * $signed(weight[W-1:HALF]);

        logic signed [HALF+8:0] low_taken;
        logic signed [HALF+7:0] high_taken;
        logic signed [W+7:0]    product;
        always_ff @(posedge clk) begin
            low_taken  <= low;
            high_taken <= high;
            product    <= $signed({high_taken, {HALF{1'b0}}}) + (W + 8)'(low_taken);
        end
        assign y = product;
    end
endmodule
