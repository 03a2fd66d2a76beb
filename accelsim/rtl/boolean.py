"""Boolean functions of cells, as Liberty writes them, as truth tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Truth = npt.NDArray[np.bool_]

_WORD = re.compile(r"\s*([A-Za-z_]\w*(?:\[\d+\])?|[01]|[()!'^*&+|])")


def inputs_of(text: str) -> list[str]:
    """Return the names in an expression, each once, in order."""
    return list(dict.fromkeys(re.findall(r"[A-Za-z_]\w*(?:\[\d+\])?", text)))


def truth_table(text: str, names: Sequence[str]) -> Truth:
    """Return the value of an expression in every state of its inputs.

    ``!a`` and ``a'`` negate; ``a*b``, ``a&b`` and ``a b`` are and; ``a+b`` and ``a|b`` are or;
    ``^`` is exclusive or. Precedence as in Liberty: not, exclusive or, and, or.

    Args:
        text: The expression.
        names: The inputs; input i is bit i of a state.

    Returns:
        bool [2 ** len(names)].

    Raises:
        ValueError: The expression is malformed, or names something else.
    """
    words, place = [], 0
    stripped = text.strip()
    while place < len(stripped):
        match = _WORD.match(stripped, place)
        if match is None:
            raise ValueError(f"no expression: {text}")
        words.append(match[1])
        place = match.end()
    states = np.arange(1 << len(names))
    columns = {name: (states >> index & 1).astype(bool) for index, name in enumerate(names)}
    constants = {"0": np.zeros(len(states), bool), "1": np.ones(len(states), bool)}
    parser = _Parser(words, columns | constants, text)
    value = parser.either()
    if parser.words:
        raise ValueError(f"no expression: {text}")
    return value


class _Parser:
    """Recursive descent over words that are left; every method returns a truth table."""

    def __init__(self, words: list[str], values: dict[str, Truth], text: str) -> None:
        self.words = words
        self.values = values
        self.text = text

    def either(self) -> Truth:
        value = self.both()
        while self._next() in ("+", "|"):
            self.words.pop(0)
            value = value | self.both()
        return value

    def both(self) -> Truth:
        value = self.different()
        while self._next() not in ("", ")", "+", "|"):
            if self._next() in ("*", "&"):
                self.words.pop(0)
            value = value & self.different()
        return value

    def different(self) -> Truth:
        value = self.single()
        while self._next() == "^":
            self.words.pop(0)
            value = value ^ self.single()
        return value

    def single(self) -> Truth:
        word = self.words.pop(0) if self.words else ""
        if word == "!":
            return ~self.single()
        if word == "(":
            value = self.either()
            if self._next() != ")":
                raise ValueError(f"no expression: {self.text}")
            self.words.pop(0)
        elif word in self.values:
            value = self.values[word]
        else:
            raise ValueError(f"no expression: {self.text}")
        while self._next() == "'":
            self.words.pop(0)
            value = ~value
        return value

    def _next(self) -> str:
        return self.words[0] if self.words else ""
