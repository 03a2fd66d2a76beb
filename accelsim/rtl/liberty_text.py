"""The text of a Liberty file: groups, attributes, and where each cell stands in it.

A cell library has tens of megabytes, a netlist a dozen kinds of cells: cells are found by their
braces and parsed when they are asked for.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from accelsim.errors import UserError

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_CELL = re.compile(r'\bcell\s*\(\s*"?([^"\s)]+)"?\s*\)\s*\{')
_LIBRARY = re.compile(r'\blibrary\s*\(\s*"?([^"\s)]+)"?\s*\)\s*\{')
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([(){};:,])|([^\s(){};:,"\\]+)|\\\n?|\n', re.DOTALL)
_POWER = re.compile(r"\b(?:rise_|fall_)?power\s*\(")


@dataclass(frozen=True)
class Group:
    """``name (arguments) { ... }``: its attributes by name, its groups in order."""

    name: str
    arguments: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def one(self, name: str, default: str = "") -> str:
        """Return the first value of an attribute, ``default`` where it is not given."""
        return (self.attributes.get(name) or (default,))[0]

    def named(self, *names: str) -> Iterator[Group]:
        """Yield the groups of one of these names, in order."""
        return (group for group in self.groups if group.name in names)


@dataclass(frozen=True)
class LibertyText:
    """A file, cut where its cells stand.

    Attributes:
        file: Where it was read from.
        name: What the library calls itself.
        head: Everything outside of cells, parsed.
        head_text: The same as it was written.
        cells: The text of each cell, from its name to its closing brace, by name.
    """

    file: str
    name: str
    head: Group
    head_text: str
    cells: dict[str, str]

    def has_power(self) -> bool:
        """Return whether any cell holds a table of internal power."""
        return any("internal_power" in text and _POWER.search(text) for text in self.cells.values())


def read_text(path: Path) -> LibertyText:
    """Read a Liberty file, plain or xz, and find its cells.

    Raises:
        UserError: The file cannot be read, is no Liberty file, or ends early.
    """
    text = _COMMENT.sub(" ", _decoded(path))
    library = _LIBRARY.search(text)
    if library is None:
        raise UserError("is no Liberty file", file=path, allowed="expected library (NAME) { ... }")
    spans = _cell_spans(text, library.end(), path)
    if not spans:
        raise UserError("holds no cells", file=path)
    outside, end = [text[library.start() : spans[0][1]]], 0
    for (_, _, stop), following in zip(spans, [*spans[1:], None], strict=True):
        end = following[1] if following else text.rindex("}") + 1
        outside.append(text[stop:end])
    head = "".join(outside)
    cells = {name: text[start:stop] for name, start, stop in spans}
    return LibertyText(str(path), library[1], parse_group(head, path), head, cells)


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith(b"\xfd7zXZ"):
            content = lzma.decompress(content)
        return content.decode("latin-1")
    except OSError as error:
        raise UserError("cannot be read", file=path, value=error.strerror) from None
    except (lzma.LZMAError, EOFError) as error:
        raise UserError("is a damaged xz file", file=path, value=str(error)) from None


def _cell_spans(text: str, begin: int, path: Path) -> list[tuple[str, int, int]]:
    """Return name, first and one past the last character of each cell, by counting braces."""
    octets = np.frombuffer(text.encode("latin-1"), np.uint8)
    steps = (octets == ord("{")).astype(np.int8) - (octets == ord("}")).astype(np.int8)
    places = np.flatnonzero(steps)
    depths = np.cumsum(steps[places], dtype=np.int64)
    if len(depths) == 0 or depths[-1] != 0 or depths.min() < 0:
        raise UserError("has unbalanced braces: it is damaged or ends early", file=path)
    # A cell opens at depth 2, and ends with the next brace that leads back to depth 1.
    closing = places[(depths == 1) & (steps[places] < 0)]
    spans = []
    for match in _CELL.finditer(text, begin):
        opened = depths[np.searchsorted(places, match.end() - 1)]
        if opened == 2:
            stop = int(closing[np.searchsorted(closing, match.end())]) + 1
            spans.append((match[1], match.start(), stop))
    return spans


def parse_group(text: str, file: object) -> Group:
    """Parse one group with all that is in it.

    Raises:
        UserError: The text does not follow the form of Liberty.
    """
    tokens = _Tokens(text, file)
    name = tokens.take()
    arguments = _arguments(tokens)
    tokens.expect("{")
    return _body(Group(name, arguments), tokens)


class _Tokens:
    """The words of a text in order; strings lose their quotes."""

    def __init__(self, text: str, file: object) -> None:
        self._found: list[tuple[str, bool]] = []  # word, and whether it stood in quotes
        self._first_on_line: set[int] = set()
        for match in _TOKEN.finditer(text):
            if match[1] is not None:
                self._found.append((match[1].replace("\\\n", " "), True))
            elif match[0] == "\n":
                self._first_on_line.add(len(self._found))
            elif not match[0].startswith("\\"):
                self._found.append((match[0], False))
        self._next = 0
        self._file = file

    def peek(self) -> str:
        """Return the next word if it is punctuation or a bare word; "" for strings and the end."""
        if self._next < len(self._found) and not self._found[self._next][1]:
            return self._found[self._next][0]
        return ""

    def starts_line(self) -> bool:
        """Return whether the next word is the first of its line."""
        return self._next in self._first_on_line

    def take(self) -> str:
        """Return the next word."""
        if self._next == len(self._found):
            raise UserError("ends early", file=self._file)
        self._next += 1
        return self._found[self._next - 1][0]

    def expect(self, word: str) -> None:
        """Take the next word, which must be ``word``."""
        before = " ".join(text for text, _ in self._found[max(0, self._next - 3) : self._next])
        if self.peek() != word:
            raise UserError(
                "is malformed", file=self._file, value=before, allowed=f"expected {word} behind it"
            )
        self.take()


def _arguments(tokens: _Tokens) -> tuple[str, ...]:
    """Take ``(a, b, ...)``."""
    tokens.expect("(")
    found = []
    while tokens.peek() != ")":
        word = tokens.take()
        if word != ",":
            found.append(word)
    tokens.take()
    return tuple(found)


def _body(group: Group, tokens: _Tokens) -> Group:
    """Take everything up to the closing brace into ``group``."""
    while tokens.peek() != "}":
        name = tokens.take()
        if name == ";":
            continue
        if tokens.peek() == ":":
            tokens.take()
            group.attributes[name] = (_value(tokens),)
            continue
        arguments = _arguments(tokens)
        if tokens.peek() == "{":
            tokens.take()
            group.groups.append(_body(Group(name, arguments), tokens))
        else:
            group.attributes[name] = arguments
    tokens.take()
    return group


def _value(tokens: _Tokens) -> str:
    """Take a simple attribute's value: to the semicolon, which some libraries leave out."""
    words = [tokens.take()]
    while tokens.peek() not in (";", "}", "") and not tokens.starts_line():
        words.append(tokens.take())
    return " ".join(words)
