// Accumulates the sums of an integer dot-product unit.
//
//   y = reduce ? c + r : add ? c + t : c
//
// t is a number, or {number, carry} that stands for their sum (CARRY = 1, see dot_ternary).
//
// Timing: y belongs to the operands given STAGES cycles before. The carry chain of the adder is cut
// into STAGES + 1 segments.
//
// add     add t; reduce goes before it
// reduce  add r
// t       sum of a dot-product unit, numbers in two's complement
// r       another partial sum, two's complement
// c       accumulator, two's complement
// y       next accumulator, wrapped (OVERFLOW = 0) or saturated (OVERFLOW = 1)
module sum_int #(
    parameter int ACC = 24,
    parameter int STAGES = 0,
    parameter int T = 12,
    parameter int CARRY = 0,
    parameter int OVERFLOW = 0
) (
    input  logic           clk,
    input  logic           add,
    input  logic           reduce,
    input  logic [T-1:0]   t,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
    localparam int SUM = T - CARRY;
    localparam int IN = ACC > SUM ? ACC : SUM;  // of the addend

    logic [SUM-1:0] t_sum;
    logic           t_carry;
    assign t_sum = t[T-1:CARRY];
    if (CARRY == 1) begin : with_carry
        assign t_carry = t[0];
    end else begin : without_carry
        assign t_carry = 1'b0;
    end

    // One adder serves both.
    logic [IN-1:0] addend;
    assign addend = reduce ? IN'($signed(r)) : add ? IN'($signed(t_sum)) : '0;

    int_adder #(.ACC(ACC), .IN(IN), .SEGMENTS(STAGES + 1), .OVERFLOW(OVERFLOW)) adder (
        .clk, .c, .addend, .carry(add && !reduce && t_carry), .y
    );
endmodule
