"""PEs whose prices were measured as they stand in an array: by what operands do, not by parts.

A technology characterises a PE where it holds ``pe.NAME.shape.flops`` and the prices beside it.
NAME says how the PE is wired, since the registers around the arithmetic differ. Registers that a
design has beyond the measured PE, or lacks, count at their own price; another latency, width or
number of lanes marks the price as extrapolated. Of a unit that was measured at several numbers of
lanes the nearest by ratio is taken, the wider of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import ArrayConfig
from accelsim.hardware.actions import EVENT_KINDS, EVENTS
from accelsim.hardware.pe import PE
from accelsim.hardware.prices import Price, weakest
from accelsim.hardware.registers import (
    control_register_bits,
    dataflows_of,
    has_drain_adders,
    operand_register_bits,
    sum_register_bits,
)
from accelsim.hardware.technology import Technology

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Where area and energy of a PE belong: components of a report.
SHARES = ("array", "reduction", "accumulator", "operand_registers", "control")


@dataclass(frozen=True)
class Characterised:
    """A measured PE in every design of a family.

    Attributes:
        events: Price of each of ``EVENTS``, by the kinds of second operand that it takes.
        energy_shares: Share of each of ``SHARES`` in them, by kind, [G].
        area: Of one PE or unit by component, um2 [G], with the registers that the design has.
        control_bits: Register bits of valid bits and operations, all PEs together, [G].
        pipeline_bits: Further pipeline bits beyond those of docs/timing.md, likewise.
    """

    events: dict[str, dict[str, Price]]
    energy_shares: dict[str, dict[str, Floats]]
    area: dict[str, Price]
    control_bits: Floats
    pipeline_bits: Floats


def characterised_name(pe: PE, wiring: ArrayConfig) -> str:
    """Return the NAME under which a PE, wired this way, is measured; the one of most lanes."""
    if wiring.organisation == "dot_product":
        return _DOT_UNITS.get(pe.name, f"{pe.name}_dot")
    if len(dataflows_of(wiring)) > 1:
        return f"{pe.name}_flexible"
    if wiring.dataflow != "os":
        return f"{pe.name}_held"
    return f"{pe.name}_os" if pe.fused else pe.name


_DOT_UNITS = {
    "ternary_add": "ternary_dot16",
    "int8_mac": "int8_dot16",
    "fp16_fused": "fp16_fused",
    "bf16_fused": "bf16_fused",
}
_FEWER_LANES = {"fp16_fused": ("fp16_fused4",), "bf16_fused": ("bf16_fused4",)}


def find_characterised(
    technology: Technology, pe: PE, wiring: ArrayConfig, unit: npt.NDArray[np.void]
) -> Characterised | None:
    """Return the measured PE of a unit, None where the technology prices it by its parts.

    Args:
        technology: The prices.
        pe: The PE.
        wiring: Its array, for choices, never for numbers.
        unit: ``UNIT_DTYPE`` [G].

    Raises:
        UserError: The technology has some of the prices only.
    """
    widest = characterised_name(pe, wiring)
    names = [f"pe.{name}" for name in (widest, *_FEWER_LANES.get(widest, ()))]
    names = [name for name in names if f"{name}.shape.flops" in technology.entries]
    if not names:
        return None
    lanes = np.array([_shape(technology, name, unit)["lanes"] * np.ones(len(unit))
                      for name in names])  # fmt: skip
    nearest = abs(np.log(unit["lanes"] / lanes)).argmin(axis=0)
    taken = np.unique(nearest)
    places = [np.flatnonzero(nearest == i) for i in taken]
    parts = [_characterised(technology, names[i], pe, wiring, unit[place])
             for i, place in zip(taken, places, strict=True)]  # fmt: skip
    if len(parts) == 1:
        return parts[0]
    columns = ([getattr(part, each.name) for part in parts] for each in fields(Characterised))
    return Characterised(*(_joined(places, column) for column in columns))


def _joined(places: Sequence[Integers], parts: Sequence[Any]) -> Any:
    """Return one of many designs' prices and numbers, each part at its places of the family."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _joined(places, [part[key] for part in parts]) for key in first}
    if isinstance(first, Price):
        value, low, high = (
            _joined(places, [getattr(part, bound) for part in parts])
            for bound in ("value", "low", "high")
        )
        source = "; ".join(dict.fromkeys(part.source for part in parts))
        how = weakest(part.how for part in parts)
        return replace(first, value=value, low=low, high=high, how=how, source=source)
    whole = np.empty(sum(map(len, places)))
    for place, part in zip(places, parts, strict=True):
        whole[place] = part
    return whole


def _characterised(
    technology: Technology, name: str, pe: PE, wiring: ArrayConfig, unit: npt.NDArray[np.void]
) -> Characterised:
    """Return the measured PE ``name`` in designs whose units are like it."""
    bits = unit["accumulator_bits"]
    shape = _shape(technology, name, unit)
    kinds = EVENT_KINDS if pe.multiplies else EVENT_KINDS[:1]
    measured = _as_measured(wiring, unit, shape)
    return Characterised(
        {kind: _events(technology, f"{name}.{kind}", unit, shape) for kind in kinds},
        {kind: _shares(technology, f"{name}.{kind}", bits) for kind in kinds},
        _areas(technology, name, unit, shape, measured),
        measured["control"],
        measured["pipeline"],
    )


def name_with_delay(technology: Technology, pe: PE, wiring: ArrayConfig) -> str | None:
    """Return the price family that knows the delay of a PE, its own wiring first, or None."""
    names = (f"pe.{characterised_name(pe, wiring)}", f"pe.{pe.name}")
    return next((name for name in names if f"{name}.delay" in technology.entries), None)


def single_cycle_delay(
    technology: Technology, pe: PE, wiring: ArrayConfig, unit: npt.NDArray[np.void]
) -> Any:
    """Return the delay of an accumulate in ns, number or [G], None where nobody knows it.

    A PE that was measured with L stages takes L of its clock periods. Arguments as in
    ``find_characterised``.
    """
    name = name_with_delay(technology, pe, wiring)
    if name is None:
        return None
    stages = technology.find(f"{name}.shape.latency", unit["accumulator_bits"])
    return technology.price(f"{name}.delay").value * (1 if stages is None else stages.value)


def _shape(technology: Technology, name: str, unit: npt.NDArray[np.void]) -> dict[str, Any]:
    """Return what was measured: flops, latency, accumulator bits and lanes, [G] each."""
    keys = ("flops", "latency", "accumulator_bits", "lanes")
    bits = unit["accumulator_bits"]
    return {key: np.asarray(technology.price(f"{name}.shape.{key}", bits).value) for key in keys}


def _events(
    technology: Technology, stem: str, unit: npt.NDArray[np.void], shape: dict[str, Any]
) -> dict[str, Price]:
    prices = {e: technology.price(f"{stem}.{e}.energy", unit["accumulator_bits"]) for e in EVENTS}
    return {event: _evidence(price, unit, shape) for event, price in prices.items()}


def _evidence(price: Price, unit: npt.NDArray[np.void], shape: dict[str, Any]) -> Price:
    """Mark a price that is used where it was not measured, and say at what it was."""
    keys = ("latency", "accumulator_bits", "lanes")
    other = [key for key in keys if np.any(unit[key] != shape[key])]
    if not other:
        return price
    at = ", ".join(f"{key.replace('_', ' ')} {shape[key].flat[0]:g}" for key in other)
    source = f"{price.source}; used beyond {at}"
    return replace(price, how=weakest((price.how, "extrapolated")), source=source)


def _shares(technology: Technology, stem: str, bits: Integers) -> dict[str, Floats]:
    """Return the share of each of ``SHARES``, [G]; written ones are rounded, these add up to 1."""
    written = np.array([technology.price(f"{stem}.share.{name}", bits).value for name in SHARES])
    return dict(zip(SHARES, written / written.sum(axis=0), strict=True))


def _as_measured(
    wiring: ArrayConfig, unit: npt.NDArray[np.void], shape: dict[str, Any]
) -> dict[str, Floats]:
    """Return register bits: ``own_*`` of a measured PE, ``control`` and ``pipeline`` of a unit."""
    own = unit.copy()
    for key in ("rows", "cols", "overlap", "interleave", "interval"):
        own[key] = 1
    for key in ("latency", "accumulator_bits", "lanes"):
        own[key] = np.rint(shape[key])
    sums = sum_register_bits(wiring, own)
    if has_drain_adders(wiring):  # the adder at the foot of a column is no part of a PE
        sums = sums - own["accumulator_bits"] * own["latency"]
    operands, control = operand_register_bits(wiring, own), control_register_bits(wiring, own)
    lanes = unit["lanes"] / shape["lanes"]
    pipeline = (shape["flops"] - operands - sums - control) * lanes
    stages = np.where(shape["latency"] > 1, unit["latency"] - 1, 1)
    pes = unit["rows"] * unit["cols"]
    return {
        "own_operands": operands * lanes,
        "own_sums": sums * lanes + pipeline,
        "own_control": control * lanes,
        "control": control_register_bits(wiring, unit) * pes * 1.0,
        "pipeline": pipeline * stages / np.maximum(shape["latency"] - 1, 1) * pes,
    }


def _areas(
    technology: Technology,
    name: str,
    unit: npt.NDArray[np.void],
    shape: dict[str, Any],
    bits: dict[str, Floats],
) -> dict[str, Price]:
    """Return the area of one PE by component: its share, and registers more or fewer."""
    price = _evidence(technology.price(f"{name}.area", unit["accumulator_bits"]), unit, shape)
    shares = _shares(technology, f"{name}.area", unit["accumulator_bits"])
    register = technology.price("register.area")
    pes, lanes = unit["rows"] * unit["cols"], unit["lanes"] / shape["lanes"]
    more = {
        "operand_registers": unit["operand_register_bits"] / pes - bits["own_operands"],
        "accumulator": (unit["sum_register_bits"] + bits["pipeline"]) / pes - bits["own_sums"],
        "control": bits["control"] / pes - bits["own_control"],
    }
    return {part: _area(price, shares[part] * lanes, register, more.get(part, 0.0))
            for part in SHARES}  # fmt: skip


def _area(price: Price, share: Any, register: Price, more: Any) -> Price:
    value, low, high = (
        np.maximum(getattr(price, bound) * share + getattr(register, bound) * more, 0.0)
        for bound in ("value", "low", "high")
    )
    return replace(price, value=value, low=np.minimum(low, value), high=np.maximum(high, value))
