// PE of an array that holds one operand (ws, is): partial sums flow down through it.
//
// A streamed operand taken at the edge that ends cycle t is in its register in t + 1, is multiplied
// there by the held operand and added to the partial sum from above; the sum goes down LATENCY
// cycles later. A streamed operand that is not valid lets the partial sum pass.
//
// Held operands come from above. Without OVERLAP the held registers of a column are a shift chain
// that moves while `load` is high. With OVERLAP and LATENCY 1 the chain is made of shadow
// registers, and `swap`, which arrives with the first streamed operand of a fold, moves the shadow
// into the held register; `waiting` says that the shadow is not to move before. With OVERLAP and a
// longer LATENCY the chain has LATENCY - 1 registers between rows and never stops, and `swap` takes
// what passes.
//
// clk, rst      clock, synchronous reset
// x_in, x_valid_in, swap_in   streamed operand from the left
// x, x_valid, swap            its register, to the right
// h_in, h_out   held operands' chain, from above and downwards
// load          a word enters the column; load_last  it is the last one of a load
// sum_in        partial sum from above
// sum           partial sum, downwards
module pe_held #(
    parameter int KIND = 0,
    parameter int A = 8,
    parameter int W = 2,
    parameter int HELD_ACTIVATION = 0,
    parameter int STREAM = 8,
    parameter int HELD = 2,
    parameter int ACC = 32,
    parameter int OVERFLOW = 0,
    parameter int LATENCY = 1,
    parameter int OVERLAP = 1
) (
    input  logic              clk,
    input  logic              rst,
    input  logic [STREAM-1:0] x_in,
    input  logic              x_valid_in,
    input  logic              swap_in,
    output logic [STREAM-1:0] x,
    output logic              x_valid,
    output logic              swap,
    input  logic [  HELD-1:0] h_in,
    output logic [  HELD-1:0] h_out,
    input  logic              load,
    input  logic              load_last,
    input  logic [   ACC-1:0] sum_in,
    output logic [   ACC-1:0] sum
);
    // Keeps the build of large arrays short.
    /*verilator no_inline_module*/

    always_ff @(posedge clk) begin : operand_registers
        x <= x_in;
    end
    always_ff @(posedge clk) begin : control_registers
        if (rst) begin
            x_valid <= 1'b0;
            swap <= 1'b0;
        end else begin
            x_valid <= x_valid_in;
            swap <= swap_in;
        end
    end

    logic [HELD-1:0] held;
    generate
        if (OVERLAP == 0) begin : g_plain
            // verilator lint_off UNUSEDSIGNAL
            logic unused;  // nothing to swap
            // verilator lint_on UNUSEDSIGNAL
            assign unused = load_last;
            always_ff @(posedge clk) if (load) held <= h_in;
            assign h_out = held;
        end else if (LATENCY == 1) begin : g_shadow
            logic [HELD-1:0] shadow;
            logic waiting;
            always_ff @(posedge clk) if (load && (!waiting || swap_in)) shadow <= h_in;
            always_ff @(posedge clk) if (swap_in) held <= shadow;
            always_ff @(posedge clk)
                if (rst) waiting <= 1'b0;
                else waiting <= (waiting && !swap_in) || load_last;
            assign h_out = shadow;
        end else begin : g_in_step
            // verilator lint_off UNUSEDSIGNAL
            logic unused;  // the chain runs freely
            // verilator lint_on UNUSEDSIGNAL
            assign unused = load ^ load_last;
            always_ff @(posedge clk) if (swap_in) held <= h_in;
            delay #(.WIDTH(HELD), .DEPTH(LATENCY - 1)) u_chain (
                .clk, .d(h_in), .q(h_out)
            );
        end
    endgenerate

    logic [A-1:0] a;
    logic [W-1:0] w;
    logic [ACC-1:0] y;
    assign a = HELD_ACTIVATION != 0 ? A'(held) : A'(x);
    assign w = HELD_ACTIVATION != 0 ? W'(x) : W'(held);
    mac #(.KIND(KIND), .ACC(ACC), .STAGES(LATENCY - 1), .OVERFLOW(OVERFLOW)) u_mac (
        .clk, .step(x_valid), .reduce(1'b0), .a, .w, .r({ACC{1'b0}}), .c(sum_in), .y
    );
    always_ff @(posedge clk) begin : sum_register
        sum <= y;
    end
endmodule
