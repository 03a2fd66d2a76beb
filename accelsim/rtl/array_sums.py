"""What an array computes, exactly, in the order of additions of docs/timing.md."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.engine.timing import ArrayTiming, partial_sums
from accelsim.hardware.design import Organisation

Integers = npt.NDArray[np.int64]

_NEVER_FULL = 40  # bits that hold 2**20 products of int8


def integer_sums(
    array: ArrayTiming, activations: Integers, weights: Integers, bits: int, saturate: bool
) -> Integers:
    """Return activations [m, k] times weights [k, n] in accumulators of ``bits``.

    Every addition of the array wraps or saturates by itself: steps, the reduction of interleaved
    sums, the sum of k-folds. The products of one step of a dot-product unit are summed exactly.
    """
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def narrow(sums: Integers) -> Integers:
        if bits > _NEVER_FULL:
            return sums
        return np.clip(sums, low, high) if saturate else (sums - low) % (1 << bits) + low

    nothing = np.zeros((activations.shape[0], weights.shape[1]), dtype=np.int64)
    if array.organisation in (Organisation.SYSTOLIC_WS, Organisation.SYSTOLIC_IS):
        total = None
        for first in range(0, activations.shape[1], array.rows):
            fold = nothing
            for k in range(first, min(first + array.rows, activations.shape[1])):
                fold = narrow(fold + activations[:, k, None] * weights[k])
            total = fold if total is None else narrow(total + fold)
        assert total is not None, "a GEMM has at least one reduction"
        return total
    lanes = array.lanes
    steps = -(-activations.shape[1] // lanes)
    count = int(partial_sums(steps, array.latency, array.interval, array.interleave))
    partial = [nothing] * count
    for step in range(steps):
        ks = slice(step * lanes, (step + 1) * lanes)
        partial[step % count] = narrow(partial[step % count] + activations[:, ks] @ weights[ks])
    total = partial[0]
    for other in partial[1:]:
        total = narrow(total + other)
    return total
