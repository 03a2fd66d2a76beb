"""Which levels of the axes a point of a sweep has: a function of its index and nothing else.

A chunk of indices can so be evaluated anywhere, in any order. Draws are integers from a counter
(splitmix64: Steele, Lea and Flood, OOPSLA 2014), the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

ROUNDS = 4  # of the Feistel network: fewer would leave patterns


def grid_levels(lengths: Sequence[int], index: Levels) -> Levels:
    """Return levels [G, axes] of a grid in which the last axis moves fastest."""
    levels = np.empty((len(index), len(lengths)), dtype=np.int64)
    rest = index.copy()
    for axis in reversed(range(len(lengths))):
        levels[:, axis] = rest % lengths[axis]
        rest //= lengths[axis]
    return levels


def random_levels(lengths: Sequence[int], index: Levels, seed: int) -> Levels:
    """Return levels [G, axes], each drawn uniformly and independently."""
    levels = np.empty((len(index), len(lengths)), dtype=np.int64)
    for axis, length in enumerate(lengths):
        high = _scramble(index.astype(np.uint64) + _key(seed, axis)) >> np.uint64(32)
        levels[:, axis] = (high * np.uint64(length)) >> np.uint64(32)
    return levels


def latin_hypercube_levels(
    lengths: Sequence[int], index: Levels, samples: int, seed: int
) -> Levels:
    """Return levels [G, axes] of ``samples`` points that spread evenly over every axis.

    Along each axis the points are dealt to ``samples`` equal strata, one each, in an order of its
    own; strata map to levels in ascending order, so each level of an axis is taken equally often,
    give or take one.
    """
    levels = np.empty((len(index), len(lengths)), dtype=np.int64)
    for axis, length in enumerate(lengths):
        strata = permuted(index, samples, seed, axis)
        levels[:, axis] = strata * length // samples
    return levels


def permuted(index: Levels, size: int, seed: int, axis: int) -> Levels:
    """Return where a permutation of ``range(size)`` takes each index, without listing it.

    A Feistel network permutes the next power of four; what falls outside walks on until it is
    inside (Black and Rogaway, CT-RSA 2002).
    """
    half = np.uint64(max((size - 1).bit_length() + 1, 2) // 2)
    result = _feistel(index.astype(np.uint64), half, seed, axis)
    outside = result >= size
    while outside.any():
        result[outside] = _feistel(result[outside], half, seed, axis)
        outside = result >= size
    return result.astype(np.int64)


def _feistel(words: Words, half: np.uint64, seed: int, axis: int) -> Words:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = words >> half, words & mask
    for turn in range(ROUNDS):
        key = _key(seed, (axis << 8) + turn + 1)
        left, right = right, left ^ (_scramble(right + key) & mask)
    return (left << half) | right


def _key(seed: int, stream: int) -> np.uint64:
    """Return the start of one of many streams of a seed."""
    first = _scramble(np.array([seed], dtype=np.uint64))
    return np.uint64(_scramble(first + np.uint64(stream + 1))[0])


def _scramble(words: Words) -> Words:
    """Return the finaliser of splitmix64, a bijection that mixes every bit into every other."""
    words = words * np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Words = words ^ (words >> np.uint64(31))
    return result
