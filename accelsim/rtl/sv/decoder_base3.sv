// Bytes of five base-3 digits (5 in 8, "base3") to the codes of a PE.
//
//   byte = 81 d0 + 27 d1 + 9 d2 + 3 d3 + d4, digit = weight + 1. A byte above 242 holds no weights;
//   what comes out for it is ternary, and else not defined.
//
// The digits fall out from the highest down: two comparisons and a subtraction each. What is left
// gets narrower on the way.
//
//   clk       clock of the output register
//   stored    BYTES bytes
//   weights   5 * BYTES codes of 2 bits, d0 of byte 0 lowest; one cycle later if REGISTERED
module decoder_base3 #(
    parameter int BYTES      = 1,
    parameter int REGISTERED = 0
) (
    input  logic                clk,
    input  logic [8*BYTES-1:0]  stored,
    output logic [10*BYTES-1:0] weights
);
    logic [10*BYTES-1:0] digits;
    for (genvar i = 0; i < BYTES; i = i + 1) begin : word
        logic [7:0] rest0;
        logic [6:0] rest1;
        logic [4:0] rest2;
        logic [3:0] rest3;
        logic [1:0] rest4;
        logic [1:0] d0, d1, d2, d3, d4;
        always_comb begin
            rest0 = stored[8*i+:8];
            d0    = {rest0 >= 162, rest0 >= 81 && rest0 < 162};
            rest1 = 7'(rest0 - (d0[1] ? 8'd162 : d0[0] ? 8'd81 : 8'd0));
            d1    = {rest1 >= 54, rest1 >= 27 && rest1 < 54};
            rest2 = 5'(rest1 - (d1[1] ? 7'd54 : d1[0] ? 7'd27 : 7'd0));
            d2    = {rest2 >= 18, rest2 >= 9 && rest2 < 18};
            rest3 = 4'(rest2 - (d2[1] ? 5'd18 : d2[0] ? 5'd9 : 5'd0));
            d3    = {rest3 >= 6, rest3 >= 3 && rest3 < 6};
            rest4 = 2'(rest3 - (d3[1] ? 4'd6 : d3[0] ? 4'd3 : 4'd0));
            d4    = rest4;
        end
        assign digits[10*i+:10] = {d4, d3, d2, d1, d0};
    end

    decoder_ternary2 #(.WEIGHTS(5 * BYTES), .REGISTERED(REGISTERED)) to_codes (
        .clk, .stored(digits), .weights
    );
endmodule
