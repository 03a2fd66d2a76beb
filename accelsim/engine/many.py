"""A family of designs on one workload, summed by phase: what a sweep evaluates chunk by chunk.

Kernels, bill and sums are those of a single run, so a design gives the same bytes here and there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.engine.bill import BOUNDS as ENDS
from accelsim.engine.bill import (
    Bill,
    Energy,
    bill_columns,
    build_bill,
    energies,
    energy_sums,
    price_counts,
)
from accelsim.engine.columns import (
    BUSY_COMPUTE,
    CYCLE_COLUMNS,
    DRAM_BYTES,
    GEMM_COLUMNS,
    IDEAL,
    SRAM_BITS,
)
from accelsim.engine.evaluate import Workload, evaluate_blocks, read_only, whole_workload
from accelsim.engine.mapping import FIXED, fixed_mapping
from accelsim.engine.pricing import BLOCK
from accelsim.engine.search import counter_rates, search
from accelsim.hardware.actions import COUNTERS
from accelsim.hardware.design import Family
from accelsim.hardware.floorplan import Floorplan
from accelsim.hardware.technology import Technology
from accelsim.result import BOUNDS, CAUSES, COMPONENTS
from accelsim.trace import Phase, Trace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PhaseTotals:
    """One phase on a family of G designs.

    Attributes:
        cycles: By cause, int64 [G, causes].
        busy: Busy cycles of compute, memory and vector unit, int64 [G, 3].
        dram_bytes: int64 [G].
        sram_bytes: int64 [G].
        energy: In pJ, by component, step and cause of doubt.
    """

    cycles: Integers
    busy: Integers
    dram_bytes: Integers
    sram_bytes: Integers
    energy: Energy


@dataclass(frozen=True)
class Totals:
    """A workload on a family of G designs.

    Attributes:
        phases: Prefill and decode.
        area_um2: Placed area by component at value, low and high, float64 [3, components, G].
    """

    phases: tuple[PhaseTotals, ...]
    area_um2: Floats


def evaluate_family(
    trace: Trace, family: Family, technology: Technology, mapping: str = FIXED
) -> Totals:
    """Return the totals of every design of a family; memory grows with its size alone.

    Invariants are not checked here: a run of any of its designs checks them. ``mapping`` is
    ``fixed``, or what a search of mappings minimises: ``latency``, ``energy`` or ``edp``.

    Raises:
        UserError: The technology lacks a price.
    """
    workload = whole_workload(trace, family, trace.operators["phase"], len(Phase))
    bill = build_bill(family, technology)
    if mapping == FIXED:
        cycles, energy = _evaluate_and_price(workload, bill)
    else:
        found = search(workload, counter_rates(bill), mapping)
        cycles = found.cycles
        energy = tuple(price_counts(bill, found.counts[:, phase]) for phase in Phase)
    phases = []
    for phase in Phase:
        cycle = cycles[:, phase]
        phases.append(
            PhaseTotals(
                cycle[:, IDEAL : IDEAL + len(CAUSES)],
                cycle[:, BUSY_COMPUTE : BUSY_COMPUTE + len(BOUNDS)],
                cycle[:, DRAM_BYTES],
                cycle[:, SRAM_BITS] // 8,
                energy[phase],
            )
        )
    return Totals(tuple(phases), _areas(bill.plan))


def _evaluate_and_price(workload: Workload, bill: Bill) -> tuple[Integers, tuple[Energy, ...]]:
    """Return cycles, int64 [G, rows, CYCLE_COLUMNS], and the energy of every row of results."""
    cycles = np.zeros((bill.plan.size, workload.results, CYCLE_COLUMNS), dtype=np.int64)
    counts = np.zeros((BLOCK, workload.results, COUNTERS), dtype=np.int64)
    gemm, sums = np.empty(GEMM_COLUMNS, dtype=np.int64), energy_sums(bill, workload.results)
    tables: tuple[Any, ...] = (*workload.tables(variants=False), read_only(fixed_mapping()))
    tables += (cycles, counts, gemm, bill_columns(bill), bill.fixed, bill.varying, *sums)
    evaluate_blocks(*tables)  # type: ignore[no-untyped-call]
    return cycles, energies(bill, sums)


def _areas(plan: Floorplan) -> Floats:
    areas = np.zeros((len(ENDS), len(COMPONENTS), plan.size))
    for end, name in enumerate(ENDS):
        for part in plan.parts:
            areas[end, COMPONENTS.index(part.component)] += plan.part_um2(part, name)
    return areas
