"""What the engine says of a family, phase by phase: the one place where a sweep calls it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.engine.bill import build_bill, price_counts
from accelsim.engine.columns import BUSY_COMPUTE, DRAM_BYTES, IDEAL, SRAM_BITS
from accelsim.engine.evaluation import evaluate
from accelsim.hardware.design import Designs, Family
from accelsim.hardware.technology import Technology
from accelsim.result import BOUNDS, CAUSES, COMPONENTS, PHASES
from accelsim.trace import Phase, Trace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BATCH = 128  # designs counted at once: what counts every operator of them takes some megabytes


@dataclass(frozen=True)
class Totals:
    """Totals of G designs on one workload.

    Attributes:
        area_um2: float64 [components, G].
        cycles: int64 [phases, causes, G].
        busy: int64 [phases, bounds, G].
        dram_bytes: int64 [phases, G].
        sram_bytes: int64 [phases, G].
        energy_pj: float64 [phases, components, G].
        low_pj: float64 [phases, G].
        high_pj: float64 [phases, G].
    """

    area_um2: Floats
    cycles: Integers
    busy: Integers
    dram_bytes: Integers
    sram_bytes: Integers
    energy_pj: Floats
    low_pj: Floats
    high_pj: Floats


def evaluate_family(trace: Trace, family: Family, technology: Technology, mapping: str) -> Totals:
    """Return the totals of a family whose designs obey every rule.

    Raises:
        UserError: A missing price, or a workload too large to count.
    """
    size = len(family.machines)
    phases, components = len(PHASES), len(COMPONENTS)
    totals = Totals(
        np.zeros((components, size)),
        np.zeros((phases, len(CAUSES), size), dtype=np.int64),
        np.zeros((phases, len(BOUNDS), size), dtype=np.int64),
        np.zeros((phases, size), dtype=np.int64),
        np.zeros((phases, size), dtype=np.int64),
        np.zeros((phases, components, size)),
        np.zeros((phases, size)),
        np.zeros((phases, size)),
    )
    for start in range(0, size, BATCH):
        some = slice(start, start + BATCH)
        batch = Family(family.config, family.units[some], family.machines[some])
        _fill(totals, some, trace, batch, technology, mapping)
    return totals


def _fill(
    totals: Totals,
    some: slice,
    trace: Trace,
    family: Family,
    technology: Technology,
    mapping: str,
) -> None:
    bill = build_bill(family, technology)
    evaluation = evaluate(trace, Designs((), family.units, family.machines), mapping, [bill])
    for part in bill.plan.parts:
        totals.area_um2[COMPONENTS.index(part.component), some] += bill.plan.part_um2(part)
    for phase in Phase:
        inside = trace.operators["phase"] == phase
        cycles = evaluation.cycles[:, inside].sum(axis=1)  # [G, columns]
        energy = price_counts(bill, evaluation.counts[:, inside].sum(axis=1))
        totals.cycles[phase, :, some] = cycles[:, IDEAL : IDEAL + len(CAUSES)].T
        totals.busy[phase, :, some] = cycles[:, BUSY_COMPUTE : BUSY_COMPUTE + len(BOUNDS)].T
        totals.dram_bytes[phase, some] = cycles[:, DRAM_BYTES]
        totals.sram_bytes[phase, some] = cycles[:, SRAM_BITS] // 8
        totals.energy_pj[phase, :, some] = energy.components
        totals.low_pj[phase, some] = energy.low
        totals.high_pj[phase, some] = energy.high
