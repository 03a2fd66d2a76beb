// Shifts an exact result to where it is rounded. Combinational.
//
//   word          WORD bits, unsigned, not rounded; WORD >= MAN + 3
//   exponent      E bits, signed: the exponent field that the first bit of `word` stands for
//   significand   MAN + 1 bits
//   half          the bit below them
//   rest          whether any bit is set below that
//   field         E bits: exponent field before rounding, 0 if the number is subnormal; it may
//                 exceed what EXP bits hold
//
// LEFT: `word` may have leading zeros. They are shifted out, as long as the exponent stays at 1.
// RIGHT: `exponent` may be below 1. Then the word is shifted to the right.
module fp_normalise #(
    parameter int EXP   = 8,
    parameter int MAN   = 23,
    parameter int WORD  = MAN + 4,
    parameter int LEFT  = 1,
    parameter int RIGHT = 1,
    parameter int E     = EXP + 2
) (
    input  logic        [WORD-1:0] word,
    input  logic signed [E-1:0]    exponent,
    output logic        [MAN:0]    significand,
    output logic                   half,
    output logic                   rest,
    output logic        [E-1:0]    field
);
    logic [WORD-1:0] up, placed;
    logic [E-1:0]    up_exponent;
    if (LEFT != 0) begin : left
        localparam int COUNT = $clog2(WORD + 1);
        // A bit where the shift must end turns min(leading zeros, exponent - 1) into one count.
        logic [WORD-1:0]  least;
        logic [COUNT-1:0] shift;
        assign least = exponent < 1 ? {1'b1, {(WORD - 1) {1'b0}}}
                                    : {1'b1, {(WORD - 1) {1'b0}}} >> (exponent - E'(1));
        leading_zeros #(.WIDTH(WORD)) count_zeros (.word(word | least), .count(shift));
        assign up = word << shift;
        assign up_exponent = exponent - E'(shift);
    end else begin : no_left
        assign up = word;
        assign up_exponent = exponent;
    end

    logic lost;
    if (RIGHT != 0) begin : right
        localparam int MOST  = MAN + 3;  // all of the significand is then in `rest`
        localparam int COUNT = $clog2(MOST + 1);
        logic [E-1:0]     distance;
        logic [COUNT-1:0] shift;
        logic [WORD+MOST-1:0] wide;
        always_comb begin
            distance = E'(1) - exponent;
            shift    = exponent >= 1 ? COUNT'(0)
                     : distance > E'(MOST) ? COUNT'(MOST) : distance[COUNT-1:0];
            wide     = {up, {MOST{1'b0}}} >> shift;
            placed   = wide[WORD+MOST-1:MOST];
            lost     = wide[MOST-1:0] != 0;
        end
    end else begin : no_right
        assign placed = up;
        assign lost   = 1'b0;
    end

    assign significand = placed[WORD-1-:MAN+1];
    assign half  = placed[WORD-MAN-2];
    assign rest  = placed[WORD-MAN-3:0] != 0 || lost;
    assign field = !significand[MAN] ? '0 : RIGHT != 0 && exponent < 1 ? E'(1) : up_exponent;
endmodule
