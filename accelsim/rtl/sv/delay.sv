// Delay a word by DEPTH cycles; with DEPTH 0 it is a wire. The only skew, deskew and chain there
// is. Words carry data and have no reset; see delay_token for valid bits and tokens.
//
// clk  clock
// d    word
// q    d of DEPTH cycles ago
module delay #(
    parameter int WIDTH = 1,
    parameter int DEPTH = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
    generate
        if (DEPTH == 0) begin : g_wire
            assign q = d;
            // verilator lint_off UNUSEDSIGNAL
            logic unused;  // a wire needs no clock
            // verilator lint_on UNUSEDSIGNAL
            assign unused = clk;
        end else begin : g_line
            logic [DEPTH*WIDTH-1:0] line;
            logic [(DEPTH+1)*WIDTH-1:0] longer;
            assign longer = {line, d};
            always_ff @(posedge clk) line <= longer[DEPTH*WIDTH-1:0];
            assign q = longer[DEPTH*WIDTH+:WIDTH];
        end
    endgenerate
endmodule
