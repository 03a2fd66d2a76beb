// Control of array_held. For ws `streamed` is m and `wide` n, for is the other way round.
//
// Cycle 0 of docs/timing.md, which shows the first word of the first load, or the word that would
// be there were all rows in use, comes two cycles after `start`: the address stands at the port in
// between. A read given in a cycle is shown in the next one, and so is what goes with the word.
//
// Words lie in the SRAMs in the order in which they are read: streamed word (k-fold, word) at
// k-fold * streamed + word, held word (column tile, row of k) at column tile * k + row. Word t of
// the sums of a column tile goes to column tile * streamed + t.
//
// clk, rst   clock, synchronous reset
// start      begin a GEMM; the sizes stay as they are until `busy` falls
// streamed, k, wide  words per fold, reduction, columns
// busy       from the cycle after `start` to the last write
// west_*     SRAM of the streamed operand; with its words go row_valid (rows in use) and swap (the
//            first word of a fold)
// north_*    SRAM of the held operand; with its words go load and load_last. A load of rows not in
//            use reads nothing
// arriving   in the next cycle partial sums arrive at the feet of the array
// sum_*      output SRAM, read; with its words goes add (not the first fold of k)
// write_*    output SRAM, write
module control_held #(
    parameter int ROWS = 2,
    parameter int COLS = 2,
    parameter int LATENCY = 1,
    parameter int INTERVAL = 1,
    parameter int OVERLAP = 1,
    parameter int IN_STEP = 0,  // held operands travel in step with the swap: OVERLAP, LATENCY > 1
    parameter int SIZE = 21,
    parameter int ADDRESS = 32
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               start,
    input  logic [   SIZE-1:0] streamed,
    input  logic [   SIZE-1:0] k,
    input  logic [   SIZE-1:0] wide,
    output logic               busy,
    output logic               west_read,
    output logic [ADDRESS-1:0] west_address,
    output logic [   ROWS-1:0] row_valid,
    output logic               swap,
    output logic               north_read,
    output logic [ADDRESS-1:0] north_address,
    output logic               load,
    output logic               load_last,
    input  logic               arriving,
    output logic               sum_read,
    output logic [ADDRESS-1:0] sum_address,
    output logic               add,
    output logic               write,
    output logic [ADDRESS-1:0] write_address,
    output logic [   COLS-1:0] write_mask
);
    localparam int TURNAROUND = LATENCY + 1;  // of the output SRAM: read, add, write, read again
    localparam int COUNT = $clog2((TURNAROUND > INTERVAL ? TURNAROUND : INTERVAL) + 1);
    localparam int LINE = ROWS > 1 ? $clog2(ROWS) : 1;

    // ---- Streaming: one word every INTERVAL cycles.
    logic running;  // folds remain to be streamed
    logic [SIZE-1:0] words_left;
    logic [COUNT-1:0] pause, turnaround;  // cycles until the next word, the next fold
    logic beginning, begins, last_word, new_column_tile, last_fold, weights_ready;
    logic [SIZE-1:0] rows_left;
    // verilator lint_off UNUSEDSIGNAL
    logic unused_first;
    logic [SIZE-1:0] unused_cols;  // the array streams to all columns
    // verilator lint_on UNUSEDSIGNAL
    assign west_read = running && pause == '0
            && (!beginning || (weights_ready && turnaround == '0));
    assign begins = west_read && beginning;
    assign last_word = words_left == SIZE'(1);

    always_ff @(posedge clk) begin : streaming
        if (rst) begin
            running <= 1'b0;
            pause   <= '0;
        end else if (start) begin
            running <= 1'b1;
            pause   <= '0;
        end else if (west_read) begin
            running <= !(last_word && last_fold);
            pause   <= COUNT'(INTERVAL - 1);
        end else if (pause != '0) begin
            pause <= pause - COUNT'(1);
        end
    end
    always_ff @(posedge clk) begin : words
        if (start || (west_read && last_word)) begin
            words_left <= streamed;
            beginning  <= 1'b1;
        end else if (west_read) begin
            words_left <= words_left - SIZE'(1);
            beginning  <= 1'b0;
        end
        if (start || (west_read && last_word && new_column_tile)) west_address <= '0;
        else if (west_read) west_address <= west_address + ADDRESS'(1);
    end
    always_ff @(posedge clk) begin : fold_distance
        if (rst || start) turnaround <= '0;
        else if (begins) turnaround <= COUNT'(TURNAROUND - 1);
        else if (turnaround != '0) turnaround <= turnaround - COUNT'(1);
    end
    tiles #(.OUTER(COLS), .INNER(ROWS), .SIZE(SIZE)) u_tiles (
        .clk, .start, .advance(west_read && last_word), .outer(wide), .inner(k),
        .outer_left(unused_cols), .inner_left(rows_left), .inner_first(unused_first),
        .inner_last(new_column_tile), .last(last_fold)
    );
    logic [ROWS-1:0] rows_in_use;
    in_use #(.PLACES(ROWS), .SIZE(SIZE)) u_rows (
        .left(rows_left), .valid(rows_in_use)
    );
    always_ff @(posedge clk) begin : with_streamed_words
        row_valid <= rst || !west_read ? '0 : rows_in_use;
        swap <= !rst && begins;
    end

    // ---- Loading: ROWS words, the last row's first, or in step with the swap row 0's first.
    logic loads_left, load_begins, loading, load_running, load_ends, fold_written;
    logic [LINE-1:0] line;
    logic [SIZE-1:0] load_rows_left;
    logic [ADDRESS-1:0] load_base;  // word of row 0 of the tile
    logic load_last_tile, load_new_column;
    // verilator lint_off UNUSEDSIGNAL
    logic unused_load_first;
    logic [SIZE-1:0] unused_load_cols;  // whole words are read
    // verilator lint_on UNUSEDSIGNAL
    localparam logic [LINE-1:0] FIRST = IN_STEP != 0 ? LINE'(0) : LINE'(ROWS - 1);
    localparam logic [LINE-1:0] FINAL = IN_STEP != 0 ? LINE'(ROWS - 1) : LINE'(0);

    assign loading = load_begins || load_running;
    assign load_ends = loading && line == FINAL;
    assign north_read = loading && load_rows_left > SIZE'(line);
    assign north_address = load_base + ADDRESS'(line);
    always_ff @(posedge clk) begin : lines
        if (rst || start) begin
            load_running <= 1'b0;
            line <= FIRST;
        end else if (load_ends) begin
            load_running <= 1'b0;
            line <= FIRST;
        end else if (loading) begin
            load_running <= 1'b1;
            line <= IN_STEP != 0 ? line + LINE'(1) : line - LINE'(1);
        end
    end
    always_ff @(posedge clk) begin : loads
        if (rst) loads_left <= 1'b0;
        else if (start) loads_left <= 1'b1;
        else if (load_ends && load_last_tile) loads_left <= 1'b0;
        if (start) load_base <= '0;
        else if (load_ends)
            load_base <= load_base + (load_new_column ? ADDRESS'(load_rows_left) : ADDRESS'(ROWS));
    end
    tiles #(.OUTER(COLS), .INNER(ROWS), .SIZE(SIZE)) u_load_tiles (
        .clk, .start, .advance(load_ends), .outer(wide), .inner(k), .outer_left(unused_load_cols),
        .inner_left(load_rows_left), .inner_first(unused_load_first), .inner_last(load_new_column),
        .last(load_last_tile)
    );
    always_ff @(posedge clk) begin : with_held_words
        load <= !rst && loading;
        load_last <= !rst && load_ends;
    end

    generate
        if (IN_STEP != 0) begin : g_in_step
            // verilator lint_off UNUSEDSIGNAL
            logic unused;  // as many loads as folds
            // verilator lint_on UNUSEDSIGNAL
            assign unused = loads_left ^ fold_written;
            assign weights_ready = !load_running;
            assign load_begins = begins;
        end else begin : g_ahead
            // `first`: nothing to wait for. `loaded`: the weights of the next fold are in place.
            logic first, loaded;
            always_ff @(posedge clk)
                if (rst) first <= 1'b0;
                else first <= start;
            always_ff @(posedge clk)
                if (rst || start) loaded <= 1'b0;
                else loaded <= load_ends || (loaded && !begins);
            assign weights_ready = loaded;
            assign load_begins   = first || (loads_left && (OVERLAP != 0 ? begins : fold_written));
            if (OVERLAP != 0) begin : g_unused
                // verilator lint_off UNUSEDSIGNAL
                logic unused;  // nobody waits for the last write
                // verilator lint_on UNUSEDSIGNAL
                assign unused = fold_written;
            end
        end
    endgenerate

    // ---- Sums: read a cycle before the partial sums arrive, written LATENCY cycles after.
    logic [SIZE-1:0] sums_left, out_cols_left;
    logic [ADDRESS-1:0] tile_base;
    logic last_sum, out_first, out_new_column, out_last_fold;
    // verilator lint_off UNUSEDSIGNAL
    logic [SIZE-1:0] unused_out_rows;
    // verilator lint_on UNUSEDSIGNAL
    logic [COLS-1:0] cols_in_use;
    assign last_sum = sums_left == SIZE'(1);
    assign sum_read = arriving && !out_first;
    tiles #(.OUTER(COLS), .INNER(ROWS), .SIZE(SIZE)) u_out_tiles (
        .clk, .start, .advance(arriving && last_sum), .outer(wide), .inner(k),
        .outer_left(out_cols_left), .inner_left(unused_out_rows), .inner_first(out_first),
        .inner_last(out_new_column), .last(out_last_fold)
    );
    in_use #(.PLACES(COLS), .SIZE(SIZE)) u_cols (
        .left(out_cols_left), .valid(cols_in_use)
    );
    always_ff @(posedge clk) begin : sums
        if (start) begin
            sums_left   <= streamed;
            sum_address <= '0;
            tile_base   <= '0;
        end else if (arriving && last_sum) begin
            sums_left   <= streamed;
            sum_address <= out_new_column ? sum_address + ADDRESS'(1) : tile_base;
            tile_base   <= out_new_column ? sum_address + ADDRESS'(1) : tile_base;
        end else if (arriving) begin
            sums_left   <= sums_left - SIZE'(1);
            sum_address <= sum_address + ADDRESS'(1);
        end
    end
    always_ff @(posedge clk) begin : with_partial_sums
        add <= !rst && sum_read;
    end
    logic all_written;
    delay_token #(.WIDTH(3), .DEPTH(LATENCY + 1)) u_write (
        .clk, .rst, .d({arriving, arriving && last_sum, arriving && last_sum && out_last_fold}),
        .q({write, fold_written, all_written})
    );
    delay #(.WIDTH(ADDRESS + COLS), .DEPTH(LATENCY + 1)) u_place (
        .clk, .d({sum_address, cols_in_use}), .q({write_address, write_mask})
    );
    always_ff @(posedge clk) begin : whole
        if (rst) busy <= 1'b0;
        else if (start) busy <= 1'b1;
        else if (all_written) busy <= 1'b0;
    end
endmodule
