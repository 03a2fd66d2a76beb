"""A technology: the prices of one process node, read from YAML and resolved on demand.

``load_technology("7nm").price("pe.int8_mac.accumulate.energy", bits)`` gives the energy of one
action with its interval, its evidence and its source, for one accumulator width or for an array
of widths. A price that nobody wrote down is an error, never a zero.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim import locate
from accelsim.config import read_yaml
from accelsim.errors import UserError, did_you_mean
from accelsim.hardware.prices import (
    ACCUMULATOR,
    WIDEST_BITS,
    Bits,
    Entry,
    Number,
    Price,
    Span,
    Term,
    formula,
    line_through,
    parse_entry,
    weakest,
    weighted,
)
from accelsim.hardware.technology_fields import (
    KEYS,
    PRIMITIVES,
    fields_of,
    published_energies,
)

TECHNOLOGY_FOLDER = locate.shipped(locate.TECHNOLOGIES)
# Prices that need no further synthesis.
CLOSED_HOWS = ("synthesised", "measured")
# Every accumulator a composition must hold for, and the width shown where a table needs one.
ACCUMULATOR_BITS = np.arange(8, 65)
SHOWN_BITS, MANY_WIDTHS = 32, 64
# Resolved prices that a technology keeps: families of a sweep ask for the same again and again.
KEPT_PRICES = 4096


@dataclass(frozen=True)
class Technology:
    """Prices of one node.

    Attributes:
        name: Name that designs use.
        file: Where it was read from.
        description: One line for people.
        node_nm: Feature size that names the node.
        voltage_v: Supply the prices assume.
        corner: Process corner.
        temperature_c: Junction temperature the prices assume.
        sram_table_node_nm: Node of the SRAM table that memories start from.
    """

    name: str
    file: str
    description: str
    node_nm: int
    voltage_v: float
    corner: str
    temperature_c: int
    sram_table_node_nm: int
    entries: Mapping[str, Entry]
    published: Mapping[str, float] | None
    _resolved: dict[tuple[str, bytes], Price] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _widths: dict[bytes, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def names(self) -> tuple[str, ...]:
        """Return the names of all prices, sorted."""
        return tuple(sorted(self.entries))

    def price(self, name: str, bits: Bits | None = None) -> Price:
        """Return price ``name`` at operand or accumulator width ``bits``.

        Args:
            name: Dotted name, ``pe.ternary_add.add.energy`` for instance.
            bits: A width, or integer array [D].

        Returns:
            Value, low and high as float64, arrays [D] like ``bits``; scalars where ``bits`` is one
            or where many widths have one price.

        Raises:
            UserError: nobody wrote that price, or it needs a width and got none.
        """
        if name not in self.entries:
            raise UserError(
                "missing price",
                file=self.file,
                key=f"prices.{name}",
                allowed=_near(name, self.entries),
            )
        if not isinstance(bits, np.ndarray) or bits.size <= MANY_WIDTHS:
            return self._remembered(name, bits)
        if self.entries[name].span is not None:
            return self._remembered(name, None)
        widths, place = self._distinct(bits)
        if len(widths) == 1:
            return self._remembered(name, int(widths[0]))
        price = self._remembered(name, widths)
        value, low, high = (np.asarray(n)[place] for n in (price.value, price.low, price.high))
        for number in (value, low, high):
            number.flags.writeable = False
        return replace(price, value=value, low=low, high=high)

    def _distinct(self, bits: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return distinct widths, ascending, and where each of ``bits`` stands among them."""
        key = bits.tobytes()
        found = self._widths.get(key)
        if found is None:
            present = np.bincount(bits) > 0
            found = np.flatnonzero(present), (np.cumsum(present) - 1)[bits]
            self._widths.clear()  # a family asks for many prices, then another comes
            self._widths[key] = found
        return found

    def _remembered(self, name: str, bits: Bits | None) -> Price:
        """Return a price from those resolved before, or resolve it."""
        shape = () if bits is None else (np.shape(bits), np.asarray(bits, dtype=np.int64).tobytes())
        key = name, repr(shape).encode()
        found = self._resolved.get(key)
        if found is None:
            found = self._resolve(name, bits, ())
            if len(self._resolved) >= KEPT_PRICES:
                self._resolved.clear()
            self._resolved[key] = found
        return found

    def find(self, name: str, bits: Bits | None = None) -> Price | None:
        """Return price ``name``, None where the technology has none."""
        return self.price(name, bits) if name in self.entries else None

    def primitives(self) -> dict[str, float]:
        """Return the published energies in pJ that the papers' accounting uses, by operation."""
        if self.published is None:
            raise UserError(
                "missing published energies of arithmetic",
                file=self.file,
                key="primitives",
                allowed="the paper accounting needs: " + ", ".join(PRIMITIVES),
            )
        return dict(self.published)

    def gaps(self) -> tuple[Price, ...]:
        """Return every price that is neither synthesised nor measured, by name.

        A price that depends on a width is shown at 32 bits.
        """
        resolved = (self.price(name, SHOWN_BITS) for name in self.names())
        return tuple(price for price in resolved if price.how not in CLOSED_HOWS)

    def _resolve(self, name: str, bits: Bits | None, path: tuple[str, ...]) -> Price:
        entry = self.entries[name]
        if entry.span is not None:
            return _scalar_price(entry, entry.span, bits)
        if entry.points:
            return self._interpolated(entry, bits)
        return self._composed(entry, bits, path)

    def _interpolated(self, entry: Entry, bits: Bits | None) -> Price:
        """Return the price on the line through the two nearest points, also beyond them."""
        if bits is None:
            raise self._error(entry, "needs a width", allowed="it is listed by_bits")
        widths = np.asarray(bits, dtype=np.float64)
        if widths.size and not 1 <= widths.min() <= widths.max() <= WIDEST_BITS:
            raise self._error(entry, "is asked at no width", bits, f"allowed: 1 to {WIDEST_BITS}")
        listed = np.array([width for width, _ in entry.points], dtype=np.float64)
        how = entry.how if np.isin(widths, listed).all() else weakest((entry.how, "composed"))
        value, low, high = (
            line_through(listed, [getattr(span, field) for _, span in entry.points], widths)
            for field in ("value", "low", "high")
        )
        return _price(entry, value, low, high, how, entry.source)

    def _composed(self, entry: Entry, bits: Bits | None, path: tuple[str, ...]) -> Price:
        """Return the sum over the terms, which move together between their lows and highs."""
        if entry.name in path:
            raise self._error(entry, "is made of itself", " -> ".join((*path, entry.name)))
        parts = [
            self._resolve(term.name, self._width(entry, term, bits), (*path, entry.name))
            for term in entry.terms
        ]
        zeros = np.zeros(() if bits is None else np.shape(bits))
        value, one_end, other_end = (
            weighted(entry, [getattr(part, field) for part in parts]) + zeros
            for field in ("value", "low", "high")
        )
        low = np.minimum(value, np.minimum(one_end, other_end)) * entry.low_factor
        high = np.maximum(value, np.maximum(one_end, other_end)) * entry.high_factor
        if np.any(low < 0):
            raise self._error(
                entry, "is negative", float(np.min(low)), "at_least: 0 bounds a difference"
            )
        how = weakest(["composed", entry.how, *(part.how for part in parts)])
        return _price(entry, value, low, high, how, f"{entry.source} [= {formula(entry.terms)}]")

    def _width(self, entry: Entry, term: Term, bits: Bits | None) -> Bits | None:
        if term.bits != ACCUMULATOR:
            return term.bits  # type: ignore[return-value]
        if bits is None:
            raise self._error(entry, "needs an accumulator width")
        return bits

    def _error(
        self, entry: Entry, message: str, value: object = None, allowed: str | None = None
    ) -> UserError:
        return UserError(
            message, file=entry.file, key=f"prices.{entry.name}", value=value, allowed=allowed
        )


def _scalar_price(entry: Entry, span: Span, bits: Bits | None) -> Price:
    zeros = np.zeros(() if bits is None else np.shape(bits))
    return _price(
        entry, zeros + span.value, zeros + span.low, zeros + span.high, entry.how, entry.source
    )


def _price(entry: Entry, value: Any, low: Any, high: Any, how: str, source: str) -> Price:
    value, low, high = (_sealed(number) for number in (value, low, high))
    return Price(entry.name, value, low, high, entry.unit, how, source, entry.because)


def _sealed(number: Any) -> Number:
    array = np.array(number, dtype=np.float64)
    array.flags.writeable = False
    return array if array.ndim else float(array)


def load_technology(name_or_path: str | os.PathLike[str]) -> Technology:
    """Read a technology by name (``7nm``) or by path (``mine.yaml``) and check all of it.

    Raises:
        UserError: no such technology; or an entry is ill-formed, refers to a price that does not
            exist, refers to itself, or is out of order at some accumulator width of 8 to 64 bits.
    """
    path = _locate(name_or_path)
    content = read_yaml(path)
    fields = fields_of(content, path)
    prices = fields.pop("prices")
    entries: dict[str, Entry] = {}
    for shared in _shared(content, path):
        entries |= _entries(_shared_prices(shared), shared)
    entries |= _entries(prices, path)
    technology = Technology(
        **fields,
        file=str(path),
        entries=entries,
        published=published_energies(content.get("primitives"), path),
    )
    _check(technology)
    return technology


def _entries(prices: Mapping[Any, Any], file: Path) -> dict[str, Entry]:
    return {str(name): parse_entry(str(name), entry, file) for name, entry in prices.items()}


def _shared(content: Mapping[str, Any], file: Path) -> list[Path]:
    """Return the files whose prices this one builds on; its own prices replace theirs."""
    names = content.get("shared_prices", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError("must be a list of files", file=file, key="shared_prices", value=names)
    return [file.parent / name for name in names]


def _shared_prices(file: Path) -> Mapping[Any, Any]:
    """Return the prices of a file of prices alone, or of a technology that builds on no other."""
    content = read_yaml(file)
    if set(content) not in ({"prices"}, set(KEYS)) or not isinstance(content["prices"], dict):
        raise UserError("must hold prices and nothing else", file=file, allowed="allowed: prices")
    return content["prices"]


def technology_names() -> tuple[str, ...]:
    """Return the names of the technologies that come with the project."""
    return tuple(sorted(path.stem for path in TECHNOLOGY_FOLDER.glob("*.yaml")))


def _locate(name_or_path: str | os.PathLike[str]) -> Path:
    text = os.fspath(name_or_path)
    if Path(text).suffix in (".yaml", ".yml") or os.sep in text:
        return Path(text)
    if text not in technology_names():
        raise UserError(
            "unknown technology",
            key="technology",
            value=text,
            allowed=did_you_mean(text, technology_names()),
        )
    return TECHNOLOGY_FOLDER / f"{text}.yaml"


def _check(technology: Technology) -> None:
    """Resolve everything once, at every accumulator width, so that a run finds no surprise."""
    for entry in technology.entries.values():
        for index, term in enumerate(entry.terms):
            _check_term(technology, entry, term, f"prices.{entry.name}.compose.{index}")
    for name in technology.names():
        price = technology.price(name, ACCUMULATOR_BITS)
        bad = ~((price.low <= price.value) & (price.value <= price.high) & (price.low >= 0))
        if np.any(bad):
            raise UserError(
                "is out of order at some width",
                file=technology.entries[name].file,
                key=f"prices.{name}",
                value=f"{ACCUMULATOR_BITS[np.argmax(bad)]} bits",
                allowed="allowed: 0 <= low <= value <= high",
            )


def _check_term(technology: Technology, entry: Entry, term: Term, key: str) -> None:
    if term.name not in technology.entries:
        raise UserError(
            "is made of a missing price",
            file=entry.file,
            key=key,
            value=term.name,
            allowed=_near(term.name, technology.entries),
        )
    part = technology.entries[term.name]
    if part.unit != entry.unit:
        raise UserError(
            "adds different units",
            file=entry.file,
            key=key,
            value=part.unit,
            allowed=f"allowed: {entry.unit}",
        )
    if part.points and term.bits is None:
        raise UserError(
            "needs a width",
            file=entry.file,
            key=key,
            value=term.name,
            allowed=f"allowed: a number of bits, {ACCUMULATOR}",
        )


def _near(name: str, known: Iterable[str]) -> str | None:
    """Return a suggestion without the list of all names, which would fill a screen."""
    text = did_you_mean(name, known)
    return text.partition("? ")[0] + "?" if text.startswith("did you mean") else None
