"""Energy of a cycle as a sum over what a trace counts: non-negative least squares.

The energy of an idle cycle is measured, not fitted; what operands add to it is fitted for ternary
and for dense weights apart, since a toggle costs more where a multiplier follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SWEEPS = 20_000
_STILL = 1e-12


@dataclass(frozen=True)
class Fit:
    """Energies per count, and how well they tell streams that they were not made from.

    Attributes:
        idle_pj: Energy of a cycle without a step.
        pj: Energy of one of each of ``operand_streams.COUNTS``.
        mean_error: Mean of |estimate - measured| / measured over the streams held out.
        worst_error: The largest of them.
        worst_stream: Its name.
        held_out: How many streams they are.
    """

    idle_pj: float
    pj: Floats
    mean_error: float
    worst_error: float
    worst_stream: str
    held_out: int


def fit(
    counts: Floats, energies: Floats, idle_pj: float, held_out: Sequence[bool], names: Sequence[str]
) -> Fit:
    """Fit energies of streams, and test the fit on those held out.

    Args:
        counts: float64 [streams, counts], means per cycle.
        energies: float64 [streams], pJ per cycle.
        idle_pj: Energy of a cycle in which nothing happens.
        held_out: bool [streams], streams that the fit must not see.
        names: Of the streams.
    """
    unseen = np.asarray(held_out, bool)
    # Relative errors count, so that a quiet stream is told as well as a busy one.
    weights = 1 / energies[~unseen]
    found = nonnegative(counts[~unseen] * weights[:, None], (energies[~unseen] - idle_pj) * weights)
    errors = np.abs(counts[unseen] @ found + idle_pj - energies[unseen]) / energies[unseen]
    worst = int(np.argmax(errors))
    listed = [name for name, out in zip(names, unseen, strict=True) if out]
    return Fit(
        idle_pj, found, float(errors.mean()), float(errors[worst]), listed[worst], len(errors)
    )


def nonnegative(matrix: Floats, wanted: Floats) -> Floats:
    """Return x >= 0 that minimises |matrix x - wanted|, by descent along one coordinate at a time.

    Args:
        matrix: float64 [rows, columns].
        wanted: float64 [rows].
    """
    product, right = matrix.T @ matrix, matrix.T @ wanted
    found = np.zeros(len(right))
    for _ in range(_SWEEPS):
        before = found.copy()
        for column in np.flatnonzero(np.diagonal(product) > 0):
            slope = product[column] @ found - right[column]
            found[column] = max(0.0, found[column] - slope / product[column, column])
        if np.abs(found - before).max() <= _STILL * max(1.0, np.abs(found).max()):
            break
    return found
