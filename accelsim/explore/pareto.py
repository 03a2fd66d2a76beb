"""Pareto fronts, exact for any number of objectives, and the knee of a front."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.kernels import kernel

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


def front_mask(points: Floats) -> Flags:
    """Return which points no other point dominates, bool [N].

    A point dominates another if it is nowhere larger and somewhere smaller; equal points are
    on the front together. A point with a NaN is never on it.

    Args:
        points: What is minimised, float64 [N, objectives].
    """
    result = np.zeros(len(points), dtype=bool)
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    if not known.size:
        return result
    order = known[np.lexsort(points[known].T[::-1])]
    ranked = np.ascontiguousarray(points[order], dtype=np.float64)
    if ranked.shape[1] == 1:
        ranked = np.concatenate([ranked, np.zeros_like(ranked)], axis=1)
    kept = np.zeros(len(ranked), dtype=np.bool_)
    (_front_of_two if ranked.shape[1] == 2 else _front_of_many)(ranked, kept)
    result[order[kept]] = True
    return result


@kernel
def _front_of_two(ranked, kept):
    """Mark the front of points [N, 2] in ascending order: the second must fall."""
    best, first = np.inf, np.inf
    for i in range(len(ranked)):
        x, y = ranked[i, 0], ranked[i, 1]
        if y < best:
            best, first = y, x
            kept[i] = True
        elif y == best and x == first:
            kept[i] = True


@kernel
def _front_of_many(ranked, kept):
    """Mark the front of points in ascending order: only earlier ones can dominate.

    Points that dominated lately stand first in the list: they dominate most of what comes.
    """
    members = np.empty(len(ranked), dtype=np.int64)
    count = 0
    for i in range(len(ranked)):
        dominated = False
        for place in range(count):
            less, more = False, False
            for o in range(ranked.shape[1]):
                if ranked[members[place], o] < ranked[i, o]:
                    less = True
                elif ranked[members[place], o] > ranked[i, o]:
                    more = True
                    break
            if less and not more:
                dominated = True
                if place > 0:
                    half = place // 2
                    members[place], members[half] = members[half], members[place]
                break
        if not dominated:
            kept[i] = True
            members[count] = i
            count += 1


def knee(front: Floats) -> int:
    """Return the position of the point nearest to the best of every objective.

    Distances are Euclidean, each objective scaled to 0 at its best and 1 at its worst on the
    front; of equal distances the first.

    Args:
        front: What is minimised, float64 [N, objectives], N at least 1.
    """
    best, worst = front.min(axis=0), front.max(axis=0)
    span = np.where(worst > best, worst - best, 1.0)
    scaled = (front - best) / span
    distance = np.zeros(len(front))
    for objective in scaled.T:
        distance = distance + objective * objective
    return int(np.argmin(distance))
