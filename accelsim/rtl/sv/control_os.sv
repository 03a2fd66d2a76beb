// Control of arrays whose sums stay in the PE: array_os (LANES = 1) and array_dot.
//
// Cycle 0 of docs/timing.md, which shows the first operand word, comes two cycles after `start`:
// the first address stands at the port in between. A read given in a cycle is shown in the next
// one, and so are the operation and the valid bits that go with it.
//
// Words lie in the SRAMs in the order in which they are read: west word (row tile, step) at
// row tile * steps + step, north word (column tile, step) at column tile * steps + step. Row `line`
// of the sums of fold f goes to f * ROWS + line.
//
// clk, rst   clock, synchronous reset
// start      begin a GEMM; m, k, n stay as they are until `busy` falls
// m, k, n    sizes, >= 1
// busy       from the cycle after `start` to the last write
// read       both operand SRAMs are read; west_address, north_address
// op         operation for the array, see pe_os; row_valid, col_valid, lane_valid: operands in use
// leaving    the array shows an output word
// write      it is written to write_address, elements write_mask
module control_os #(
    parameter int ROWS = 2,
    parameter int COLS = 2,
    parameter int LANES = 1,
    parameter int LATENCY = 1,
    parameter int INTERVAL = 1,
    parameter int SUMS = 1,
    parameter int INDEX = 1,
    parameter int OVERLAP = 1,
    parameter int SIZE = 21,
    parameter int ADDRESS = 32
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               start,
    input  logic [   SIZE-1:0] m,
    input  logic [   SIZE-1:0] k,
    input  logic [   SIZE-1:0] n,
    output logic               busy,
    output logic               read,
    output logic [ADDRESS-1:0] west_address,
    output logic [ADDRESS-1:0] north_address,
    output logic [  INDEX+3:0] op,
    output logic [   ROWS-1:0] row_valid,
    output logic [   COLS-1:0] col_valid,
    output logic [  LANES-1:0] lane_valid,
    input  logic               leaving,
    output logic               write,
    output logic [ADDRESS-1:0] write_address,
    output logic [   COLS-1:0] write_mask
);
    // A plain PE waits for its sum. Interleaving ends sooner from LEAST steps on: the first count
    // for which (SUMS - 1) * LATENCY < (steps - 1) * (LATENCY - INTERVAL).
    localparam int GAP = LATENCY > INTERVAL ? LATENCY : INTERVAL;
    localparam int GAIN = LATENCY > INTERVAL ? LATENCY - INTERVAL : 1;
    localparam int LEAST = (SUMS - 1) * LATENCY / GAIN + 2;
    localparam int LONGEST = GAP > ROWS ? GAP : ROWS;
    localparam int COUNT = $clog2(LONGEST + 1);
    logic interleaved;
    assign interleaved = SUMS > 1 && k > SIZE'((LEAST - 1) * LANES);

    // ---- Input side: one operation or none per cycle.
    logic running, reducing, beginning, wrapped;  // wrapped: every accumulator has been started
    logic [SIZE-1:0] k_left;
    logic [INDEX-1:0] index;
    logic [COUNT-1:0] pause, next_pause;  // cycles until the next operation
    logic may_begin, issue, last_step, last_index, capture, fold_ends;
    logic [SIZE-1:0] rows_left, cols_left;
    logic new_row_tile, last_fold;
    // verilator lint_off UNUSEDSIGNAL
    logic unused_in, unused_out_first, unused_out_last;  // os has no use for a first inner tile
    // verilator lint_on UNUSEDSIGNAL

    assign issue = running && pause == '0 && (!beginning || may_begin);
    assign read = issue && !reducing;
    assign last_step = !reducing && k_left <= SIZE'(LANES);
    assign last_index = index == INDEX'(SUMS - 1);
    assign capture = reducing ? last_index : last_step && !interleaved;
    assign fold_ends = issue && capture;

    always_comb begin
        if (capture) next_pause = COUNT'(INTERVAL - 1);
        else if (reducing || last_step) next_pause = COUNT'(LATENCY - 1);
        else next_pause = interleaved ? COUNT'(INTERVAL - 1) : COUNT'(GAP - 1);
    end

    always_ff @(posedge clk) begin : sequencing
        if (rst) begin
            running <= 1'b0;
            pause   <= '0;
        end else if (start) begin
            running <= 1'b1;
            pause   <= '0;
        end else if (issue) begin
            running <= !(capture && last_fold);
            pause   <= next_pause;
        end else if (pause != '0) begin
            pause <= pause - COUNT'(1);
        end
    end

    always_ff @(posedge clk) begin : steps
        if (start || fold_ends) begin
            k_left <= k;
            index <= '0;
            wrapped <= 1'b0;
            beginning <= 1'b1;
            reducing <= 1'b0;
        end else if (issue) begin
            k_left <= k_left - SIZE'(LANES);
            beginning <= 1'b0;
            if (reducing) begin
                index <= index + INDEX'(1);
            end else if (last_step) begin
                index <= INDEX'(1);
                reducing <= 1'b1;
            end else if (!interleaved || last_index) begin
                index <= '0;
                wrapped <= 1'b1;
            end else begin
                index <= index + INDEX'(1);
            end
        end
    end

    tiles #(.OUTER(ROWS), .INNER(COLS), .SIZE(SIZE)) u_tiles (
        .clk, .start, .advance(fold_ends), .outer(m), .inner(n), .outer_left(rows_left),
        .inner_left(cols_left), .inner_first(unused_in), .inner_last(new_row_tile),
        .last(last_fold)
    );

    // West words of a row tile are read again for every column tile; north words from the start for
    // every row tile. A reduction reads nothing: the addresses move with the steps.
    logic [ADDRESS-1:0] west_base;
    always_ff @(posedge clk) begin : addresses
        if (start) begin
            west_address <= '0;
            west_base <= '0;
            north_address <= '0;
        end else if (read && last_step) begin
            west_address <= new_row_tile ? west_address + ADDRESS'(1) : west_base;
            west_base <= new_row_tile ? west_address + ADDRESS'(1) : west_base;
            north_address <= new_row_tile ? '0 : north_address + ADDRESS'(1);
        end else if (read) begin
            west_address  <= west_address + ADDRESS'(1);
            north_address <= north_address + ADDRESS'(1);
        end
    end

    // What goes with the words, shown when they are.
    logic [ROWS-1:0] rows_in_use;
    logic [COLS-1:0] cols_in_use;
    logic [LANES-1:0] lanes_in_use;
    in_use #(.PLACES(ROWS), .SIZE(SIZE)) u_rows (
        .left(rows_left), .valid(rows_in_use)
    );
    in_use #(.PLACES(COLS), .SIZE(SIZE)) u_cols (
        .left(cols_left), .valid(cols_in_use)
    );
    in_use #(.PLACES(LANES), .SIZE(SIZE)) u_lanes (
        .left(k_left), .valid(lanes_in_use)
    );
    always_ff @(posedge clk) begin : with_the_words
        if (rst || !issue) begin
            op <= '0;
            row_valid <= '0;
            col_valid <= '0;
            lane_valid <= '0;
        end else begin
            op <= {index, capture, !wrapped, reducing, !reducing};
            row_valid <= reducing ? '0 : rows_in_use;
            col_valid <= reducing ? '0 : cols_in_use;
            lane_valid <= reducing ? '0 : lanes_in_use;
        end
    end

    // ---- Output side: row ROWS - 1 of a tile leaves first.
    localparam int LINE = ROWS > 1 ? $clog2(ROWS) : 1;
    logic [LINE-1:0] line;
    logic [SIZE-1:0] out_rows_left, out_cols_left;
    logic [ADDRESS-1:0] out_base;
    logic tile_written, all_written;
    assign tile_written = leaving && line == '0;
    tiles #(.OUTER(ROWS), .INNER(COLS), .SIZE(SIZE)) u_out_tiles (
        .clk, .start, .advance(tile_written), .outer(m), .inner(n), .outer_left(out_rows_left),
        .inner_left(out_cols_left), .inner_first(unused_out_first), .inner_last(unused_out_last),
        .last(all_written)
    );
    in_use #(.PLACES(COLS), .SIZE(SIZE)) u_mask (
        .left(out_cols_left), .valid(write_mask)
    );
    assign write = leaving && out_rows_left > SIZE'(line);
    assign write_address = out_base + ADDRESS'(line);
    always_ff @(posedge clk) begin : writing
        if (start) begin
            line <= LINE'(ROWS - 1);
            out_base <= '0;
        end else if (tile_written) begin
            line <= LINE'(ROWS - 1);
            out_base <= out_base + ADDRESS'(ROWS);
        end else if (leaving) begin
            line <= line - LINE'(1);
        end
    end
    always_ff @(posedge clk) begin : whole
        if (rst) busy <= 1'b0;
        else if (start) busy <= 1'b1;
        else if (tile_written && all_written) busy <= 1'b0;
    end

    // ---- When the next fold may begin.
    generate
        if (OVERLAP != 0) begin : g_overlap
            logic [COUNT-1:0] spacing;  // cycles until the drain of a next fold finds its way free
            assign may_begin = spacing == '0;
            always_ff @(posedge clk)
                if (rst || start) spacing <= '0;
                else if (issue && beginning) spacing <= COUNT'(ROWS - 1);
                else if (spacing != '0) spacing <= spacing - COUNT'(1);
        end else begin : g_drained
            logic draining;
            assign may_begin = !draining || tile_written;
            always_ff @(posedge clk)
                if (rst || start) draining <= 1'b0;
                else if (issue && beginning) draining <= 1'b1;
                else if (tile_written) draining <= 1'b0;
        end
    endgenerate
endmodule
