"""What an array computes, exactly, in the order of additions of docs/timing.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from accelsim.engine.timing import ArrayTiming, partial_sums
from accelsim.hardware.design import Organisation

Integers = npt.NDArray[np.int64]

_NEVER_FULL = 40  # bits that hold 2**20 products of int8


class Arithmetic(Protocol):
    """Operands as they stand at a PE's port, int64, and sums of a type of its own."""

    def zero(self, shape: tuple[int, int]) -> Any:
        """Return sums [m, n] before the first step."""

    def step(self, sums: Any, activations: Integers, weights: Integers) -> Any:
        """Return sums [m, n] after one step of activations [m, lanes] times weights [lanes, n]."""

    def add(self, one: Any, other: Any) -> Any:
        """Return two sums added up."""

    def bits(self, sums: Any) -> Integers:
        """Return sums as they are read from the output SRAM."""


@dataclass(frozen=True)
class IntegerArithmetic:
    """Accumulators of ``width`` bits that wrap or saturate at every addition.

    The products of one step of a dot-product unit are summed exactly.
    """

    width: int
    saturate: bool

    def zero(self, shape: tuple[int, int]) -> Integers:
        """Return sums [m, n] before the first step."""
        return np.zeros(shape, dtype=np.int64)

    def step(self, sums: Integers, activations: Integers, weights: Integers) -> Integers:
        """Return sums after one step."""
        return self._narrow(sums + activations @ weights)

    def add(self, one: Integers, other: Integers) -> Integers:
        """Return two sums added up."""
        return self._narrow(one + other)

    def bits(self, sums: Integers) -> Integers:
        """Return the sums themselves."""
        return sums

    def _narrow(self, sums: Integers) -> Integers:
        if self.width > _NEVER_FULL:
            return sums
        low, high = -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        if self.saturate:
            return np.clip(sums, low, high)
        return (sums - low) % (1 << self.width) + low


def array_sums(
    array: ArrayTiming, arithmetic: Arithmetic, activations: Integers, weights: Integers
) -> Integers:
    """Return activations [m, k] times weights [k, n] as the array adds them up, int64 [m, n]."""
    if array.organisation in (Organisation.SYSTOLIC_WS, Organisation.SYSTOLIC_IS):
        return arithmetic.bits(_held(array.rows, arithmetic, activations, weights))
    return arithmetic.bits(_in_place(array, arithmetic, activations, weights))


def _held(rows: int, arithmetic: Arithmetic, activations: Integers, weights: Integers) -> Any:
    """A sum passes ``rows`` PEs from above; the sums of k-folds are added at their feet."""

    def fold(first: int) -> Any:
        sums = arithmetic.zero((len(activations), weights.shape[1]))
        for k in range(first, min(first + rows, len(weights))):
            sums = arithmetic.step(sums, activations[:, k : k + 1], weights[k : k + 1])
        return sums

    return _chain(arithmetic, (fold(first) for first in range(0, len(weights), rows)))


def _in_place(
    array: ArrayTiming, arithmetic: Arithmetic, activations: Integers, weights: Integers
) -> Any:
    """Steps go to the partial sums in turn; these are added up in the end."""
    lanes = array.lanes
    steps = -(-len(weights) // lanes)
    count = int(partial_sums(steps, array.latency, array.interval, array.interleave))
    sums = [arithmetic.zero((len(activations), weights.shape[1]))] * count
    for step in range(steps):
        ks = slice(step * lanes, (step + 1) * lanes)
        sums[step % count] = arithmetic.step(sums[step % count], activations[:, ks], weights[ks])
    return _chain(arithmetic, sums)


def _chain(arithmetic: Arithmetic, sums: Iterable[Any]) -> Any:
    """Add up one after the other: ((s0 + s1) + s2) + ..."""
    total = None
    for each in sums:
        total = each if total is None else arithmetic.add(total, each)
    assert total is not None, "a GEMM has at least one reduction"
    return total
