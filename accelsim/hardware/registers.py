"""How many register bits a matrix unit has: the registers of docs/timing.md, counted.

Formulas over columns: ``unit`` is ``UNIT_DTYPE`` [G], and every result is int64 [G].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import ArrayConfig

Integers = npt.NDArray[np.int64]


def dataflows_of(wiring: ArrayConfig) -> tuple[str, ...]:
    """Return the dataflows that a systolic array can take."""
    return tuple(wiring.dataflows) or (wiring.dataflow,)


def has_drain_adders(wiring: ArrayConfig) -> bool:
    """Return whether adders stand in front of the output buffer: ws and is need them."""
    return wiring.drain_adders or set(dataflows_of(wiring)) != {"os"}


def operand_register_bits(wiring: ArrayConfig, unit: npt.NDArray[np.void]) -> Integers:
    """Return the bits of all operand registers: of the PEs, and the skew at the edges.

    Dot-product units share registers at the edges. A second held operand waits in a shadow; with
    latency it travels through L registers instead. An array of several dataflows has of each kind
    as many as the one that asks for most.

    Args:
        wiring: Gives organisation and dataflows, never a number.
        unit: The numbers, [G].
    """
    activation, weight = unit["activation_bits"], unit["weight_bits"]
    rows, cols, latency = unit["rows"], unit["cols"], unit["latency"]
    if wiring.organisation == "dot_product":
        return _whole((rows * activation + cols * weight) * unit["lanes"])
    west, north = triangle(rows), triangle(cols)
    copies = np.where(unit["overlap"] == 1, np.maximum(2, latency), 1)
    streamed, held = rows * cols + latency * west, rows * cols * copies + north
    # Words of activations and of weights.
    words = {
        "os": (rows * cols + west, rows * cols + north),
        "ws": (streamed, held),
        "is": (held, streamed),
    }
    activations, weights = zip(*(words[name] for name in dataflows_of(wiring)), strict=True)
    most = (np.maximum.reduce(activations), np.maximum.reduce(weights))
    return _whole(most[0] * activation + most[1] * weight)


def sum_register_bits(wiring: ArrayConfig, unit: npt.NDArray[np.void]) -> Integers:
    """Return the bits of all registers of sums: pipelines, accumulators, drain words, deskew.

    os and dot have q = ceil(L / II) accumulators where they interleave and a drain word where folds
    overlap; adders in front of the output buffer have L registers each; dot has registers after its
    products and after each adder of its tree. Arguments as in ``operand_register_bits``.
    """
    rows, cols, latency, bits = (
        unit[name] for name in ("rows", "cols", "latency", "accumulator_bits")
    )
    dot = wiring.organisation == "dot_product"
    words = latency
    if "os" in dataflows_of(wiring):
        accumulators = np.where(unit["interleave"] == 1, -(-latency // unit["interval"]), 1)
        words = latency - 1 + accumulators + unit["overlap"]  # at least L
    sums = bits * (rows * cols * words + (0 if dot else triangle(cols)))
    if has_drain_adders(wiring):
        sums = sums + bits * cols * latency
    if dot:
        sums = sums + rows * cols * (2 * unit["lanes"] - 1) * unit["product_bits"]
    return _whole(sums)


def control_register_bits(wiring: ArrayConfig, unit: npt.NDArray[np.void]) -> Integers:
    """Return the bits of one PE that say what its operands are for: valid bits and operations.

    In os a PE has a valid bit for each operand and an operation of step, reduce, first, capture and
    the index of an accumulator; a dot-product unit has a valid bit for each lane. Write, capture
    and index travel beside an accumulate of several cycles, and a bit says that the drain word is
    taken. ws and is have valid and swap, and one bit more where a shadow waits. Arguments as in
    ``operand_register_bits``.
    """
    latency, overlap = unit["latency"], unit["overlap"]
    if wiring.dataflow != "os":
        return _whole(2 + np.where((overlap == 1) & (latency == 1), 1, 0))
    sums = np.where(unit["interleave"] == 1, -(-latency // unit["interval"]), 1)
    index = np.maximum(1, np.ceil(np.log2(sums)).astype(np.int64))
    own = unit["lanes"] if wiring.organisation == "dot_product" else 6 + index
    return _whole(own + overlap + (latency - 1) * (2 + index))


def multiplexed_bits(wiring: ArrayConfig, unit: npt.NDArray[np.void]) -> Any:
    """Return the two-input multiplexers of a PE: one for each operand and sum bit, [G].

    Each further dataflow is one more input. Arguments as in ``operand_register_bits``.
    """
    bits = unit["activation_bits"] + unit["weight_bits"] + unit["accumulator_bits"]
    return bits * (len(wiring.dataflows) - 1)


def triangle(edge: Any) -> Any:
    """Return the registers that skew an edge: none in front of the first PE, one more for each."""
    return edge * (edge - 1) // 2


def _whole(bits: Any) -> Integers:
    return np.asarray(bits, dtype=np.int64)
