"""How well a network predicts a text: perplexity per token, bits per character."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import UserError
from accelsim.functional import kernels
from accelsim.functional.network import Network
from accelsim.functional.operators import Floats

DEFAULT_WINDOW = 512


@dataclass(frozen=True)
class Score:
    """The cost of a text.

    Attributes:
        nll: Sum of -ln p(token | those before it), in nats.
        tokens: Scored tokens: all but the first, which nothing comes before.
        characters: Unicode characters of the text; None where only tokens were given.
    """

    nll: float
    tokens: int
    characters: int | None = None

    @property
    def perplexity(self) -> float:
        """Return exp(nll / tokens)."""
        return math.exp(self.nll / self.tokens)

    @property
    def bits_per_character(self) -> float | None:
        """Return nll / ln 2 / characters."""
        return None if self.characters is None else self.nll / math.log(2) / self.characters


def score(
    network: Network,
    token_ids: ArrayLike,
    *,
    characters: int | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> Score:
    """Score every token but the first once, with what lies before it inside a sliding window.

    A window begins every ``stride`` tokens; from each, the tokens that no earlier window scored are
    scored, so a token past the first window has at least window - stride tokens before it.

    Args:
        network: What to score with.
        token_ids: Integers [n], two or more.
        characters: Length of the text they stand for.
        window: Tokens per window; by default 512 or the longest context, whichever is less.
        stride: Tokens between windows, at most the window - 1; by default half the window.

    Raises:
        UserError: fewer than two tokens, a token outside the vocabulary, a window past the longest
            context, a stride past the window.
    """
    windows = score_windows(network, token_ids, window=window, stride=stride)
    nll = 0.0
    tokens = 0
    for logits, targets in windows:
        nll += sum(window_nll(logits, targets))
        tokens += targets.size
    return Score(nll, tokens, characters)


def score_windows(
    network: Network, token_ids: ArrayLike, *, window: int | None = None, stride: int | None = None
) -> Iterator[tuple[Floats, NDArray[Any]]]:
    """Yield each window's logits, float32 [fresh, vocabulary], and the tokens [fresh] they face.

    Arguments and errors as those of `score`; every token but the first is faced once.
    """
    ids = np.asarray(token_ids)
    longest = network.config.max_positions
    window = min(DEFAULT_WINDOW, longest) if window is None else window
    stride = window // 2 if stride is None else stride
    if ids.ndim != 1 or ids.size < 2:
        allowed = "allowed: two tokens or more"
        raise UserError("too short to score", value=int(ids.size), allowed=allowed)
    if not 2 <= window <= longest:
        allowed = f"allowed: 2 to {longest}, the longest context"
        raise UserError("no window", key="window", value=window, allowed=allowed)
    if not 1 <= stride < window:
        allowed = f"allowed: 1 to {window - 1}"
        raise UserError("no stride", key="stride", value=stride, allowed=allowed)
    scored = 1
    for begin in range(0, ids.size, stride):
        end = min(begin + window, ids.size)
        cache = network.new_cache(1, window)
        logits = network.forward(ids[None, begin : end - 1], cache, last=end - scored)[0]
        yield logits, ids[scored:end]
        scored = end
        if end == ids.size:
            break


def window_nll(logits: Floats, targets: NDArray[np.int64]) -> list[float]:
    """Return -ln softmax(logits [m, v])[target] of each row; the logits are overwritten."""
    rows = np.arange(targets.size)
    largest = logits.max(axis=1)
    wanted = logits[rows, targets]
    powers = np.empty(logits.shape[1], np.int32)
    totals = [
        kernels.exponentials(row, top, powers) for row, top in zip(logits, largest, strict=True)
    ]
    values = [
        math.log(total) + float(top) - float(value)
        for total, top, value in zip(totals, largest, wanted, strict=True)
    ]
    if not np.isfinite(values).all():
        raise UserError("the network's logits are not finite")
    return values
