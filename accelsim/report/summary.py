"""The stable contract: what ``run --json`` and ``compare --json`` print.

Keys are only added within a schema version. Energies are joules, times seconds, areas mm2. A ratio
without a denominator (a phase without tokens) is ``None``, never a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accelsim.result import (
    BOUNDS,
    CAUSES,
    COMPONENTS,
    HOWS,
    PHASES,
    STEPS,
    Comparison,
    Gain,
    PhaseResult,
    Result,
    WaterfallRow,
)

SCHEMA_VERSION = 1
JOULES_PER_PJ = 1e-12
MM2_PER_UM2 = 1e-6


def summary(result: Result) -> dict[str, Any]:
    """Return ``result`` as plain numbers, strings and dicts in the order of the contract."""
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "design": result.design,
        "network": result.network,
        "technology": result.technology,
        "accounting": "full",
        "clock_mhz": float(result.clock_mhz),
        "weights": plain(result.weights),
        "area_mm2": area_by_component(result),
        "price_share": price_share(result),
        "phases": {name: phase_summary(result, index) for index, name in enumerate(PHASES)},
        "notes": list(result.notes),
    }
    if result.quality is not None:
        content["quality"] = plain(result.quality)
    return content


def compare_summary(comparison: Comparison) -> dict[str, Any]:
    """Return ``comparison`` as plain numbers; the first design is the baseline."""
    return {
        "schema_version": SCHEMA_VERSION,
        "designs": [summary(result) for result in comparison.results],
        "waterfall": {
            phase: {name: [_waterfall_row(row) for row in rows] for name, rows in by_name.items()}
            for phase, by_name in comparison.waterfall.items()
        },
        "gain": {name: _gain(gain) for name, gain in comparison.gain.items()},
    }


def phase_summary(result: Result, index: int) -> dict[str, Any]:
    """Return the contract's ``P`` for phase ``index`` of ``PHASES``."""
    phase = result.phases[index]
    cycles = int(phase.cycles.sum())
    seconds = cycles / (result.clock_mhz * 1e6)
    by_component = energy_by_component(phase)
    energy = total(by_component.values())
    return {
        "tokens": int(phase.tokens),
        "cycles": cycles,
        "seconds": seconds,
        "tokens_per_second": ratio(phase.tokens, seconds),
        "energy_j": energy,
        "energy_j_low": phase.energy_low_pj * JOULES_PER_PJ,
        "energy_j_high": phase.energy_high_pj * JOULES_PER_PJ,
        "energy_j_per_token": ratio(energy, phase.tokens),
        "average_power_w": ratio(energy, seconds),
        "energy_by_component": by_component,
        "energy_by_operator_kind": energy_by_kind(result, index),
        "cycles_by_cause": dict(zip(CAUSES, phase.cycles.tolist(), strict=True)),
        "utilisation": utilisation(phase.cycles.tolist()),
        "bound": bound(phase),
        "dram_bytes": int(phase.dram_bytes),
        "sram_bytes": int(phase.sram_bytes),
    }


def energy_by_component(phase: PhaseResult) -> dict[str, float]:
    """Return joules by component, every component, in table order."""
    joules = (phase.energy_pj * JOULES_PER_PJ).tolist()
    return dict(zip(COMPONENTS, joules, strict=True))


def energy_by_kind(result: Result, index: int) -> dict[str, float]:
    """Return joules of phase ``index`` by operator kind, in the order kinds first run."""
    energy: dict[str, float] = {}
    for row in result.operators:
        if row.phase == index:
            joules = total(row.energy_pj.tolist()) * JOULES_PER_PJ
            energy[row.kind] = energy.get(row.kind, 0.0) + joules
    return energy


def area_by_component(result: Result) -> dict[str, float]:
    """Return mm2 by component that has area, led by their total."""
    found = dict.fromkeys(row.component for row in result.area)
    known = [name for name in COMPONENTS if name in found]
    order = [*known, *(name for name in found if name not in known)]
    areas = {
        name: total(row.area_um2 for row in result.area if row.component == name) * MM2_PER_UM2
        for name in order
    }
    return {"total": total(areas.values()), **areas}


def price_share(result: Result) -> dict[str, float]:
    """Return which part of the energy was priced from what evidence; it sums to 1."""
    energy = dict.fromkeys(HOWS, 0.0)
    for charge in result.charges:
        energy[charge.price.how] += charge.energy_pj
    whole = total(energy.values())
    return {how: value / whole if whole else 0.0 for how, value in energy.items()}


def utilisation(cycles: Iterable[int]) -> dict[str, float | None]:
    """Return mapping, compute and overall utilisation of ``cycles`` by ``CAUSES``."""
    ideal, spatial, temporal, memory, vector = cycles
    return {
        "mapping": ratio(ideal, ideal + spatial),
        "compute": ratio(ideal, ideal + spatial + temporal),
        "overall": ratio(ideal, ideal + spatial + temporal + memory + vector),
    }


def bound(phase: PhaseResult) -> str | None:
    """Return the largest of busy compute, memory and vector time; None where nothing ran."""
    return BOUNDS[int(phase.busy.argmax())] if phase.busy.any() else None


def ratio(numerator: float, denominator: float) -> float | None:
    """Return the quotient, or None where the denominator is zero."""
    return float(numerator / denominator) if denominator else None


def total(values: Iterable[float]) -> float:
    """Add from left to right; the built-in sum rounds differently from Python 3.12 on."""
    whole = 0.0
    for value in values:
        whole += value
    return whole


def plain(value: Any) -> Any:
    """Return ``value`` with mappings as dicts, tuples as lists, numpy scalars and arrays as Python.

    A float that is not finite becomes None: JSON has no NaN.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _waterfall_row(row: WaterfallRow) -> dict[str, Any]:
    if row.step not in STEPS:
        raise ValueError(f"{row.step!r} is no step of the waterfall")
    return {
        "step": row.step,
        "baseline_j": row.baseline_j,
        "candidate_j": row.candidate_j,
        "ratio": plain(row.ratio),
        "ratio_low": plain(row.ratio_low),
        "ratio_high": plain(row.ratio_high),
    }


def _gain(gain: Gain) -> dict[str, Any]:
    """Return format, arithmetic and total of the workload, then the same for each phase."""

    def split(key: str) -> dict[str, float | None]:
        return {
            "format": plain(gain.format.get(key)),
            "arithmetic": plain(gain.arithmetic.get(key)),
            "total": plain(gain.total.get(key)),
        }

    return {**split("total"), **{phase: split(phase) for phase in PHASES}}


def reader_notes(results: Sequence[Result]) -> list[str]:
    """Return what a reader must know; a note that is not every design's names those it is of."""
    owners: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            owners.setdefault(note, []).append(result.design)
    return [
        note if len(names) == len(results) else f"{', '.join(names)}: {note}"
        for note, names in owners.items()
    ]
