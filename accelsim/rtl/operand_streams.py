"""Streams of operands for one PE, drawn or cut from a network, and what a trace counts of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]

CODE = 127  # the largest int8 code that absmax gives
TILE = 128  # steps of one sum in a drawn stream
_RUNS = 16  # stretches of work, and as many of waiting, in a drawn stream that is not always busy


@dataclass(frozen=True)
class OperandStream:
    """One activation and one weight a cycle.

    Attributes:
        name: What it is, for tables.
        activations: [cycles], int8 codes, or numbers for a floating PE.
        weights: [cycles], ternary, int8 codes, or numbers.
        valid: bool [cycles], the PE has a step.
        ternary: Weights are -1, 0, +1.
        tile: Steps of one sum.
    """

    name: str
    activations: Numbers
    weights: Numbers
    valid: npt.NDArray[np.bool_]
    ternary: bool
    tile: int = TILE


def drawn_streams(
    rng: np.random.Generator, cycles: int, ternary: bool, count: int
) -> Iterator[OperandStream]:
    """Yield streams that vary zeros, magnitudes, signs, likeness of neighbours and idle cycles.

    Args:
        rng: Where numbers come from.
        cycles: Length of each.
        ternary: Weights are -1, 0, +1; else int8.
        count: How many.
    """
    for index in range(count):
        zeros_a, zeros_w = rng.choice([0.0, 0.01, 0.3, 0.6, 0.87]), rng.uniform(0.05, 0.7)
        spread = float(np.exp(rng.uniform(np.log(3), np.log(60))))
        busy = float(rng.choice([1.0, 1.0, 1.0, 0.7, 0.3]))
        alike = rng.choice([0.0, 0.0, 0.3])
        plus = rng.choice([0.5, 0.5, 0.3, 0.8])
        activations = _codes(rng, cycles, spread, zeros_a, alike)
        if ternary:
            signs = np.where(rng.random(cycles) < plus, 1, -1)
            weights = np.where(rng.random(cycles) < zeros_w, 0, signs)
        else:
            weights = _codes(rng, cycles, float(np.exp(rng.uniform(1, 4))), zeros_w / 4, 0.0)
        kind = "ternary" if ternary else "dense"
        name = f"drawn {kind} {index}: zeros {zeros_a:.2f} and {zeros_w:.2f}, spread {spread:.0f}"
        valid = _stretches(rng, cycles, busy)
        yield OperandStream(name, activations, weights.astype(np.int64), valid, ternary)


def _stretches(rng: np.random.Generator, cycles: int, busy: float) -> npt.NDArray[np.bool_]:
    """Draw when a PE has steps, a share ``busy`` of the cycles.

    An array waits in stretches, while it fills, drains or turns to another tile: the enable of
    steps rarely changes.
    """
    if busy == 1.0:
        return np.ones(cycles, bool)
    means = np.array([busy, 1 - busy]) * cycles / _RUNS
    # Twice as many as are expected: what is too long is cut.
    lengths = rng.geometric(1 / np.maximum(means, 1), size=(2 * _RUNS, 2)).ravel()
    working = np.arange(len(lengths)) % 2 == 0
    return np.resize(np.repeat(working, lengths), cycles)


def _codes(
    rng: np.random.Generator, cycles: int, spread: float, zeros: float, alike: float
) -> Integers:
    """Draw int8 codes; a share ``alike`` repeats its neighbour."""
    codes = np.clip(np.rint(rng.normal(0, spread, cycles)), -CODE, CODE).astype(np.int64)
    codes[rng.random(cycles) < zeros] = 0
    repeated = np.flatnonzero(rng.random(cycles) < alike)
    codes[repeated[repeated > 0]] = codes[repeated[repeated > 0] - 1]
    return codes


def network_stream(
    name: str,
    codes: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    cycles: int,
    rng: np.random.Generator,
) -> OperandStream:
    """Return what one PE of an output stationary array sees: rows of tokens and outputs along k.

    Args:
        name: The linear.
        codes: int8 [tokens, k].
        weights: ternary [outputs, k].
        cycles: How many operand pairs.
        rng: Picks tokens and outputs.
    """
    k = codes.shape[1]
    folds = -(-cycles // k)
    tokens, outputs = rng.integers(len(codes), size=folds), rng.integers(len(weights), size=folds)
    a = codes[tokens].astype(np.int64).ravel()[:cycles]
    w = weights[outputs].astype(np.int64).ravel()[:cycles]
    return OperandStream(name, a, w, np.ones(cycles, bool), True, k)


def idle_stream(cycles: int) -> OperandStream:
    """Return a stream without a step, whose operands never change."""
    still = np.zeros(cycles, np.int64)
    return OperandStream("idle", still, still, np.zeros(cycles, bool), True)


# What a trace counts, per cycle of a stream.
COUNTS = (
    "step",
    "weight_nonzero",
    "both_nonzero",
    "activation_toggle",
    "weight_toggle",
)


def counts_of(
    stream: OperandStream, activation_bits: Integers, weight_bits: Integers
) -> npt.NDArray[np.float64]:
    """Return the mean of each of ``COUNTS`` over the cycles of a stream.

    Args:
        stream: The stream.
        activation_bits: Bit patterns at the activation port, [cycles].
        weight_bits: Bit patterns at the weight port, [cycles].
    """
    a, w, valid = stream.activations, stream.weights, stream.valid
    return np.array(
        [
            valid.mean(),
            (valid & (w != 0)).mean(),
            (valid & (w != 0) & (a != 0)).mean(),
            hamming(activation_bits).mean(),
            hamming(weight_bits).mean(),
        ]
    )


def hamming(patterns: Integers) -> Integers:
    """Return how many bits change from each pattern to the next, [cycles - 1]."""
    changed: Integers = np.bitwise_count(patterns[1:] ^ patterns[:-1]).astype(np.int64)
    return changed


def joined(streams: Sequence[OperandStream]) -> OperandStream:
    """Return streams one behind the other, as one of the first one's kind."""
    return OperandStream(
        " + ".join(stream.name for stream in streams),
        np.concatenate([stream.activations for stream in streams]),
        np.concatenate([stream.weights for stream in streams]),
        np.concatenate([stream.valid for stream in streams]),
        streams[0].ternary,
        streams[0].tile,
    )
