"""One GEMM from SRAM to SRAM: the architect's pocket calculator, on the engine's own path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from accelsim.engine.bill import build_bill, price_counts, without
from accelsim.engine.columns import (
    FOLDS,
    G_ACTIVATION,
    G_PARTIAL,
    G_RESULTS,
    G_WEIGHT,
    GEMM_COLUMNS,
    IDEAL,
)
from accelsim.engine.evaluation import Evaluation, evaluate
from accelsim.engine.gemm import array_gemm
from accelsim.engine.timing import gemm_cycles_scalesim
from accelsim.errors import UserError
from accelsim.hardware.actions import Role, UnitAction, counter
from accelsim.hardware.design import ARRAY, Designs, Family, Organisation
from accelsim.hardware.technology import Technology
from accelsim.result import CAUSES, COMPONENTS
from accelsim.trace import Trace, steps

_ENDLESS = 1 << 50  # bytes: operands are in SRAM, results stay there


def single_gemm(
    trace: Trace, designs: Designs, technology: Technology, timing: str
) -> dict[str, Any]:
    """Return cycles, counts and energy of the one GEMM in ``trace`` on the one design.

    Args:
        trace: Of ``synthetic_gemm``.
        designs: One machine; its array runs the GEMM.
        technology: Its prices.
        timing: ``rtl`` as docs/timing.md, or ``scalesim``: cycles alone, as that simulator counts.

    Raises:
        UserError: ``scalesim`` for an organisation it does not have.
    """
    machines = designs.machines.copy()
    for column in ("weight_keep", "activation_stream"):
        machines[column] = _ENDLESS
    evaluation = evaluate(trace, replace(designs, machines=machines))
    op = trace.operators[0]
    m, k, n = (int(op[name]) for name in ("m", "k", "n"))
    result = {"m": m, "k": k, "n": n}
    if timing == "scalesim":
        return result | _scalesim(designs, trace, evaluation)
    causes = evaluation.cycles[0, 0, IDEAL : IDEAL + len(CAUSES)].tolist()
    family = Family(designs.configs[0], designs.units, designs.machines)
    bill = without(build_bill(family, technology), "dram")
    priced = price_counts(bill, evaluation.counts.sum(axis=1))
    components = dict(zip(COMPONENTS, priced.components[:, 0].tolist(), strict=True))
    folds = int(evaluation.cycles[0, 0, FOLDS])
    return (
        result
        | _cycles(folds, causes)
        | {
            "counts": _counts(trace, designs, evaluation),
            "energy_pj": float(sum(components.values())),
            "energy_low_pj": float(priced.low[0]),
            "energy_high_pj": float(priced.high[0]),
            "energy_by_component_pj": components,
        }
    )


def _cycles(folds: int, causes: list[int]) -> dict[str, Any]:
    ideal, spatial, temporal = causes[:3]
    total = sum(causes)
    return {
        "cycles": total,
        "folds": folds,
        "cycles_by_cause": dict(zip(CAUSES, causes, strict=True)),
        "utilisation": {
            "mapping": ideal / (ideal + spatial),
            "compute": ideal / (ideal + spatial + temporal),
            "overall": ideal / total,
        },
    }


def _scalesim(designs: Designs, trace: Trace, evaluation: Evaluation) -> dict[str, Any]:
    """Return cycles as SCALE-Sim counts them; it has no energy, so that is null."""
    unit, op = designs.units[0, ARRAY], trace.operators[0]
    if unit["organisation"] == Organisation.DOT:
        raise UserError(
            "SCALE-Sim has no dot-product units",
            file="--timing",
            value="scalesim",
            allowed="rtl, or a systolic design",
        )
    folds, cycles = gemm_cycles_scalesim(
        int(unit["organisation"]),
        int(unit["rows"]),
        int(unit["cols"]),
        int(op["m"]),
        int(op["k"]),
        int(op["n"]),
    )
    ideal, spatial = (int(c) for c in evaluation.cycles[0, 0, IDEAL : IDEAL + 2])
    # Its folds are charged with full rows and columns, never fewer cycles than streamed steps.
    causes = [ideal, spatial, int(cycles) - ideal - spatial, 0, 0]
    return _cycles(int(folds), causes) | {
        "counts": _counts(trace, designs, evaluation),
        "energy_pj": None,
        "energy_low_pj": None,
        "energy_high_pj": None,
        "energy_by_component_pj": None,
    }


def _counts(trace: Trace, designs: Designs, evaluation: Evaluation) -> dict[str, int]:
    """Return counts that an architect checks by hand; SRAM accesses in elements."""
    counts, op = evaluation.counts[0, 0], trace.operators[0]
    unit = {a.name.lower(): int(counts[counter(Role.LINEAR, a)]) for a in UnitAction}
    gemm = np.zeros(GEMM_COLUMNS, dtype=np.int64)
    array_gemm(  # type: ignore[no-untyped-call]
        designs.units[0, ARRAY],
        int(designs.machines[0]["output_stream"]),
        int(op["m"]),
        int(op["k"]),
        int(op["n"]),
        gemm,
    )
    return {
        "steps": int(steps(trace.operators)[0]),
        "both_nonzero": int(op["both_nonzero"]),
        "weight_nonzero": int(op["weight_nonzero"]),
        "activation_zero": int(op["activation_zero"]),
        "accumulator_writes": unit["add"] + unit["reduction"],
        "weights_decoded": unit["decode"],
        "operand_bits_toggled": unit["operand_toggle"],
        "sram_activation_reads": int(gemm[G_ACTIVATION]),
        "sram_weight_reads": int(gemm[G_WEIGHT]),
        "sram_output_writes": int(gemm[G_RESULTS] + gemm[G_PARTIAL]),
        "sram_partial_sum_reads": int(gemm[G_PARTIAL]),
    }
