"""Which SystemVerilog files a module needs: one module or package per file, named like it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from accelsim.errors import UserError, did_you_mean

SV_FOLDER = Path(__file__).resolve().parent / "sv"

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")


def sources_of(top: str, places: Sequence[Path]) -> list[Path]:
    """Return the files that ``top`` is made of, each behind all that it refers to.

    Args:
        top: Name of a module.
        places: Files, and folders of files; of two files of one name the later place counts.

    Raises:
        UserError: No place holds the module.
    """
    known: dict[str, Path] = {}
    for place in places:
        files = sorted(place.glob("*.sv")) if place.is_dir() else [place]
        known.update({file.stem: file for file in files})
    if top not in known:
        raise UserError("no such module", key=top, allowed=did_you_mean(top, known))
    ordered: dict[str, Path] = {}
    _visit(top, known, ordered, set())
    return list(ordered.values())


def _visit(name: str, known: dict[str, Path], ordered: dict[str, Path], seen: set[str]) -> None:
    seen.add(name)
    text = _COMMENT.sub(" ", known[name].read_text(encoding="utf-8"))
    for word in dict.fromkeys(_WORD.findall(text)):
        if word in known and word not in seen:
            _visit(word, known, ordered, seen)
    ordered[name] = known[name]
