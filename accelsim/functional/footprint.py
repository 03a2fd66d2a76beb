"""What ternary weights take in every packing, and how little they could take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from accelsim.formats import PACKINGS

ENTROPY = "entropy"


class Tensor(NamedTuple):
    """A ternary matrix: its name, its shape, and how many of its weights are -1, 0 and +1."""

    name: str
    outputs: int
    inputs: int
    minus: int
    zero: int
    plus: int


class FootprintRow(NamedTuple):
    """All tensors of a checkpoint in one packing.

    Attributes:
        packing: Name in `PACKINGS`, or ``entropy``.
        bytes: Of all tensors, each in whole bytes.
        bits_per_weight: The same by weight.
        lossless: Whether the packing gives back every weight and the float32 scale.
        decoder: Price family of the circuit that unpacks it; empty where there is none.
    """

    packing: str
    bytes: int
    bits_per_weight: float
    lossless: bool
    decoder: str


def entropy_bits(minus: int, zero: int, plus: int) -> float:
    """Return the bits that weights with these counts take at least, coded one by one.

    Order-0 entropy, sum of n * log2(total / n) (Shannon 1948): log2(3) = 1.585 bits a weight for
    equal shares. A code that knew the order of the weights could need fewer.
    """
    total = minus + zero + plus
    return math.fsum(n * math.log2(total / n) for n in (minus, zero, plus) if n)


def footprint_table(tensors: Iterable[Tensor]) -> list[FootprintRow]:
    """Return a row for every packing in the order of `PACKINGS`, and last the entropy of each.

    Bytes are what a machine moves, the scale included where it lies in the tensor; a file may add
    padding (`packing_codec.Codec.nbytes`).

    Args:
        tensors: At least one weight.
    """
    known = list(tensors)
    weights = sum(tensor.outputs * tensor.inputs for tensor in known)
    rows = []
    for packing in PACKINGS.values():
        size = sum(-(-packing.bits(t.outputs, t.inputs) // 8) for t in known)
        rows.append(
            FootprintRow(packing.name, size, 8 * size / weights, packing.lossless, packing.decoder)
        )
    least = [entropy_bits(t.minus, t.zero, t.plus) for t in known]
    size = sum(math.ceil(bits / 8) for bits in least)
    return [*rows, FootprintRow(ENTROPY, size, math.fsum(least) / weights, True, "")]
