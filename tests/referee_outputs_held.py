"""The referee's os arrays and dot-product units: sums stay in the PE until they drain."""

from __future__ import annotations

from collections import deque

import numpy as np
from referee_registers import PATIENCE, VALID, VALUE, IssuePort, Run, Skew, garbage, tiles

from accelsim.engine.timing import ArrayTiming, Organisation

# Fields of the operation that travels with the activations of os and through dot-product units.
STEP, REDUCE, PARTIAL, FIRST, CAPTURE, TAG = range(6)
OPERATION_FIELDS = 6


class _OsFront:
    """Skewed edges and the operand registers of a systolic os array."""

    def __init__(self, array: ArrayTiming, fault: str, rng: np.random.Generator) -> None:
        rows, cols = array.rows, array.cols
        delays = np.maximum(np.arange(rows) - (fault == "skew"), 0)
        self._west = Skew(2 + OPERATION_FIELDS, delays, rng)
        self._north = Skew(2, np.arange(cols), rng)
        self._a = np.zeros((2 + OPERATION_FIELDS, rows, cols), dtype=np.int64)
        self._w = np.zeros((2, rows, cols), dtype=np.int64)
        self._a[VALUE], self._w[VALUE] = garbage(rng, rows, cols), garbage(rng, rows, cols)
        self._gated = fault != "ungated"

    def clock(
        self, a_word: np.ndarray, w_word: np.ndarray, operation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the operations [fields, rows, cols] and products [rows, cols] of this cycle."""
        operations = self._a[2:].copy()
        operations[STEP] &= self._a[VALID] & self._w[VALID]
        if not self._gated:
            operations[STEP] = 1
        product = self._a[VALUE] * self._w[VALUE]
        tokens = np.repeat(operation[:, None], self._a.shape[1], axis=1)
        west = self._west.clock(np.concatenate([a_word[:, :, 0], tokens]))
        north = self._north.clock(w_word[:, :, 0])
        self._a[:, :, 1:] = self._a[:, :, :-1].copy()
        self._a[:, :, 0] = west
        self._w[:, 1:] = self._w[:, :-1].copy()
        self._w[:, 0] = north
        return operations, product


class _DotFront:
    """Operand registers, product registers and the registered adder tree of the units."""

    def __init__(self, array: ArrayTiming, fault: str, rng: np.random.Generator) -> None:
        rows, cols, lanes = array.rows, array.cols, array.lanes
        self._shape, self._gated = (rows, cols), fault != "ungated"
        self._a, self._w = np.zeros((2, rows, lanes), int), np.zeros((2, cols, lanes), int)
        widths = [lanes]
        while widths[-1] > 1:
            widths.append((widths[-1] + 1) // 2)
        self._levels = [garbage(rng, rows, cols, width) for width in widths]
        registers = 1 + len(widths) - (fault == "skew")
        self._tokens = deque([np.zeros(OPERATION_FIELDS, dtype=np.int64)] * registers)

    def clock(
        self, a_word: np.ndarray, w_word: np.ndarray, operation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the operations [fields, rows, cols] and products [rows, cols] of this cycle."""
        product = self._levels[-1][:, :, 0]
        for level in range(len(self._levels) - 1, 0, -1):
            below = self._levels[level - 1]
            pairs = np.pad(below, ((0, 0), (0, 0), (0, below.shape[2] % 2)))
            self._levels[level] = pairs[:, :, 0::2] + pairs[:, :, 1::2]
        valid = self._a[VALID][:, None] & self._w[VALID][None]
        products = self._a[VALUE][:, None] * self._w[VALUE][None]
        self._levels[0] = products * valid if self._gated else products
        self._a, self._w = a_word, w_word
        self._tokens.append(operation)
        operations = np.empty((OPERATION_FIELDS, *self._shape), dtype=np.int64)
        operations[:] = self._tokens.popleft()[:, None, None]
        return operations, product


class _Accumulators:
    """Partial sums [sums, rows, cols] behind an adder of ``latency`` registers."""

    def __init__(self, array: ArrayTiming, rng: np.random.Generator) -> None:
        shape = (array.rows, array.cols)
        self.sums = garbage(rng, array.latency, *shape)
        self._port = IssuePort(array.interval, *shape)
        nothing = np.zeros(shape, dtype=np.int64)
        self._adder = deque([(nothing, nothing > 0, nothing, nothing)] * (array.latency - 1))
        self._at = np.indices(shape)

    def clock(self, operation: np.ndarray, product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums [rows, cols] that leave the adder and where they are to be captured."""
        step, reduce = operation[STEP] > 0, operation[REDUCE] > 0
        self._port.clock(step | reduce)
        source = self.sums[(operation[PARTIAL], *self._at)]
        plain = np.where(operation[FIRST] > 0, 0, source) + product
        total = np.where(reduce, self.sums[0] + source, plain)
        target = np.where(reduce, 0, operation[PARTIAL])
        self._adder.append((total, step | reduce, target, operation[CAPTURE]))
        total, active, target, capture = self._adder.popleft()
        i, j = np.nonzero(active)
        self.sums[target[i, j], i, j] = total[i, j]
        return total, capture > 0


class _DrainChain:
    """Columns of words that move down one row per cycle and leave at the bottom.

    With overlap it has registers of its own, each with a ``held`` bit: set when the PE's sum is
    captured, cleared for the whole column when the bottom PE's sum is. Without, the accumulators
    themselves shift once the bottom one is final.
    """

    def __init__(self, array: ArrayTiming, sums: np.ndarray, rng: np.random.Generator) -> None:
        self._own = array.overlap
        self._words = garbage(rng, array.rows, array.cols) if self._own else sums
        self._held = np.zeros((array.rows, array.cols), dtype=bool)
        self._left = np.zeros(array.cols, dtype=np.int64)

    def bottom(self) -> np.ndarray:
        return np.stack([self._words[-1], self._left > 0])

    def clock(self, total: np.ndarray, captured: np.ndarray) -> None:
        moving = ~self._held if self._own else np.broadcast_to(self._left > 0, captured.shape)
        above = np.roll(self._words, 1, axis=0)
        self._words[moving] = above[moving]
        if self._own:
            self._words[captured] = total[captured]
        self._held = (self._held | captured) & ~captured[-1]
        self._left = np.where(captured[-1], len(captured), np.maximum(self._left - 1, 0))


Slot = dict[int, int] | None


def _fold_slots(array: ArrayTiming, steps: int, fault: str) -> list[Slot]:
    """Return what the control issues in each cycle of one fold, None where it waits."""
    ways = [1]
    if array.interleave:
        ways.append(-(-array.latency // array.interval))
    return min((_slots(array, steps, sums, fault) for sums in ways), key=len)


def _slots(array: ArrayTiming, steps: int, sums: int, fault: str) -> list[Slot]:
    slots: list[Slot] = []
    visible = [0] * sums
    latency = array.latency - (fault == "hasty")

    def issue(operation: dict[int, int], earliest: int, target: int) -> None:
        slots.extend([None] * (earliest - len(slots)))
        visible[target] = len(slots) + latency
        slots.append(operation)
        slots.extend([None] * (array.interval - 1))

    used = min(sums, steps)
    for step in range(steps):
        first, last = step < sums, step == steps - 1
        operation = {STEP: 1, PARTIAL: step % sums, FIRST: first, TAG: step}
        operation[CAPTURE] = last and used == 1
        issue(operation, 0 if first else visible[step % sums], step % sums)
    for partial in range(1, used):
        operation = {REDUCE: 1, PARTIAL: partial, CAPTURE: partial == used - 1, TAG: partial}
        issue(operation, max(visible[:used]), 0)
    return slots


class OutputsHeld:
    """Control, datapath and output writer of os arrays and of dot-product units."""

    def __init__(
        self,
        array: ArrayTiming,
        activations: np.ndarray,
        weights: np.ndarray,
        fault: str,
        rng: np.random.Generator,
    ) -> None:
        self._array, self._activations, self._weights, self._rng = array, activations, weights, rng
        (m, k), n = activations.shape, weights.shape[1]
        systolic = array.organisation == Organisation.SYSTOLIC_OS
        self._tiles = [
            (*rows, *cols) for rows in tiles(m, array.rows) for cols in tiles(n, array.cols)
        ]
        self._slots = _fold_slots(array, -(-k // array.lanes), fault)
        self._front = (_OsFront if systolic else _DotFront)(array, fault, rng)
        self._accumulators = _Accumulators(array, rng)
        self._drain = _DrainChain(array, self._accumulators.sums[0], rng)
        self._deskew = Skew(2, np.arange(array.cols)[::-1] * systolic, rng)
        self._spacing = array.rows - (fault == "early")
        self._words_written = 0
        self.seen = Run(np.full((m, n), 1 << 40), folds=len(self._tiles))

    def run(self) -> Run:
        fold = start = 0
        for cycle in range(PATIENCE):
            if cycle - start >= len(self._slots) and self._may_start(fold + 1, cycle - start):
                fold, start = fold + 1, cycle
            busy = fold < len(self._tiles) and cycle - start < len(self._slots)
            self._clock(cycle, fold, self._slots[cycle - start] if busy else None)
            if self._words_written == len(self._tiles) * self._array.rows:
                return self.seen
        raise AssertionError("the array never finished")

    def _may_start(self, fold: int, since_start: int) -> bool:
        if self._array.overlap:
            return fold <= len(self._tiles) and since_start >= self._spacing
        return self._words_written == fold * self._array.rows

    def _clock(self, cycle: int, fold: int, slot: Slot) -> None:
        operations, product = self._front.clock(*self._read(cycle, fold, slot))
        self._note_steps(cycle, operations)
        self._write(cycle, self._deskew.clock(self._drain.bottom()))
        self._drain.clock(*self._accumulators.clock(operations, product))

    def _read(self, cycle: int, fold: int, slot: Slot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        array = self._array
        a_word = np.zeros((2, array.rows, array.lanes), dtype=np.int64)
        w_word = np.zeros((2, array.cols, array.lanes), dtype=np.int64)
        a_word[VALUE] = garbage(self._rng, *a_word[VALUE].shape)
        w_word[VALUE] = garbage(self._rng, *w_word[VALUE].shape)
        operation = np.zeros(OPERATION_FIELDS, dtype=np.int64)
        for name, value in (slot or {}).items():
            operation[name] = value
        if operation[STEP]:
            self._read_step(cycle, fold, int(operation[TAG]), a_word, w_word)
        operation[TAG] += 1000 * fold
        return a_word, w_word, operation

    def _read_step(
        self, cycle: int, fold: int, step: int, a_word: np.ndarray, w_word: np.ndarray
    ) -> None:
        row, rows, col, cols = self._tiles[fold]
        ks = slice(step * self._array.lanes, (step + 1) * self._array.lanes)
        a, w = self._activations[row : row + rows, ks], self._weights[ks, col : col + cols].T
        a_word[VALUE, :rows, : a.shape[1]], a_word[VALID, :rows, : a.shape[1]] = a, 1
        w_word[VALUE, :cols, : w.shape[1]], w_word[VALID, :cols, : w.shape[1]] = w, 1
        self.seen.activation_reads += a.size
        self.seen.weight_reads += w.size
        self.seen.note(cycle, "read", f"{fold}.{step}")

    def _note_steps(self, cycle: int, operations: np.ndarray) -> None:
        for i, j in np.argwhere(operations[STEP] | operations[REDUCE]):
            fold, step = divmod(int(operations[TAG, i, j]), 1000)
            _, rows, _, cols = self._tiles[min(fold, len(self._tiles) - 1)]
            if i < rows and j < cols:
                sign = "+" if operations[REDUCE, i, j] else ""
                self.seen.note(cycle, f"PE {i},{j}", f"{fold}.{sign}{step}")

    def _write(self, cycle: int, word: np.ndarray) -> None:
        if not word[VALID].any():
            return
        assert word[VALID].all(), "the columns of one output word are not aligned"
        fold, order = divmod(self._words_written, self._array.rows)
        line = self._array.rows - 1 - order
        row, rows, col, cols = self._tiles[fold]
        self._words_written += 1
        if line < rows:
            self.seen.outputs[row + line, col : col + cols] = word[VALUE, :cols]
            self.seen.output_writes += cols
            self.seen.cycles = cycle + 1
            self.seen.note(cycle, "write", f"{fold} row {line}")
