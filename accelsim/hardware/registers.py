"""How many register bits a matrix unit has: the registers of docs/timing.md, counted."""

from __future__ import annotations

from accelsim.config import ArrayConfig
from accelsim.formats import lookup_format
from accelsim.hardware.pe import PE


def operand_register_bits(unit: ArrayConfig, pe: PE) -> int:
    """Return the bits of all operand registers: of the PEs, and the skew at the edges.

    Dot-product units share registers at the edges. A second held operand waits in a shadow; with
    latency it travels through L registers instead.
    """
    activation, weight = lookup_format(pe.activation).bits, lookup_format(pe.weight).bits
    rows, cols = unit.rows, unit.cols
    if unit.organisation == "dot_product":
        return (rows * activation + cols * weight) * unit.lanes
    latency = unit.latency or pe.latency
    west, north = triangle(rows), triangle(cols)
    if unit.dataflow == "os":
        return (rows * cols + west) * activation + (rows * cols + north) * weight
    streamed, held = (activation, weight) if unit.dataflow == "ws" else (weight, activation)
    copies = max(2, latency) if unit.overlap else 1
    return (rows * cols + latency * west) * streamed + (rows * cols * copies + north) * held


def sum_register_bits(unit: ArrayConfig, pe: PE) -> int:
    """Return the bits of all registers of sums: pipelines, accumulators, drain words, deskew.

    os and dot have q = ceil(L / II) accumulators where they interleave and a drain word where folds
    overlap; ws and is have a further adder at the foot of each column; dot has registers after its
    products and after each adder of its tree.
    """
    rows, cols, latency = unit.rows, unit.cols, unit.latency or pe.latency
    deskew = 0 if unit.organisation == "dot_product" else triangle(cols)
    if unit.dataflow != "os":
        return unit.accumulator.bits * ((rows + 1) * cols * latency + deskew)
    interval = unit.interval or pe.interval
    accumulators = -(-latency // interval) if unit.interleave else 1
    words = latency - 1 + accumulators + int(unit.overlap)
    sums = unit.accumulator.bits * (rows * cols * words + deskew)
    if unit.organisation == "dot_product":
        sums += rows * cols * (2 * unit.lanes - 1) * pe.product_bits
    return sums


def triangle(edge: int) -> int:
    """Return the registers that skew an edge: none in front of the first PE, one more for each."""
    return edge * (edge - 1) // 2
