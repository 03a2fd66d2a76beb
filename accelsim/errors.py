"""The one error a user can cause, and the suggestion that goes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input, told in one line: ``FILE:KEY: what is wrong (value given); what is allowed``.

    Any layer raises it, only the command line prints it (exit code 2, no traceback).

    Args:
        message: What is wrong.
        file: File, or command-line option, that holds the bad value.
        key: Path of the key inside the file, ``array.rows`` for instance.
        value: The value that was given; it is quoted, and shortened past 60 characters.
        allowed: What would be accepted.
    """

    def __init__(
        self,
        message: str,
        *,
        file: object = None,
        key: object = None,
        value: object = None,
        allowed: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.key = None if key is None else str(key)
        self.value = value
        self.allowed = allowed
        super().__init__(self._line())

    def _line(self) -> str:
        place = ":".join(p for p in (self.file, self.key) if p)
        line = f"{place}: {self.message}" if place else self.message
        if self.value is not None:
            line += f" ({_shorten(self.value)})"
        if self.allowed:
            line += f"; {self.allowed}"
        return " ".join(line.split())


def _shorten(value: object, limit: int = 60) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``allowed: a, b, c`` led by ``did you mean "x"?`` where a known name is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return hint + "allowed: " + ", ".join(names)
