// Adds two words and a carry in segments of the carry chain, one segment per cycle.
//
// Timing: y belongs to the operands given SEGMENTS - 1 cycles before; each segment but the last
// ends in registers, with the operands of the segments to come. SEGMENTS = 1 is combinational.
//
// a, b   operands
// carry  carry into bit 0
// y      (a + b + carry) modulo 2^WIDTH
module carry_chain #(
    parameter int WIDTH = 24,
    parameter int SEGMENTS = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] a,
    input  logic [WIDTH-1:0] b,
    input  logic             carry,
    output logic [WIDTH-1:0] y
);
    if (SEGMENTS == 1) begin : last
        // verilator lint_off UNUSEDSIGNAL
        logic unclocked;
        // verilator lint_on UNUSEDSIGNAL
        assign unclocked = clk;
        assign y = a + b + WIDTH'(carry);
    end else begin : segment
        localparam int LOW = (WIDTH + SEGMENTS - 1) / SEGMENTS;
        localparam int HIGH = WIDTH - LOW;

        logic [LOW:0] sum;  // with the carry out
        assign sum = {1'b0, a[LOW-1:0]} + {1'b0, b[LOW-1:0]} + (LOW + 1)'(carry);

        logic [LOW:0]    sum_taken;
        logic [HIGH-1:0] a_left;
        logic [HIGH-1:0] b_left;
        always_ff @(posedge clk) begin
            sum_taken <= sum;
            a_left    <= a[WIDTH-1:LOW];
            b_left    <= b[WIDTH-1:LOW];
        end

        carry_chain #(.WIDTH(HIGH), .SEGMENTS(SEGMENTS - 1)) rest (
            .clk, .a(a_left), .b(b_left), .carry(sum_taken[LOW]), .y(y[WIDTH-1:LOW])
        );
        delay #(.WIDTH(LOW), .DEPTH(SEGMENTS - 2)) finished (
            .clk, .d(sum_taken[LOW-1:0]), .q(y[LOW-1:0])
        );
    end
endmodule
