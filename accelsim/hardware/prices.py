"""One price: what an action or a part costs, how sure that is, and who says so.

A price is written in YAML in one of three forms, all with ``unit``, ``source`` and ``because``:

* ``{value, low, high, how}``: one number;
* ``{by_bits: {8: {value, low, high}, ...}, how}``: linear in the operand's width between
  the points and above them, proportional to it below the first;
* ``{compose: [[coefficient, price, bits], ...], low_factor, high_factor, at_least, how}``: a sum
  over other prices; ``bits`` is a number, ``accumulator`` (the caller's width) or left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError, did_you_mean

# From the best evidence to the weakest; a sum is as weak as its weakest part.
HOWS = (
    "synthesised",
    "measured",
    "published",
    "modelled",
    "composed",
    "extrapolated",
    "unverified",
)
# What can make a price wrong. Prices of one cause are wrong together.
CAUSES_OF_DOUBT = (
    "arithmetic",
    "registers",
    "elementwise",
    "sram",
    "dram",
    "wires",
    "clock",
    "control",
    "leakage",
    "area",
    "delay",
)
# The unit follows from the name: the first pattern that matches decides.
UNITS = (
    ("dram.*.controller.area", "um2/(GB/s)"),
    ("dram.*.energy", "pJ/bit"),
    ("dram.*.background", "mW/GiB"),
    ("wire.energy", "fJ/bit/mm"),
    ("clock.wire.energy", "fJ/bit/mm"),
    ("leakage.*", "mW/mm2"),
    ("placement.density", "1"),
    ("sram.*.factor", "1"),
    ("pe.*.share.*", "1"),
    ("pe.*.shape.*", "1"),
    ("*.energy", "pJ"),
    ("*.area", "um2"),
    ("*.delay", "ns"),
)
ACCUMULATOR = "accumulator"
WIDEST_BITS = 4096

Number = float | npt.NDArray[np.float64]
Bits = int | npt.NDArray[Any]


@dataclass(frozen=True)
class Price:
    """A resolved price: 0 <= low <= value <= high, float64, of the shape of the widths asked."""

    name: str
    value: Number
    low: Number
    high: Number
    unit: str
    how: str
    source: str
    because: str


@dataclass(frozen=True)
class Span:
    """Value and interval of one written number."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Term:
    """``coefficient`` times another price; ``bits`` is a width, ACCUMULATOR or None."""

    coefficient: float
    name: str
    bits: int | str | None


@dataclass(frozen=True)
class Entry:
    """A price as written: exactly one of ``span``, ``points`` and ``terms`` is filled."""

    name: str
    unit: str
    how: str
    source: str
    because: str
    file: str
    span: Span | None = None
    points: tuple[tuple[int, Span], ...] = ()
    terms: tuple[Term, ...] = ()
    low_factor: float = 1.0
    high_factor: float = 1.0
    at_least: float | None = None


_COMMON = ("unit", "source", "because", "how")
_FORMS = {
    "value": (*_COMMON, "value", "low", "high"),
    "by_bits": (*_COMMON, "by_bits"),
    "compose": (*_COMMON, "compose", "low_factor", "high_factor", "at_least"),
}


class _Place:
    """Where an entry stands; raises errors that say so."""

    def __init__(self, file: object, key: str) -> None:
        self.file, self.key = file, key

    def error(
        self, message: str, key: str = "", value: object = None, allowed: str | None = None
    ) -> UserError:
        full = f"{self.key}.{key}" if key else self.key
        return UserError(message, file=self.file, key=full, value=value, allowed=allowed)


def unit_of(name: str) -> str | None:
    """Return the unit that a price called ``name`` must have, None for an unknown family."""
    return next((unit for pattern, unit in UNITS if fnmatchcase(name, pattern)), None)


def parse_entry(name: str, content: Any, file: object) -> Entry:
    """Return the checked entry of price ``name``; raise UserError naming file and key.

    Args:
        name: Dotted name of the price; its ending decides the unit.
        content: What the YAML holds under that name.
        file: File for error messages.
    """
    place = _Place(file, f"prices.{name}")
    form = _form(content, place)
    for key in content:
        if key not in _FORMS[form]:
            raise place.error("unknown key", str(key), allowed=did_you_mean(str(key), _FORMS[form]))
    unit, source, because, how = _evidence(name, content, form, place)
    head = (name, unit, how, source, because, str(file))
    if form == "value":
        return Entry(*head, span=_span(content, place, ""))
    if form == "by_bits":
        return Entry(*head, points=_points(content["by_bits"], place))
    return Entry(
        *head,
        terms=_terms(content["compose"], place),
        low_factor=_factor(content, "low_factor", 0.0, 1.0, place),
        high_factor=_factor(content, "high_factor", 1.0, 1e6, place),
        at_least=_number(content["at_least"], "at_least", place) if "at_least" in content else None,
    )


def _form(content: Any, place: _Place) -> str:
    if not isinstance(content, Mapping):
        raise place.error("is no price", value=content, allowed="expected KEY: VALUE lines")
    forms = [form for form in _FORMS if form in content]
    if len(forms) != 1:
        raise place.error(
            "needs exactly one form of price",
            value=", ".join(forms) or "none",
            allowed="allowed: value, by_bits, compose",
        )
    return forms[0]


def _evidence(
    name: str, content: Mapping[str, Any], form: str, place: _Place
) -> tuple[str, str, str, str]:
    """Return unit, source, because and how, each checked."""
    expected = unit_of(name)
    if expected is None:
        patterns = ", ".join(pattern for pattern, _ in UNITS)
        raise place.error("unknown kind of price", allowed=f"allowed: {patterns}")
    unit = _text(content, "unit", place)
    if unit != expected:
        raise place.error("wrong unit", "unit", unit, f"allowed: {expected}")
    source = _text(content, "source", place)
    because = _choice(content, "because", CAUSES_OF_DOUBT, place)
    if form == "compose" and "how" not in content:
        return unit, source, because, "composed"
    return unit, source, because, _choice(content, "how", HOWS, place)


def _text(content: Mapping[str, Any], key: str, place: _Place) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value.strip():
        if key in content:
            raise place.error("must be a text", key, value)
        raise place.error("is missing", key)
    return " ".join(value.split())


def _choice(content: Mapping[str, Any], key: str, known: Sequence[str], place: _Place) -> str:
    value = _text(content, key, place)
    if value not in known:
        raise place.error(f"unknown {key}", key, value, did_you_mean(value, known))
    return value


def _number(value: Any, key: str, place: _Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise place.error("must be a finite number", key, value)
    return float(value)


def _factor(
    content: Mapping[str, Any], key: str, least: float, most: float, place: _Place
) -> float:
    value = _number(content.get(key, 1.0), key, place)
    if not least <= value <= most:
        raise place.error("out of range", key, value, f"allowed: {least:g} to {most:g}")
    return value


def _span(content: Any, place: _Place, prefix: str) -> Span:
    if not isinstance(content, Mapping):
        raise place.error("is no price", prefix, content, "expected value, low and high")
    numbers = []
    for key in ("value", "low", "high"):
        if key not in content:
            raise place.error("is missing", prefix + key)
        numbers.append(_number(content[key], prefix + key, place))
    value, low, high = numbers
    if not 0 <= low <= value <= high:
        raise place.error(
            "is out of order",
            prefix + "value",
            f"low {low:g}, value {value:g}, high {high:g}",
            "allowed: 0 <= low <= value <= high",
        )
    return Span(value, low, high)


def _points(content: Any, place: _Place) -> tuple[tuple[int, Span], ...]:
    if not isinstance(content, Mapping) or len(content) < 2:
        raise place.error("needs two widths or more", "by_bits", content)
    points = []
    for bits, span in content.items():
        if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= WIDEST_BITS:
            raise place.error(
                "is no width", f"by_bits.{bits}", bits, f"allowed: 1 to {WIDEST_BITS}"
            )
        for key in span if isinstance(span, Mapping) else ():
            if key not in ("value", "low", "high"):
                raise place.error("unknown key", f"by_bits.{bits}.{key}")
        points.append((bits, _span(span, place, f"by_bits.{bits}.")))
    return tuple(sorted(points, key=lambda point: point[0]))


def _terms(content: Any, place: _Place) -> tuple[Term, ...]:
    if not isinstance(content, list) or not content:
        raise place.error("needs terms", "compose", content, "expected [[coefficient, price], ...]")
    return tuple(_term(term, f"compose.{index}", place) for index, term in enumerate(content))


def _term(content: Any, key: str, place: _Place) -> Term:
    if not isinstance(content, list) or len(content) not in (2, 3):
        raise place.error("is no term", key, content, "expected [coefficient, price, bits]")
    coefficient = _number(content[0], key, place)
    if not isinstance(content[1], str):
        raise place.error("names no price", key, content[1])
    bits = content[2] if len(content) == 3 else None
    whole = isinstance(bits, int) and not isinstance(bits, bool) and 1 <= bits <= WIDEST_BITS
    if bits is not None and bits != ACCUMULATOR and not whole:
        raise place.error("is no width", key, bits, f"allowed: 1 to {WIDEST_BITS}, {ACCUMULATOR}")
    return Term(coefficient, content[1], bits)


def formula(terms: Iterable[Term]) -> str:
    """Return a composition as text, ``2 x fp32_mul.energy + 1 x int_add.energy(8)``."""
    return " + ".join(
        f"{term.coefficient:g} x {term.name}" + (f"({term.bits})" if term.bits else "")
        for term in terms
    )


def weighted(entry: Entry, parts: Sequence[Number]) -> npt.NDArray[np.float64]:
    """Return the sum of the terms, bounded below where the entry says so."""
    pairs = zip(entry.terms, parts, strict=True)
    total = np.asarray(sum(term.coefficient * np.asarray(part) for term, part in pairs))
    return total if entry.at_least is None else np.maximum(total, entry.at_least)


def weakest(hows: Iterable[str]) -> str:
    """Return the weakest evidence among ``hows``, by the ranking of ``HOWS``."""
    return HOWS[max(HOWS.index(how) for how in hows)]


def line_through(
    listed: npt.NDArray[np.float64], heights: list[float], widths: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the piecewise line through (0, 0) and (listed, heights) at ``widths``.

    Exact at the points; past the last one the line goes on, so nothing costs less than nothing.
    """
    listed = np.concatenate([[0.0], listed])
    tops = np.array([0.0, *heights], dtype=np.float64)
    right = np.clip(np.searchsorted(listed, widths), 1, len(listed) - 1)
    x0, x1, y0, y1 = listed[right - 1], listed[right], tops[right - 1], tops[right]
    inner = y0 + (y1 - y0) * (widths - x0) / (x1 - x0)
    return np.where(widths == x1, y1, inner)
