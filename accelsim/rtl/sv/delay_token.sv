// Delay a token by DEPTH cycles, all zero after reset; with DEPTH 0 it is a wire.
//
// clk  clock
// rst  synchronous reset
// d    valid bits, an operation, anything that acts
// q    d of DEPTH cycles ago
module delay_token #(
    parameter int WIDTH = 1,
    parameter int DEPTH = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
    generate
        if (DEPTH == 0) begin : g_wire
            assign q = d;
            // verilator lint_off UNUSEDSIGNAL
            logic unused;  // a wire needs no clock
            // verilator lint_on UNUSEDSIGNAL
            assign unused = clk ^ rst;
        end else begin : g_line
            logic [DEPTH*WIDTH-1:0] line;
            logic [(DEPTH+1)*WIDTH-1:0] longer;
            assign longer = {line, d};
            always_ff @(posedge clk)
                if (rst) line <= '0;
                else line <= longer[DEPTH*WIDTH-1:0];
            assign q = longer[DEPTH*WIDTH+:WIDTH];
        end
    endgenerate
endmodule
