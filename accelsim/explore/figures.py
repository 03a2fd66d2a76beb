"""The columns of a sweep's table: the totals and splits that a run's summary has, as arrays.

Names follow summary.json, so does every rounding: a row and the summary of a run of that design
have the same bytes. What has no value (a phase without tokens) is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.engine.many import Totals
from accelsim.result import CAUSES, COMPONENTS, PHASES
from accelsim.trace import Phase, Workload

JOULES_PER_PJ = 1e-12
MM2_PER_UM2 = 1e-6
UTILISATIONS = ("mapping", "compute", "overall")
BOUND = "bound"  # the one column of words: a code of BOUNDS, -1 where nothing ran

Column = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

DESIGN_FIGURES = ("products_per_cycle", "area_mm2", *(f"area_mm2.{name}" for name in COMPONENTS))
PHASE_FIGURES = (
    "cycles",
    "seconds",
    "tokens_per_second",
    "energy_j",
    "energy_j_low",
    "energy_j_high",
    "energy_j_per_token",
    "average_power_w",
    *(f"energy_by_component.{name}" for name in COMPONENTS),
    *(f"cycles_by_cause.{name}" for name in CAUSES),
    *(f"utilisation.{name}" for name in UTILISATIONS),
    BOUND,
    "dram_bytes",
    "sram_bytes",
)
# Of a whole workload: both phases together.
WHOLE_FIGURES = ("cycles", "seconds", "energy_j", "energy_delay_js", "average_power_w")
WHOLE_NUMBERS = {
    "products_per_cycle",
    "cycles",
    *(f"cycles_by_cause.{name}" for name in CAUSES),
    BOUND,
    "dram_bytes",
    "sram_bytes",
}


@dataclass(frozen=True)
class Figure:
    """One column: its name in the table, and whether it holds integers."""

    name: str
    whole: bool
    words: bool


def figure_table(prefixes: Sequence[str]) -> tuple[Figure, ...]:
    """Return every column of figures; ``prefixes`` tell the workloads apart."""
    names = [("", name) for name in DESIGN_FIGURES]
    for prefix in prefixes:
        names += [(prefix, name) for name in WHOLE_FIGURES]
        names += [(f"{prefix}{phase}.", name) for phase in PHASES for name in PHASE_FIGURES]
    return tuple(
        Figure(prefix + name, name in WHOLE_NUMBERS, name == BOUND) for prefix, name in names
    )


def design_figures(units: npt.NDArray[np.void], totals: Totals) -> Iterator[Column]:
    """Yield the columns of ``DESIGN_FIGURES``; ``units`` is ``UNIT_DTYPE`` [G, 2]."""
    array = units[:, 0]
    yield array["rows"] * array["cols"] * array["lanes"]
    areas = totals.area_um2[0] * MM2_PER_UM2
    yield _sum(areas)
    yield from areas


def workload_figures(workload: Workload, clock_mhz: Floats, totals: Totals) -> Iterator[Column]:
    """Yield the columns of ``WHOLE_FIGURES``, then those of ``PHASE_FIGURES`` by phase."""
    phases = [list(_phase_figures(workload, clock_mhz, totals, phase)) for phase in Phase]
    place = PHASE_FIGURES.index
    cycles, seconds, energy = (
        phases[0][place(name)] + phases[1][place(name)]
        for name in ("cycles", "seconds", "energy_j")
    )
    yield from (cycles, seconds, energy, energy * seconds, _ratio(energy, seconds))
    for figures in phases:
        yield from figures


def _phase_figures(
    workload: Workload, clock_mhz: Floats, totals: Totals, phase: Phase
) -> Iterator[Column]:
    tokens, part = workload.tokens(phase), totals.phases[phase]
    causes = part.cycles.T
    cycles = causes.sum(axis=0)
    seconds = cycles / (clock_mhz * 1e6)
    joules = part.energy.components * JOULES_PER_PJ
    energy = _sum(joules)
    yield cycles
    yield seconds
    yield _ratio(np.full(len(cycles), float(tokens)), seconds)
    yield energy
    yield part.energy.low * JOULES_PER_PJ
    yield part.energy.high * JOULES_PER_PJ
    yield _ratio(energy, np.full(len(cycles), float(tokens)))
    yield _ratio(energy, seconds)
    yield from joules
    yield from causes
    ideal, spatial, temporal = causes[:3]
    yield _ratio(ideal, ideal + spatial)
    yield _ratio(ideal, ideal + spatial + temporal)
    yield _ratio(ideal, cycles)
    yield np.where(part.busy.any(axis=1), part.busy.argmax(axis=1), -1)
    yield part.dram_bytes
    yield part.sram_bytes


def _sum(rows: Floats) -> Floats:
    """Add rows from first to last, as a run does."""
    result = np.zeros(rows.shape[1])
    for row in rows:
        result = result + row
    return result


def _ratio(numerator: Column, denominator: Column) -> Floats:
    """Return the quotient, NaN where the denominator is zero."""
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result
