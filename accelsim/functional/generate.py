"""New tokens: the likeliest one, or a seeded draw that repeats to the byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import UserError
from accelsim.functional import kernels
from accelsim.functional.network import Network, Observer
from accelsim.functional.operators import Floats

# Probabilities become integers out of 2**32 before a draw, so that no float sum decides it.
_PROBABILITY_UNITS = float(1 << 32)


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn.

    Attributes:
        seed: 0 to 2**64 - 1; one seed, one sequence.
        temperature: Divides the logits; above 0.
        top_k: Keep the likeliest so many tokens; None keeps all.
        top_p: Then keep the fewest likeliest tokens that hold this share, in (0, 1].
    """

    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Check every value's range."""
        checks = (
            ("seed", 0 <= self.seed < 1 << 64, "0 to 2**64 - 1"),
            ("temperature", 1e-4 <= self.temperature <= 1e4, "1e-4 to 1e4"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0, at most 1"),
        )
        for key, fits, allowed in checks:
            if not fits:
                value = getattr(self, key)
                raise UserError("out of range", key=key, value=value, allowed=f"allowed: {allowed}")


@dataclass(frozen=True)
class Generation:
    """What a prompt led to.

    Attributes:
        tokens: The new tokens, int64 [batch, new].
        logits: Of the prompt: float32 [batch, prompt positions or 1, vocabulary].
    """

    tokens: NDArray[np.int64]
    logits: Floats


def generate(
    network: Network,
    prompt: ArrayLike,
    new_tokens: int,
    *,
    sampling: Sampling | None = None,
    all_logits: bool = False,
    observer: Observer | None = None,
    before_pass: Callable[[int], None] | None = None,
) -> Generation:
    """Run a prompt, then one pass per further token.

    The prompt's logits choose the first new token; the last new token is never fed back, so
    ``new_tokens`` of 0 or 1 run the prompt alone.

    Args:
        network: What to run.
        prompt: Token ids [batch, positions].
        new_tokens: How many to choose per batch row.
        sampling: How to draw them; None takes the likeliest, the lowest id among equals.
        all_logits: Keep the logits of every prompt position instead of the last one's.
        observer: Receives the operands of every product.
        before_pass: Called with the number of each pass: 0 for the prompt, then 1, 2, ...

    Raises:
        UserError: an empty prompt, a token outside the vocabulary, more positions than the network
            has, or logits that are not finite.
    """
    ids = np.atleast_2d(np.asarray(prompt))
    if new_tokens < 0:
        raise UserError("no number of tokens", value=new_tokens, allowed="allowed: 0 or more")
    if ids.ndim != 2 or ids.size == 0:
        raise UserError("the prompt is empty", allowed="allowed: one token or more")
    cache = network.new_cache(ids.shape[0], ids.shape[1] + max(new_tokens - 1, 0))
    announce = before_pass or (lambda _: None)
    announce(0)
    logits = network.forward(ids, cache, last=None if all_logits else 1, observer=observer)
    tokens = np.empty((ids.shape[0], new_tokens), np.int64)
    current = logits
    for step in range(new_tokens):
        tokens[:, step] = choose(current[:, -1], sampling, step)
        if step + 1 < new_tokens:
            announce(step + 1)
            current = network.forward(tokens[:, step : step + 1], cache, observer=observer)
    return Generation(tokens, logits)


def choose(logits: Floats, sampling: Sampling | None, step: int) -> NDArray[np.int64]:
    """Return a token per row of float32 logits [batch, vocabulary].

    Args:
        logits: Must be finite.
        sampling: How to draw; None takes the first of the largest.
        step: Which new token this is; a draw depends on seed, step and row alone.
    """
    if not np.isfinite(logits).all():
        raise UserError("the network's logits are not finite")
    if sampling is None:
        return np.asarray(logits.argmax(axis=1), np.int64)
    draws = [_draw(row, sampling, step, number) for number, row in enumerate(logits)]
    return np.array(draws, np.int64)


def _draw(logits: Floats, sampling: Sampling, step: int, row: int) -> int:
    order = np.argsort(-logits, kind="stable")[: sampling.top_k]
    scaled = logits[order] / np.float32(sampling.temperature)
    total = kernels.exponentials(scaled, scaled[0], np.empty(scaled.size, np.int32))
    shares = (scaled / total).astype(np.float64)
    kept = int(np.searchsorted(np.cumsum(shares), sampling.top_p)) + 1
    units = np.floor(shares[:kept] * _PROBABILITY_UNITS).astype(np.int64)
    bounds = np.cumsum(units)
    target = _philox_word(sampling.seed, step, row) * int(bounds[-1]) >> 64
    return int(order[np.searchsorted(bounds, target, side="right")])


def _philox_word(seed: int, step: int, row: int) -> int:
    """Return the 64-bit word of Philox 4x64 with this key at this counter."""
    generator = np.random.Philox(key=seed, counter=[0, step, row, 0])
    return int(generator.random_raw())
