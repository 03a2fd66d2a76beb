"""The referee's ws and is arrays: operands stay in the PE, partial sums flow down."""

from __future__ import annotations

from collections import deque

import numpy as np
from referee_registers import PATIENCE, VALID, VALUE, IssuePort, Run, Skew, garbage, tiles

from accelsim.engine.timing import ArrayTiming

# Fields of the streamed operands of ws and is, after value and valid.
SWAP, STREAM_TAG = 2, 3
# Fields of the words of stationary operands, after the value.
LOAD, LAST = 2, 3


class _StationaryPes:
    """Operand registers, stationary and shadow operands, and partial sums of ws and is."""

    def __init__(self, array: ArrayTiming, fault: str, rng: np.random.Generator) -> None:
        rows, cols, latency = array.rows, array.cols, array.latency
        delays = np.maximum(np.arange(rows) * latency - (fault == "skew"), 0)
        self._west = Skew(4, delays, rng)
        self._north = Skew(4, np.arange(cols), rng)
        self._streamed = np.zeros((4, rows, cols), dtype=np.int64)
        self._streamed[VALUE] = garbage(rng, rows, cols)
        self._held, self._shadow = garbage(rng, rows, cols), garbage(rng, rows, cols)
        self._waiting = np.zeros((rows, cols), dtype=bool)
        self._adder = deque([np.zeros((2, rows, cols), dtype=np.int64)] * latency)
        self._port = IssuePort(array.interval, rows, cols)
        self._overlap, self._gated = array.overlap, fault != "ungated"
        # With overlap and latency > 1: the weight chain of each column, from which rows tap.
        self._chain = garbage(rng, (rows - 1) * (latency - 1) + 1, cols)
        self._taps = np.arange(rows) * (latency - 1)

    def bottom(self) -> np.ndarray:
        return self._adder[0][:, -1]

    def steps(self) -> np.ndarray:
        """Return 1 + fold * 1000 + step where a PE does a step in this cycle, else 0."""
        return self._streamed[VALID] * (1 + self._streamed[STREAM_TAG])

    def clock(self, streamed: np.ndarray, loaded: np.ndarray) -> None:
        passing = np.zeros_like(self._adder[0])
        passing[:, 1:] = self._adder[0][:, :-1]
        valid = self._streamed[VALID]
        passing[VALID, 0] = valid[0]
        assert not (valid & ~passing[VALID]).any(), "a step without its partial sum"
        self._port.clock(passing[VALID] > 0)
        gate = valid if self._gated else 1
        passing[VALUE] += self._streamed[VALUE] * self._held * gate
        self._adder.popleft()
        self._adder.append(passing)
        self._move_operands(self._west.clock(streamed), self._north.clock(loaded))

    def _move_operands(self, west: np.ndarray, north: np.ndarray) -> None:
        self._streamed[:, :, 1:] = self._streamed[:, :, :-1].copy()
        self._streamed[:, :, 0] = west
        swap = self._streamed[SWAP] > 0
        if not self._overlap:
            self._held = self._shifted(self._held, north, north[LOAD] > 0)
        elif len(self._adder) > 1:
            self._chain[1:] = self._chain[:-1].copy()
            self._chain[0] = north[VALUE]
            self._held = np.where(swap, self._chain[self._taps], self._held)
        else:
            self._held = np.where(swap, self._shadow, self._held)
            moving = (north[LOAD] > 0) & (~self._waiting | swap)
            self._shadow = self._shifted(self._shadow, north, moving)
            self._waiting = (self._waiting & ~swap) | (north[LAST] > 0)

    @staticmethod
    def _shifted(weights: np.ndarray, north: np.ndarray, moving: np.ndarray) -> np.ndarray:
        return np.where(moving, np.vstack([north[VALUE][None], weights[:-1]]), weights)


class OperandsHeld:
    """Control, datapath and output buffer of ws and is.

    ``stationary`` [k, wide] is held, ``streamed`` [long, k] runs past; outputs [long, wide]. Its
    Run counts stationary reads as weights and streamed reads as activations.
    """

    def __init__(
        self,
        array: ArrayTiming,
        stationary: np.ndarray,
        streamed: np.ndarray,
        fault: str,
        rng: np.random.Generator,
    ) -> None:
        self._array, self._stationary, self._streamed, self._rng = array, stationary, streamed, rng
        (self._long, k), wide = streamed.shape, stationary.shape[1]
        self._tiles = [
            (*rows, *cols) for cols in tiles(wide, array.cols) for rows in tiles(k, array.rows)
        ]
        self._pes = _StationaryPes(array, fault, rng)
        self._deskew = Skew(2, np.arange(array.cols)[::-1], rng)
        self._port = IssuePort(array.interval)
        self._feet: deque[tuple[int, int, np.ndarray] | None] = deque([None] * array.latency)
        # Whether weights travel in step with the swap, and for how long a load uses the port.
        self._in_step = array.overlap and array.latency > 1
        self._load_cycles = array.rows - (fault == "early")
        self._turnaround = array.latency + (fault != "hasty")
        # Loads begun, words that reached the feet of the columns, words written.
        self._loads = self._arrived = self._written = 0
        self._fold, self._load_at, self._stream_at = -1, -array.rows, 0
        self.seen = Run(garbage(rng, self._long, wide), folds=len(self._tiles))

    def run(self) -> Run:
        for cycle in range(PATIENCE):
            self._begin(cycle)
            self._note_steps(cycle)
            self._collect(cycle, self._deskew.clock(self._pes.bottom()))
            self._pes.clock(self._stream(cycle), self._load(cycle))
            if self._written == len(self._tiles) * self._long:
                return self.seen
        raise AssertionError("the array never finished")

    def _begin(self, cycle: int) -> None:
        """Begin to stream a fold, and to load one, as soon as each may."""
        begin = self._may_stream(cycle)
        if begin:
            self._fold, self._stream_at = self._fold + 1, cycle
        if begin if self._in_step else self._may_load():
            self._loads, self._load_at = self._loads + 1, cycle

    def _may_stream(self, cycle: int) -> bool:
        since = cycle - self._stream_at
        streamed = since >= self._long * self._array.interval and since >= self._turnaround
        left = self._fold + 1 < len(self._tiles)
        ready = left if self._in_step else self._loads == self._fold + 2
        weights = cycle - self._load_at >= self._load_cycles
        return ready and weights and (self._fold < 0 or streamed)

    def _may_load(self) -> bool:
        empty = self._loads == self._fold + 1 and self._loads < len(self._tiles)
        return empty and (self._array.overlap or self._written == self._loads * self._long)

    def _stream(self, cycle: int) -> np.ndarray:
        word = np.zeros((4, self._array.rows), dtype=np.int64)
        word[VALUE] = garbage(self._rng, self._array.rows)
        step, wait = divmod(cycle - self._stream_at, self._array.interval)
        if self._fold < 0 or wait or step >= self._long:
            return word
        row, rows, _, _ = self._tiles[self._fold]
        word[VALUE, :rows], word[VALID, :rows] = self._streamed[step, row : row + rows], 1
        word[SWAP], word[STREAM_TAG] = step == 0, 1000 * self._fold + step
        self.seen.activation_reads += rows
        self.seen.note(cycle, "read", f"{self._fold}.{step}")
        return word

    def _load(self, cycle: int) -> np.ndarray:
        word = np.zeros((4, self._array.cols), dtype=np.int64)
        word[VALUE] = garbage(self._rng, self._array.cols)
        order = cycle - self._load_at
        if order >= self._array.rows:
            return word
        line = order if self._in_step else self._array.rows - 1 - order
        row, rows, col, cols = self._tiles[self._loads - 1]
        word[LOAD], word[LAST] = 1, line == 0
        if line < rows:
            word[VALUE, :cols] = self._stationary[row + line, col : col + cols]
            self.seen.weight_reads += cols
            self.seen.note(cycle, "load", f"{self._loads - 1} row {line}")
        return word

    def _note_steps(self, cycle: int) -> None:
        steps = self._pes.steps()
        for i, j in np.argwhere(steps > 0):
            fold, step = divmod(int(steps[i, j]) - 1, 1000)
            if j < self._tiles[fold][3]:
                self.seen.note(cycle, f"PE {i},{j}", f"{fold}.{step}")

    def _collect(self, cycle: int, word: np.ndarray) -> None:
        """Add a word at the feet of the columns to the output buffer: read, add, write."""
        self._feet.append(self._arrival(word))
        finished = self._feet.popleft()
        if finished is None:
            return
        fold, step, total = finished
        _, _, col, cols = self._tiles[fold]
        self.seen.outputs[step, col : col + cols] = total[:cols]
        self.seen.output_writes += cols
        self.seen.cycles = cycle + 1
        self.seen.note(cycle, "write", f"{fold}.{step}")
        self._written += 1

    def _arrival(self, word: np.ndarray) -> tuple[int, int, np.ndarray] | None:
        self._port.clock(word[VALID].any())
        if not word[VALID].any():
            return None
        assert word[VALID].all(), "the columns of one word are not aligned"
        fold, step = divmod(self._arrived, self._long)
        row, _, col, cols = self._tiles[fold]
        total = word[VALUE].copy()
        if row > 0:
            total[:cols] += self.seen.outputs[step, col : col + cols]
            self.seen.partial_reads += cols
        self._arrived += 1
        return fold, step, total
