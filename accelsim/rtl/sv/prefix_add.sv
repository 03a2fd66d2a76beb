// Generates and propagates of an addition, of all places up to each one (Sklansky's network).
// Combinational. For adders that need more than a sum, or a carry as deep as the width's logarithm.
//
//   a, b        WIDTH bits
//   generates   bit i: places 0 to i carry out by themselves
//   propagates  bit i: places 0 to i hand a carry through
module prefix_add #(
    parameter int WIDTH = 8
) (
    input  logic [WIDTH-1:0] a,
    input  logic [WIDTH-1:0] b,
    output logic [WIDTH-1:0] generates,
    output logic [WIDTH-1:0] propagates
);
    always_comb begin
        generates  = a & b;
        propagates = a ^ b;
        for (int level = 0; 2 ** level < WIDTH; level = level + 1)
            for (int i = 2 ** level; i < WIDTH; i = i + 1)
                if ((i >> level) % 2 == 1) begin
                    generates[i]  = generates[i]
                                  | propagates[i] & generates[((i >> level) << level) - 1];
                    propagates[i] = propagates[i] & propagates[((i >> level) << level) - 1];
                end
    end
endmodule
