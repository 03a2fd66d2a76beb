// Reads one entry of the table of a LUT group.
//
// Timing: combinational.
//
// entries  14 entries of 10 bits, entry 0 lowest
// entry    which one; 14 and 15 never occur and read zero
// y        the entry
module lut_lookup (
    input  logic [139:0] entries,
    input  logic [3:0]   entry,
    output logic [9:0]   y
);
    logic [159:0] all;
    assign all = {20'b0, entries};
    assign y   = all[10*entry+:10];
endmodule
