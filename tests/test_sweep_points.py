"""Points by index: grids, draws, Latin hypercubes, and that no chunk knows of another."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from accelsim.explore.points import (
    grid_levels,
    latin_hypercube_levels,
    permuted,
    random_levels,
)

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**32 - 1)


@given(LENGTHS)
def test_a_grid_is_nested_loops(lengths: list[int]) -> None:
    loops = list(itertools.product(*map(range, lengths)))
    levels = grid_levels(lengths, np.arange(len(loops)))
    assert list(map(tuple, levels.tolist())) == loops


@given(LENGTHS, st.integers(1, 300), SEEDS)
def test_a_latin_hypercube_takes_every_level_equally_often(
    lengths: list[int], samples: int, seed: int
) -> None:
    levels = latin_hypercube_levels(lengths, np.arange(samples), samples, seed)
    for axis, length in enumerate(lengths):
        counts = np.bincount(levels[:, axis], minlength=length)
        assert counts.max() - counts.min() <= 1
        assert len(counts) == length


@given(st.integers(1, 3000), SEEDS, st.integers(0, 9))
def test_strata_are_dealt_once_each(size: int, seed: int, axis: int) -> None:
    assert sorted(permuted(np.arange(size), size, seed, axis)) == list(range(size))


def test_axes_of_a_latin_hypercube_are_not_bound_to_each_other() -> None:
    levels = latin_hypercube_levels([10, 10], np.arange(1000), 1000, 0)
    assert len(set(map(tuple, levels.tolist()))) == 100
    assert abs(np.corrcoef(levels.T)[0, 1]) < 0.1


@given(LENGTHS, st.integers(1, 200), st.integers(0, 200), SEEDS)
def test_points_do_not_depend_on_the_chunk(
    lengths: list[int], size: int, cut: int, seed: int
) -> None:
    whole, cut = np.arange(size), min(cut, size)
    for draw in (
        lambda index: random_levels(lengths, index, seed),
        lambda index: latin_hypercube_levels(lengths, index, size, seed),
        lambda index: grid_levels(lengths, index),
    ):
        parts = np.concatenate([draw(whole[:cut]), draw(whole[cut:])])
        assert (draw(whole) == parts).all()


def test_random_levels_are_uniform_and_differ_by_axis_and_seed() -> None:
    levels = random_levels([6, 6], np.arange(60_000), 5)
    for axis in (0, 1):
        counts = Counter(levels[:, axis].tolist())
        # Five standard deviations of a binomial of 60,000 draws with p = 1/6.
        assert all(abs(counts[level] - 10_000) < 460 for level in range(6))
    assert abs(np.corrcoef(levels.T)[0, 1]) < 0.02
    assert (levels != random_levels([6, 6], np.arange(60_000), 6)).any()
