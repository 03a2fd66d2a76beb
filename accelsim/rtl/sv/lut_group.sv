// PE that looks up sums of 3 activations: a table is filled once, then each of READERS weight
// indices a cycle adds one of its entries, that is 3 ternary multiply-adds, to an accumulator.
//
// 3 ternary weights choose among 27 sums, 13 of them, their negatives, and zero. An index is
// the number n = w0 + 3 w1 + 9 w2 in sign and magnitude, and entry |n| of the table holds
// the sum that belongs to |n|.
//
// Timing: fill and activations given in cycle t stand in the table from cycle t + 1 on. An index
// given in cycle t stands in a register in cycle t + 1, where it reads the table and is added; y
// shows the sum from cycle t + 2 on. So fill may be given with the first indices that use it.
//
// rst    synchronous; y needs none, since a first step starts from zero
// fill   take the activations
// a      3 activations, that of w0 lowest, two's complement
// step   these indices count; without it all y stay
// first  this step starts from zero
// index  5 bits a reader, reader 0 lowest: {n < 0, |n|}, |n| up to 13
// y      ACC bits a reader, wrapped (OVERFLOW = 0) or saturated once per step (OVERFLOW = 1)
module lut_group #(
    parameter int READERS = 1,
    parameter int ACC = 24,
    parameter int OVERFLOW = 0
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic                   fill,
    input  logic [23:0]            a,
    input  logic                   step,
    input  logic                   first,
    input  logic [READERS*5-1:0]   index,
    output logic [READERS*ACC-1:0] y
);
    logic [139:0] entries;
    lut_entries filled (.clk, .fill, .a, .entries);

    logic [READERS*5-1:0] index_taken;
    always_ff @(posedge clk) begin : operands
        index_taken <= index;
    end

    for (genvar i = 0; i < READERS; i++) begin : reader
        logic       negative;
        logic [3:0] entry;
        logic [9:0] magnitude;
        logic [9:0] addend;
        assign {negative, entry} = index_taken[5*i+:5];
        lut_lookup lookup (.entries, .entry, .y(magnitude));
        assign addend = magnitude ^ {10{negative}};

        // Control of its own, as each PE of an array has: one register for all would drive
        // READERS * ACC gates. Synthesis must keep apart what is alike.
        logic step_taken;
        logic first_taken;
        (* keep *)
        always_ff @(posedge clk) begin : control
            step_taken  <= step && !rst;
            first_taken <= first;
        end

        logic [ACC-1:0] c;
        logic [ACC-1:0] next;
        assign c = first_taken ? '0 : y[ACC*i+:ACC];
        int_adder #(.ACC(ACC), .IN(10), .OVERFLOW(OVERFLOW)) adder (
            .clk, .c, .addend, .carry(negative), .y(next)
        );
        always_ff @(posedge clk) begin : accumulator
            if (step_taken) y[ACC*i+:ACC] <= next;
        end
    end
endmodule
