"""Fronts against their definition, point by point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from accelsim.explore.pareto import front_mask, knee

# Few distinct values: ties and equal points are where an algorithm fails first.
POINTS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(0, 40), st.integers(1, 5)),
    elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, np.nan, np.inf]),
)


def by_definition(points: npt.NDArray[np.float64]) -> list[bool]:
    def dominates(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
        return bool((a <= b).all() and (a < b).any())

    known = [not np.isnan(point).any() for point in points]
    return [
        known[i]
        and not any(known[j] and dominates(points[j], points[i]) for j in range(len(points)))
        for i in range(len(points))
    ]


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: npt.NDArray[np.float64]) -> None:
    assert front_mask(points).tolist() == by_definition(points)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_fronts_of_parts_have_the_front_of_the_whole(objectives: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 9, (200, objectives)).astype(np.float64)
    halves = [half[front_mask(half)] for half in (points[:90], points[90:])]
    joined = np.concatenate(halves)
    assert sorted(map(tuple, joined[front_mask(joined)])) == sorted(
        map(tuple, points[front_mask(points)])
    )


def test_a_front_that_holds_every_point_is_found_whole() -> None:
    points = np.abs(np.random.default_rng(1).normal(size=(2000, 3)))
    points /= np.linalg.norm(points, axis=1)[:, None]
    assert front_mask(points).all()


def test_the_knee_is_the_point_nearest_to_the_best_of_each() -> None:
    front = np.array([[0.0, 10.0], [1.0, 2.0], [5.0, 1.5], [10.0, 0.0]])
    assert knee(front) == 1
    assert knee(np.array([[3.0, 3.0]])) == 0
