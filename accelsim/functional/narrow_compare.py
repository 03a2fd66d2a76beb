"""What narrow arithmetic changes: sum by sum given the same inputs, and in the end.

One network runs exactly and is watched: every linear computes its product a second time, as the
narrow hardware would from the exact network's own activations, so that one difference does not
hide the next. A second network is narrow all the way; its tokens and its score are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import UserError
from accelsim.functional import narrow_kernels
from accelsim.functional.checkpoint import Checkpoint, DenseWeight, TernaryWeight
from accelsim.functional.generate import Sampling, generate
from accelsim.functional.linear import Linear, Report, TernaryLinear, build_linear
from accelsim.functional.narrow import (
    Arithmetic,
    emulating,
    prefix_range,
    signed_bits,
)
from accelsim.functional.network import Network
from accelsim.functional.operators import Floats, Norm
from accelsim.functional.score import Score, score_windows, window_nll
from accelsim.functional.threads import Threads

ALL = "all"


@dataclass
class Tally:
    """What happened in the linears of one kind, given the exact network's inputs.

    Attributes:
        outputs: Computed, over all tokens and layers.
        differing: Those whose accumulator (of ``q8_k``: result) is not the exact one.
        sums: Least and greatest exact sum.
        prefixes: Least and greatest exact running sum, k ascending.
        power: Sum of the squares of the exact results, float64.
        error: Sum of the squares of what the narrow results differ by.
    """

    outputs: int = 0
    differing: int = 0
    sums: tuple[int, int] = (0, 0)
    prefixes: tuple[int, int] = (0, 0)
    power: float = 0.0
    error: float = 0.0

    def add(self, other: Tally) -> None:
        """Take in what happened elsewhere."""
        self.outputs += other.outputs
        self.differing += other.differing
        self.sums = _widest(self.sums, other.sums)
        self.prefixes = _widest(self.prefixes, other.prefixes)
        self.power += other.power
        self.error += other.error

    def plain(self) -> dict[str, Any]:
        """Return the row of a report; ``sum_bits`` never wraps, ``prefix_bits`` never saturates."""
        return {
            "outputs": self.outputs,
            "differing": self.differing,
            "relative_rms_error": (self.error / self.power) ** 0.5 if self.power else 0.0,
            "largest_sum": max(map(abs, self.sums)),
            "sum_bits": signed_bits(*self.sums),
            "largest_prefix": max(map(abs, self.prefixes)),
            "prefix_bits": signed_bits(*self.prefixes),
        }


@dataclass(frozen=True)
class WatchedLinear:
    """An exact linear that computes its product the narrow way too, and keeps count.

    Attributes:
        name: The checkpoint's name without ``.weight``.
        exact: What the network goes on with.
        narrow: What it is compared with.
        weight: Of both.
        tally: Takes the counts.
        threads: For the kernels.
    """

    name: str
    exact: Linear
    narrow: Linear
    weight: TernaryWeight
    tally: Tally
    threads: Threads

    def enter(self, x: Floats, norm: Norm | None = None) -> tuple[Any, Any]:
        """Return x as either linear reads it."""
        return self.exact.enter(x, norm), self.narrow.enter(x, norm)

    def __call__(self, x: tuple[Any, Any], report: Report | None = None) -> Floats:
        """Return float32 [m, outputs] of the exact linear."""
        kept: list[NDArray[Any]] = []

        def keep(name: str, codes: NDArray[Any], sums: NDArray[Any]) -> None:
            kept.extend((codes, sums))

        y = self.exact(x[0], keep)
        narrow_y = self.narrow(x[1], keep)
        codes, sums, _, narrow_sums = kept
        if report is not None:
            report(self.name, codes, sums)
        same_codes = isinstance(self.narrow, TernaryLinear)
        changed = narrow_sums != sums if same_codes else narrow_y != y
        power, error = narrow_kernels.squares(y, narrow_y)
        prefixes = prefix_range(codes, self.weight, self.threads)
        self.tally.add(Tally(y.size, int(changed.sum()), _range(sums), prefixes, power, error))
        return y


def compare_arithmetic(
    checkpoint: Checkpoint,
    arithmetic: Arithmetic,
    *,
    prompt: ArrayLike | None = None,
    new_tokens: int = 0,
    sampling: Sampling | None = None,
    text: ArrayLike | None = None,
    characters: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Run a network exactly and narrow, and return what differs, as plain JSON.

    Args:
        checkpoint: What to run.
        arithmetic: Of the narrow network.
        prompt: Token ids [n] to continue.
        new_tokens: How many to choose, in either network.
        sampling: How; None takes the likeliest.
        text: Token ids [n] to score.
        characters: Length of the text they stand for.
        threads: How many share the work.

    Returns:
        ``arithmetic``; ``linears``: a `Tally` row by kind and for ``all``; with a prompt
        ``prompt``: ``positions``, how many of them ``changed`` their likeliest token, the new
        tokens ``exact`` and ``narrow``, ``first_difference`` among them, counted from 0, or None;
        with a text ``text``: the same ``positions`` and ``changed``, and both scores.

    Raises:
        UserError: the network has no ternary linears, the arithmetic does not take its rows, or as
            `generate` and `score`.
    """
    if not any(isinstance(w, TernaryWeight) for w in checkpoint.linears.values()):
        raise UserError(
            "has no ternary linears to emulate", file=checkpoint.path, value=arithmetic.name
        )
    tallies: dict[str, Tally] = {}
    exact = Network(checkpoint, threads, _watching(arithmetic, tallies))
    narrow = Network(checkpoint, threads, emulating(arithmetic))
    result: dict[str, Any] = {"arithmetic": arithmetic.name}
    if prompt is not None:
        result["prompt"] = _compare_prompt(exact, narrow, prompt, new_tokens, sampling)
    if text is not None:
        result["text"] = _compare_text(exact, narrow, text, characters)
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    rows = tallies | {ALL: whole}
    return result | {"linears": {kind: tally.plain() for kind, tally in rows.items()}}


class _watching:  # noqa: N801 - a builder of linears that reads like a function
    """Build watched linears; those of one kind share a tally, in the order they run."""

    def __init__(self, arithmetic: Arithmetic, tallies: dict[str, Tally]) -> None:
        self._narrow = emulating(arithmetic)
        self._tallies = tallies

    def __call__(
        self, name: str, weight: TernaryWeight | DenseWeight, multiplies: bool, threads: Threads
    ) -> Linear:
        exact = build_linear(name, weight, multiplies, threads)
        if not isinstance(weight, TernaryWeight):
            return exact
        narrow = self._narrow(name, weight, multiplies, threads)
        tally = self._tallies.setdefault(name.rpartition(".")[2], Tally())
        return WatchedLinear(name, exact, narrow, weight, tally, threads)


def _compare_prompt(
    exact: Network, narrow: Network, prompt: ArrayLike, new_tokens: int, sampling: Sampling | None
) -> dict[str, Any]:
    ids = np.asarray(prompt).reshape(1, -1)
    a, b = (
        generate(network, ids, new_tokens, sampling=sampling, all_logits=True)
        for network in (exact, narrow)
    )
    different = np.flatnonzero(a.tokens[0] != b.tokens[0])
    return {
        "positions": ids.size,
        "changed": _count_changed(a.logits[0], b.logits[0]),
        "exact": a.tokens[0].tolist(),
        "narrow": b.tokens[0].tolist(),
        "first_difference": int(different[0]) if different.size else None,
    }


def _compare_text(
    exact: Network, narrow: Network, text: ArrayLike, characters: int | None
) -> dict[str, Any]:
    nll = [0.0, 0.0]
    tokens = changed = 0
    windows = zip(score_windows(exact, text), score_windows(narrow, text), strict=True)
    for (logits, targets), (narrow_logits, _) in windows:
        changed += _count_changed(logits, narrow_logits)
        tokens += targets.size
        nll[0] += sum(window_nll(logits, targets))
        nll[1] += sum(window_nll(narrow_logits, targets))
    scores = [_plain_score(Score(total, tokens, characters)) for total in nll]
    return {"positions": tokens, "changed": changed, "exact": scores[0], "narrow": scores[1]}


def _plain_score(score: Score) -> dict[str, Any]:
    return {
        "perplexity": score.perplexity,
        "bits_per_character": score.bits_per_character,
        "tokens": score.tokens,
    }


def _count_changed(logits: Floats, others: Floats) -> int:
    return int((logits.argmax(axis=1) != others.argmax(axis=1)).sum())


def _range(sums: NDArray[Any]) -> tuple[int, int]:
    return int(sums.min()), int(sums.max())


def _widest(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return min(a[0], b[0]), max(a[1], b[1])
