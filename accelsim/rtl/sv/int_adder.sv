// Adds a signed addend and a carry to an accumulator.
//
// Timing: y belongs to the operands given SEGMENTS - 1 cycles before (see carry_chain).
//
// c       accumulator, two's complement
// addend  what is added, two's complement, of any width
// carry   one more: completes the two's complement of an addend that was only inverted
// y       the sum: its low bits (OVERFLOW = 0), or the nearest number of ACC bits (OVERFLOW = 1)
module int_adder #(
    parameter int ACC = 24,
    parameter int IN = ACC,
    parameter int SEGMENTS = 1,
    parameter int OVERFLOW = 0
) (
    input  logic           clk,
    input  logic [ACC-1:0] c,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [IN-1:0]  addend,  // the high bits of a wide one do not change a wrapped sum
    // verilator lint_on UNUSEDSIGNAL
    input  logic           carry,
    output logic [ACC-1:0] y
);
    // Wrapped sums need ACC bits only; exact ones need one more than the wider operand.
    localparam int EXACT = (ACC > IN ? ACC : IN) + 1;
    localparam int WIDTH = OVERFLOW == 0 ? ACC : EXACT;

    logic [WIDTH-1:0] wide_c;
    logic [WIDTH-1:0] wide_addend;
    logic [WIDTH-1:0] sum;
    assign wide_c      = WIDTH'($signed(c));
    assign wide_addend = WIDTH'($signed(addend));
    carry_chain #(.WIDTH(WIDTH), .SEGMENTS(SEGMENTS)) chain (
        .clk, .a(wide_c), .b(wide_addend), .carry, .y(sum)
    );

    if (OVERFLOW == 0) begin : wrap
        assign y = sum;
    end else begin : saturate
        // The sum fits if all bits from the sign of y upwards agree.
        logic sign;
        logic fits;
        assign sign = sum[WIDTH-1];
        assign fits = sum[WIDTH-1:ACC-1] == {(WIDTH - ACC + 1) {sign}};
        assign y    = fits ? sum[ACC-1:0] : {sign, {(ACC - 1) {!sign}}};
    end
endmodule
