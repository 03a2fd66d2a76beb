// Bytes of TQ1_0 (ggml) to the codes of a PE.
//
//   A byte is a fraction of 256: the first ternary digit is what a multiplication by 3 carries out
//   of 8 bits, and what stays in them holds the next digits. Digit = weight + 1; any byte is valid.
//
// A block of 256 weights has 48 bytes of TRITS = 5 and 4 bytes of TRITS = 4. Digit n of byte m is
// weight n * 32 + m of the first 32 bytes, 160 + n * 16 + m of the next 16, 240 + n * 4 + m of the
// last 4: wires, left to whoever lays out the row.
//
//   clk       clock of the output register
//   stored    BYTES bytes
//   weights   TRITS * BYTES codes of 2 bits, digit 0 of byte 0 lowest; one cycle later if REGISTERED
module decoder_tq1 #(
    parameter int BYTES      = 1,
    parameter int TRITS      = 5,
    parameter int REGISTERED = 0
) (
    input  logic                     clk,
    input  logic [8*BYTES-1:0]       stored,
    output logic [2*TRITS*BYTES-1:0] weights
);
    logic [2*TRITS*BYTES-1:0] digits;
    always_comb begin
        for (integer i = 0; i < BYTES; i = i + 1) begin : word
            logic [9:0] product;
            product = {2'b00, stored[8*i+:8]};
            for (integer n = 0; n < TRITS; n = n + 1) begin : trit
                product = {2'b00, product[7:0]} + {1'b0, product[7:0], 1'b0};
                digits[2*(TRITS*i+n)+:2] = product[9:8];
            end
        end
    end

    decoder_ternary2 #(.WEIGHTS(TRITS * BYTES), .REGISTERED(REGISTERED)) to_codes (
        .clk, .stored(digits), .weights
    );
endmodule
