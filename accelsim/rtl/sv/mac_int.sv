// Multiply-accumulate of an int8 activation and an integer weight of W bits (8 or 4).
//
//   y = reduce ? c + r : step ? c + a * w : c
//
// Timing: y belongs to the operands given STAGES cycles before.
//
//   STAGES = 0  multiplier, adder
//   STAGES = 1  multiplier | adder
//   STAGES = 2  two half multipliers | their sum | adder
//   STAGES = 3  two half multipliers | their sum | low half of the adder | high half
//
// step    add a * w; reduce goes before it
// reduce  add r
// a       activation, two's complement
// w       weight, two's complement
// r       another partial sum, two's complement
// c       accumulator, two's complement
// y       next accumulator, wrapped (OVERFLOW = 0) or saturated (OVERFLOW = 1)
module mac_int #(
    parameter int ACC = 32,
    parameter int STAGES = 0,
    parameter int OVERFLOW = 0,
    parameter int W = 8
) (
    input  logic           clk,
    input  logic           step,
    input  logic           reduce,
    input  logic [7:0]     a,
    input  logic [W-1:0]   w,
    input  logic [ACC-1:0] r,
    input  logic [ACC-1:0] c,
    output logic [ACC-1:0] y
);
    localparam int PRODUCT = 8 + W;
    localparam int IN = ACC > PRODUCT ? ACC : PRODUCT;  // of the addend
    localparam int RANKS = STAGES > 2 ? 2 : STAGES;  // in front of the adder

    logic [PRODUCT-1:0] product;
    int_multiplier #(.W(W), .RANKS(RANKS)) multiplier (
        .clk, .valid(step && !reduce), .a, .w, .y(product)
    );

    // What does not go through the multiplier waits for it.
    logic           reduce_now;
    logic [ACC-1:0] r_now;
    logic [ACC-1:0] c_now;
    delay #(.WIDTH(1 + 2 * ACC), .DEPTH(RANKS)) waiting (
        .clk, .d({reduce, r, c}), .q({reduce_now, r_now, c_now})
    );

    // One adder serves both.
    logic [IN-1:0] addend;
    assign addend = reduce_now ? IN'($signed(r_now)) : IN'($signed(product));

    int_adder #(.ACC(ACC), .IN(IN), .SEGMENTS(STAGES - RANKS + 1), .OVERFLOW(OVERFLOW)) adder (
        .clk, .c(c_now), .addend, .carry(1'b0), .y
    );
endmodule
