"""Trace x designs -> results: residency, cycles, counts, prices, invariants, in that order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.engine.bill import (
    Bill,
    Energy,
    area_rows,
    build_bill,
    charges,
    component_rates,
    price_counts,
)
from accelsim.engine.columns import (
    BUSY_COMPUTE,
    DRAM_BYTES,
    FOLDS,
    IDEAL,
    SRAM_BITS,
    UNIT,
)
from accelsim.engine.evaluation import Evaluation, evaluate
from accelsim.engine.excerpt import timeline
from accelsim.engine.feasible import sum_bits
from accelsim.engine.invariants import check_result
from accelsim.engine.mapping import FIXED
from accelsim.engine.spelled import spelled_mapping
from accelsim.hardware.characterised import name_with_delay
from accelsim.hardware.design import ARRAY, VECTOR, Designs, Family, unit_pe
from accelsim.hardware.pe import lookup_pe
from accelsim.hardware.technology import Technology
from accelsim.result import (
    BOUNDS,
    CAUSES,
    UNITS,
    OperatorRow,
    PhaseResult,
    Result,
    Roofline,
)
from accelsim.trace import Kind, Phase, Trace, instances, steps

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def simulate(
    trace: Trace,
    designs: Designs,
    technologies: Sequence[Technology],
    notes: Sequence[str] = (),
    manifest: dict[str, object] | None = None,
    mapping: str = FIXED,
) -> list[Result]:
    """Return one result per design, full accounting.

    Args:
        trace: The workload.
        designs: D machines.
        technologies: The prices of each design, [D].
        notes: What the caller has to tell the reader besides.
        manifest: Versions, hashes, seed.
        mapping: ``fixed``, or what a search of mappings minimises: latency, energy or edp.
    """
    bills = []
    for index, technology in enumerate(technologies):
        # A family of one: the marks of a price never depend on the designs beside it.
        one = slice(index, index + 1)
        family = Family(designs.configs[index], designs.units[one], designs.machines[one])
        bills.append(build_bill(family, technology))
    evaluation = evaluate(trace, designs, mapping, bills)
    results = []
    for index, (technology, bill) in enumerate(zip(technologies, bills, strict=True)):
        result = _result(
            trace, designs, evaluation, index, technology, bill, notes, manifest or {}, mapping
        )
        check_result(result)
        results.append(result)
    return results


def _result(
    trace: Trace,
    designs: Designs,
    evaluation: Evaluation,
    index: int,
    technology: Technology,
    bill: Bill,
    notes: Sequence[str],
    manifest: dict[str, object],
    mapping: str,
) -> Result:
    config = designs.configs[index]
    cycles, counts = evaluation.cycles[index], evaluation.counts[index]
    phases, bills = [], []
    for phase in Phase:
        inside = trace.operators["phase"] == phase
        total = counts[inside].sum(axis=0)[np.newaxis]
        energy = price_counts(bill, total)
        bills += charges(bill, total, phase, 0)
        phases.append(_phase(trace, phase, cycles[inside], energy))
    return Result(
        design=config.name,
        description=config.description,
        design_config=config.model_dump(mode="json"),
        network=trace.network,
        network_form=trace.form,
        technology=technology.name,
        node_nm=technology.node_nm,
        clock_mhz=config.clock_mhz,
        workload=vars(trace.workload),
        weights=vars(trace.source),
        area=area_rows(bill, 0),
        phases=tuple(phases),
        operators=_operators(trace, evaluation, index, component_rates(bill, 0)),
        charges=tuple(bills),
        timeline=timeline(trace, designs, index, evaluation),
        roofline=_roofline(designs, index),
        notes=(*notes, *_notes(trace, config, technology)),
        manifest=manifest,
        mapping=mapping,
    )


def _phase(trace: Trace, phase: Phase, cycles: Integers, energy: Energy) -> PhaseResult:
    return PhaseResult(
        tokens=trace.workload.tokens(phase),
        cycles=cycles[:, IDEAL : IDEAL + len(CAUSES)].sum(axis=0),
        busy=cycles[:, BUSY_COMPUTE : BUSY_COMPUTE + len(BOUNDS)].sum(axis=0),
        dram_bytes=int(cycles[:, DRAM_BYTES].sum()),
        sram_bytes=int(cycles[:, SRAM_BITS].sum()) // 8,
        energy_pj=energy.components[:, 0],
        energy_low_pj=float(energy.low[0]),
        energy_high_pj=float(energy.high[0]),
        waterfall_pj=energy.steps[:, 0],
        causes_pj={
            name: (float(c[0, 0]), float(c[1, 0]), float(c[2, 0]))
            for name, c in energy.causes.items()
        },
    )


def _operators(
    trace: Trace, evaluation: Evaluation, index: int, rates: Floats
) -> tuple[OperatorRow, ...]:
    cycles, energy = evaluation.cycles[index], evaluation.counts[index] @ rates.T
    number, pairs = instances(trace.operators), steps(trace.operators)
    rows = []
    for o, name in enumerate(trace.names):
        op, cycle = trace.operators[o], cycles[o]
        busy = cycle[BUSY_COMPUTE : BUSY_COMPUTE + len(BOUNDS)].tolist()
        rows.append(
            OperatorRow(
                name=name,
                kind=Kind(int(op["kind"])).name.lower(),
                phase=int(op["phase"]),
                m=int(op["m"]),
                k=int(op["k"]),
                n=int(op["n"]),
                instances=int(number[o]),
                unit=UNITS[int(cycle[UNIT])],
                folds=int(cycle[FOLDS]),
                steps=int(pairs[o]),
                cycles=tuple(cycle[IDEAL : IDEAL + len(CAUSES)].tolist()),
                busy=tuple(busy),
                bound=BOUNDS[int(np.argmax(busy))],
                dram_bytes=int(cycle[DRAM_BYTES]),
                sram_bytes=int(cycle[SRAM_BITS]) // 8,
                energy_pj=energy[o],
                **_mapping(evaluation, index, o),
            )
        )
    return tuple(rows)


def _mapping(evaluation: Evaluation, index: int, o: int) -> dict[str, Any]:
    """Return how an operator is mapped, and what a search compared that with."""
    place = int(evaluation.cycles[index, o, UNIT])
    if place == VECTOR:
        return {}
    mapped = evaluation.mapped
    spelled = spelled_mapping(evaluation.workload, mapped, index, o, place)
    if mapped is None:
        return {"mapping": spelled}
    causes = mapped.fixed_cycles[index, o, IDEAL : IDEAL + len(CAUSES)]
    looked = int(mapped.looked[index, o])
    return {"mapping": spelled, "looked": looked, "fixed_cycles": int(causes.sum())}


def _roofline(designs: Designs, index: int) -> Roofline:
    lanes = [
        int(math.prod(int(u[f]) for f in ("rows", "cols", "lanes"))) for u in designs.units[index]
    ]
    return Roofline(lanes[0], lanes[1], float(designs.machines[index]["dram_bytes_per_cycle"]))


def _notes(trace: Trace, config: DesignConfig, technology: Technology) -> list[str]:
    """Return what a reader must know: what is drawn, extrapolated or assumed."""
    notes = []
    if trace.source.kind == "synthetic":
        notes.append(f"operand counts are synthetic, profile {trace.source.profile}")
    if trace.source.extrapolated:
        notes.append("context is extrapolated past the network's maximum positions")
    pe, accumulator = unit_pe(config, ARRAY), config.array.accumulator
    if pe is not None and not pe.float_sum and accumulator.bits < sum_bits(trace):
        # Where a saturating sum stops depends on the order of additions, see docs/narrow.md.
        one_by_one = config.array.dataflow == "os" and config.array.organisation == "systolic"
        other_order = accumulator.overflow == "saturate" and not one_by_one
        notes.append(
            f"sums may need {sum_bits(trace)} bits and {accumulator.overflow} at "
            f"{accumulator.bits}, which is priced, not computed: see `accelsim infer CHECKPOINT "
            f"--text FILE --emulate {accumulator.overflow}:{accumulator.bits}`"
            + (
                ", which adds in the order of an output-stationary systolic array"
                if other_order
                else ""
            )
        )
    parts = [part for part in (config.array, config.mac) if part is not None]
    unknown = [p.pe for p in parts if name_with_delay(technology, lookup_pe(p.pe), p) is None]
    if unknown:
        notes.append(
            f"{config.clock_mhz:g} MHz is an assumption: {technology.name} has no delay of "
            + " and ".join(dict.fromkeys(unknown))
        )
    return notes
