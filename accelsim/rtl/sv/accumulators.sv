// The sums of one PE that adds in place: SUMS accumulators behind an adder of LATENCY registers, of
// which the accumulator is the last, and the word in which a finished sum leaves downwards.
//
// An operation enters in cycle t with its operands; `c` and `r` go to the adder in t, `y` comes
// back in t + LATENCY - 1, and the sum is visible in t + LATENCY.
//
// With OVERLAP the finished sum is copied into a drain word and `held` there until the bottom PE of
// the column captures its own; a word that is not held takes the one above at every edge. Without,
// accumulator 0 is the drain word and the column shifts while `column` is high.
//
// clk, rst  clock, synchronous reset
// act       the operation writes an accumulator
// reduce    it adds accumulator `index` to accumulator 0
// first     it starts from zero
// capture   its result is the tile's sum
// index     accumulator
// c, r      the adder's running sum and second summand
// y         the adder's result
// column    OVERLAP: the bottom PE of the column captures now; else: the column shifts now
// above     drain word of the PE above
// word      drain word of this PE
// captured  this PE captures now
module accumulators #(
    parameter int ACC = 32,
    parameter int LATENCY = 1,
    parameter int SUMS = 1,
    parameter int INDEX = 1,
    parameter int OVERLAP = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             act,
    input  logic             reduce,
    input  logic             first,
    input  logic             capture,
    input  logic [INDEX-1:0] index,
    output logic [  ACC-1:0] c,
    output logic [  ACC-1:0] r,
    input  logic [  ACC-1:0] y,
    input  logic             column,
    input  logic [  ACC-1:0] above,
    output logic [  ACC-1:0] word,
    output logic             captured
);
    logic [SUMS*ACC-1:0] sums;

    // What is to happen to the result travels beside the adder.
    logic write;
    logic [INDEX-1:0] target;
    delay_token #(.WIDTH(2), .DEPTH(LATENCY - 1)) u_operation (
        .clk, .rst, .d({act, capture}), .q({write, captured})
    );
    delay #(.WIDTH(INDEX), .DEPTH(LATENCY - 1)) u_target (
        .clk, .d(reduce ? {INDEX{1'b0}} : index), .q(target)
    );

    // Reading: one of SUMS.
    always_comb begin
        r = sums[0+:ACC];
        for (int s = 1; s < SUMS; s++) if (index == INDEX'(s)) r = sums[s*ACC+:ACC];
    end
    always_comb begin
        if (reduce) c = sums[0+:ACC];
        else if (first) c = '0;
        else c = r;
    end

    // Writing.
    genvar s;
    generate
        for (s = 0; s < SUMS; s = s + 1) begin : g_sum
            if (s == 0 && OVERLAP == 0) begin : g_chain
                always_ff @(posedge clk)
                    if (write && target == INDEX'(s)) sums[s*ACC+:ACC] <= y;
                    else if (column) sums[s*ACC+:ACC] <= above;
            end else begin : g_plain
                always_ff @(posedge clk) if (write && target == INDEX'(s)) sums[s*ACC+:ACC] <= y;
            end
        end

        if (OVERLAP == 0) begin : g_no_drain
            assign word = sums[0+:ACC];
        end else begin : g_drain
            logic held;
            always_ff @(posedge clk)
                if (rst) held <= 1'b0;
                else held <= (held | captured) & ~column;
            always_ff @(posedge clk)
                if (captured) word <= y;
                else if (!held) word <= above;
        end
    endgenerate
endmodule
