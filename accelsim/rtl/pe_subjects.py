"""What synthesis characterises: PEs as they stand in an array, and how operands enter them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from accelsim.rtl.operand_streams import Integers, Numbers, OperandStream
from accelsim.rtl.words import Stimulus

LEAD_IN = 4  # cycles of reset in front of a stream
HELD_TILE = 16  # activations of a held weight in a stream

# Formats of operands: bits, and the KIND of mac.sv or dot.sv that takes them.
_INT8, _TERNARY, _INT4 = "int8", "ternary", "int4"


@dataclass(frozen=True)
class Subject:
    """A module to characterise.

    Attributes:
        name: Name of its prices, ``pe.NAME``.
        top: SystemVerilog module: pe_os, pe_held or pe_dot.
        kind: KIND parameter.
        activation: Format of the moving operand.
        weight: Format of the second operand.
        accumulator: Bits of the sum.
        lanes: Products a cycle.
        dense: It can multiply by a weight that is not ternary.
    """

    name: str
    top: str
    kind: int
    activation: str
    weight: str
    accumulator: int
    lanes: int = 1
    dense: bool = True

    @property
    def integer(self) -> bool:
        """Whether sums are integers."""
        return self.activation == "int8"

    def parameters(self, latency: int) -> dict[str, int]:
        """Return the module's parameters at an accumulate of ``latency`` cycles."""
        a, w = width_of(self.activation), width_of(self.weight)
        values = {"KIND": self.kind, "A": a, "W": w, "ACC": self.accumulator, "LATENCY": latency}
        if self.top == "pe_held":
            return values | {"STREAM": a, "HELD": w}
        values |= {"SUMS": latency, "INDEX": index_bits(latency)}
        return values | ({"LANES": self.lanes} if self.top == "pe_dot" else {})


def _table() -> dict[str, Subject]:
    # NAME_24 and the like are other widths of a sum, merged with NAME's by `price_widths`.
    rows = [
        *(
            Subject(f"ternary_add{name}", "pe_os", 0, _INT8, _TERNARY, bits, dense=False)
            for name, bits in (("", 24), ("_16", 16), ("_20", 20), ("_32", 32))
        ),
        Subject("int8_int4_mac", "pe_os", 2, _INT8, _INT4, 28),
        Subject("int8_mac", "pe_os", 1, _INT8, _INT8, 32),
        Subject("int8_mac_24", "pe_os", 1, _INT8, _INT8, 24),
        Subject("fp16_fmac", "pe_os", 3, "fp16", "fp16", 32),
        Subject("bf16_fmac", "pe_os", 4, "bf16", "bf16", 32),
        Subject("fp32_fmac", "pe_os", 5, "fp32", "fp32", 32),
        Subject("ternary_add_held", "pe_held", 0, _INT8, _TERNARY, 24, dense=False),
        Subject("int8_mac_held", "pe_held", 1, _INT8, _INT8, 32),
        Subject("int8_mac_held_24", "pe_held", 1, _INT8, _INT8, 24),
        Subject("fp16_fmac_held", "pe_held", 3, "fp16", "fp16", 32),
        Subject("bf16_fmac_held", "pe_held", 4, "bf16", "bf16", 32),
        Subject("ternary_dot4", "pe_dot", 0, _INT8, _TERNARY, 24, 4, dense=False),
        Subject("ternary_dot16", "pe_dot", 0, _INT8, _TERNARY, 24, 16, dense=False),
        Subject("int8_dot4", "pe_dot", 1, _INT8, _INT8, 32, 4),
        Subject("int8_dot16", "pe_dot", 1, _INT8, _INT8, 32, 16),
        Subject("fp16_fused4", "pe_dot", 6, "fp16", "fp16", 32, 4),
        Subject("fp16_fused", "pe_dot", 6, "fp16", "fp16", 32, 16),
        Subject("bf16_fused4", "pe_dot", 7, "bf16", "bf16", 32, 4),
        Subject("bf16_fused", "pe_dot", 7, "bf16", "bf16", 32, 16),
    ]
    return {row.name: row for row in rows}


SUBJECTS = _table()


def width_of(operand: str) -> int:
    """Return the bits of an operand format."""
    return {"ternary": 2, "int4": 4, "int8": 8, "fp16": 16, "bf16": 16, "fp32": 32}[operand]


def index_bits(sums: int) -> int:
    """Return the bits that name one of ``sums`` accumulators."""
    return max(1, (sums - 1).bit_length())


def patterns(numbers: Numbers, operand: str) -> Integers:
    """Return the bit patterns of numbers in a format, zero or more; ternary is 00, 01, 11."""
    if operand == "ternary":
        return np.where(numbers < 0, 3, numbers).astype(np.int64)
    if operand in ("int8", "int4"):
        return numbers.astype(np.int64) & ((1 << width_of(operand)) - 1)
    if operand == "fp16":
        return numbers.astype(np.float16).view(np.uint16).astype(np.int64)
    single = numbers.astype(np.float32).view(np.uint32).astype(np.int64)
    return single if operand == "fp32" else single >> 16


def fitted(stream: OperandStream, subject: Subject, rng: np.random.Generator) -> OperandStream:
    """Return a stream as the subject's ports take it.

    int4 weights are the high bits of int8 ones. Where both operands of a floating PE are dense they
    are no whole numbers: all bits of their significands are in use. A PE that holds its
    weight takes a new one every HELD_TILE cycles.
    """
    if subject.top == "pe_held":
        stream = _held(stream)
    a, w = stream.activations, stream.weights
    if not stream.ternary and subject.weight == "int4":
        w = w.astype(np.int64) >> 4
    elif not stream.ternary and subject.weight != "int8":
        a, w = (_dense(numbers, rng) for numbers in (a, w))
    return replace(stream, activations=a, weights=w)


def _held(stream: OperandStream) -> OperandStream:
    """Return the stream with the weights that a PE really holds, each for HELD_TILE cycles."""
    cycle = np.arange(len(stream.weights))
    return replace(stream, weights=stream.weights[cycle - cycle % HELD_TILE], tile=HELD_TILE)


def _dense(numbers: Numbers, rng: np.random.Generator) -> Numbers:
    """Spread whole numbers over the reals around them; zeros stay zeros."""
    return np.where(numbers == 0, 0.0, (numbers + rng.uniform(-0.5, 0.5, len(numbers))) / 32)


def stimulus_of(stream: OperandStream, subject: Subject, latency: int) -> Stimulus:
    """Return values of all input ports, LEAD_IN cycles of reset first."""
    return _PORTS[subject.top](stream, subject, latency)


def _os_ports(stream: OperandStream, subject: Subject, latency: int) -> Stimulus:
    op, column = _operations(stream, latency)
    valid = stream.valid
    return {
        "rst": _lead(np.zeros(len(valid), np.int64), 1),
        "a_in": _lead(patterns(stream.activations, subject.activation)),
        "a_valid_in": _lead(valid.astype(np.int64)),
        "op_in": _lead(op),
        "w_in": _lead(patterns(stream.weights, subject.weight)),
        "w_valid_in": _lead(valid.astype(np.int64)),
        "column": _lead(column),
        "above": 0,
    }


def _operations(stream: OperandStream, sums: int) -> tuple[Integers, Integers]:
    """Return {index, capture, first, reduce, step} of each cycle, and when the column captures.

    A step goes to the accumulators in turn; the first of a tile's steps in each starts from zero,
    the last of the tile is captured.
    """
    valid = stream.valid
    number = np.cumsum(valid) - 1
    within = number % max(stream.tile, 2 * sums)
    first = valid & (within < sums)
    capture = valid & (within == max(stream.tile, 2 * sums) - 1)
    index = np.where(valid, within % sums, 0)
    op = index << 4 | capture.astype(np.int64) << 3 | first.astype(np.int64) << 2 | valid
    return op.astype(np.int64), np.roll(capture, 2).astype(np.int64)


def _held_ports(stream: OperandStream, subject: Subject, latency: int) -> Stimulus:
    """A weight is held for a tile of activations; partial sums come from sixteen PEs above.

    The weight of the next tile waits in the shadow: it is loaded a tile ahead.
    """
    cycles = len(stream.valid)
    rng = np.random.default_rng(cycles)
    starts = np.arange(cycles) % stream.tile == 0
    held = np.roll(patterns(stream.weights, subject.weight), -stream.tile)
    # Sums move with steps, so that a step is charged for the sum that passes.
    last = np.maximum.accumulate(np.where(stream.valid, np.arange(cycles), 0))
    above = np.roll(_above(stream, rng)[last], 1)
    return {
        "rst": _lead(np.zeros(cycles, np.int64), 1),
        "x_in": _lead(patterns(stream.activations, subject.activation)),
        "x_valid_in": _lead(stream.valid.astype(np.int64)),
        "swap_in": _lead(starts.astype(np.int64)),
        "h_in": _lead(held),
        "load": _lead(starts.astype(np.int64)),
        "load_last": _lead(np.roll(starts, -8).astype(np.int64)),
        "sum_in": _lead(_sum_patterns(above, subject)),
    }


def _above(stream: OperandStream, rng: np.random.Generator) -> Numbers:
    """Return sums of sixteen products each, drawn from the stream's own operands."""
    cycles = len(stream.valid)
    picks = rng.integers(cycles, size=(2, 16, cycles))
    products = stream.activations[picks[0]] * stream.weights[picks[1]]
    total: Numbers = products.sum(axis=0)
    return total


def _sum_patterns(sums: Numbers, subject: Subject) -> Integers:
    if subject.activation == "int8":
        return sums.astype(np.int64) & ((1 << subject.accumulator) - 1)
    return patterns(sums, "fp32")


def _dot_ports(stream: OperandStream, subject: Subject, latency: int) -> Stimulus:
    """A cycle takes ``lanes`` operand pairs; their operation follows when the tree is through."""
    lanes = subject.lanes
    cycles = len(stream.valid) // lanes
    shape, whole = (cycles, lanes), cycles * lanes
    a = stream.activations[:whole].reshape(shape)
    w = stream.weights[:whole].reshape(shape)
    valid = stream.valid[:whole].reshape(shape)
    busy: npt.NDArray[np.bool_] = valid.max(axis=1)
    wide = OperandStream("", a[:, 0], w[:, 0], busy, stream.ternary, stream.tile)
    op, column = _operations(wide, latency)
    depth = 2 + max(1, (lanes - 1).bit_length())
    return {
        "rst": _lead(np.zeros(cycles, np.int64), 1),
        "a_in": _lead(patterns(a, subject.activation)),
        "w_in": _lead(patterns(w, subject.weight)),
        "valid_in": _lead(valid.astype(np.int64)),
        "op": _lead(_later(op, depth)),
        "column": _lead(_later(column, depth)),
        "above": 0,
    }


def _later(values: Integers, cycles: int) -> Integers:
    return np.concatenate([np.zeros(cycles, np.int64), values[:-cycles]])


def _lead(values: Integers, value: int = 0) -> Integers:
    """Put LEAD_IN rows of ``value`` in front."""
    head = np.full((LEAD_IN, *values.shape[1:]), value, np.int64)
    return np.concatenate([head, values])


_PORTS: Mapping[str, Callable[[OperandStream, Subject, int], Stimulus]] = {
    "pe_os": _os_ports,
    "pe_held": _held_ports,
    "pe_dot": _dot_ports,
}
