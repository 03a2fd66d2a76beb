// One read and one write port of an SRAM, for simulation. The word of an address given in a cycle
// is shown in the next one; when nothing was read, `idle` is shown instead.
//
// clk            clock
// write          write elements `mask` of `d` to write_address
// read           read read_address; write-first, or with WRITE_FIRST 0 the element that was there
// idle           what the port shows in a cycle after one without read
// q              the word, or `idle`
// shown          q is a word
module sram #(
    parameter int WIDTH = 8,
    parameter int ELEMENTS = 1,
    parameter int DEPTH = 4096,
    parameter int ADDRESS = 32,
    parameter int WRITE_FIRST = 1
) (
    input  logic                      clk,
    input  logic                      write,
    input  logic [       ADDRESS-1:0] write_address,
    input  logic [      ELEMENTS-1:0] mask,
    input  logic [WIDTH*ELEMENTS-1:0] d,
    input  logic                      read,
    input  logic [       ADDRESS-1:0] read_address,
    input  logic [WIDTH*ELEMENTS-1:0] idle,
    output logic [WIDTH*ELEMENTS-1:0] q,
    output logic                      shown
);
    localparam int PLACE = DEPTH > 1 ? $clog2(DEPTH) : 1;
    logic [WIDTH*ELEMENTS-1:0] words[DEPTH];
    logic [WIDTH*ELEMENTS-1:0] merged, taken;
    always_comb begin
        merged = words[write_address[PLACE-1:0]];
        for (int e = 0; e < ELEMENTS; e++) if (mask[e]) merged[e*WIDTH+:WIDTH] = d[e*WIDTH+:WIDTH];
    end
    always_ff @(posedge clk) begin
        if (write) words[write_address[PLACE-1:0]] <= merged;
        taken <= WRITE_FIRST != 0 && write && write_address == read_address ? merged
                : words[read_address[PLACE-1:0]];
        shown <= read;
    end
    assign q = shown ? taken : idle;
endmodule
