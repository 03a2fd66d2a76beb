"""Executable invariants, checked on every run at the engine's borders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.engine.columns import BUSY_VECTOR, IDEAL, UNIT
from accelsim.hardware.actions import Role, UnitAction, counter
from accelsim.hardware.design import VECTOR, Designs
from accelsim.result import CAUSES, Result
from accelsim.trace import Kind, Trace, steps

Integers = npt.NDArray[np.int64]


class BrokenInvariantError(Exception):
    """The engine contradicted itself; never the user's fault."""


def check_evaluation(trace: Trace, designs: Designs, cycles: Integers, counts: Integers) -> None:
    """Check the exact integers of every operator on every design.

    Raises:
        BrokenInvariantError: Something negative, an operator faster than its roofline, steps
            that were lost, or DRAM traffic below what exists only there.
    """
    causes = cycles[:, :, IDEAL : IDEAL + len(CAUSES)]
    _require(bool((causes >= 0).all()), trace, "a cause of cycles is negative")
    _require(bool((counts >= 0).all()), trace, "a count is negative")
    total = causes.sum(axis=2)
    _require(bool((total >= cycles[:, :, BUSY_VECTOR]).all()), trace, "vector work is not covered")
    _check_steps(trace, counts, cycles)
    _check_roofline(trace, designs, cycles, total)


def _check_steps(trace: Trace, counts: Integers, cycles: Integers) -> None:
    """Every pair of a dense product is formed somewhere: array, mac or vector unit."""
    needed = steps(trace.operators)
    head = trace.operators["kind"] == Kind.LM_HEAD
    attention = (trace.operators["kind"] == Kind.ATTENTION_QK) | (
        trace.operators["kind"] == Kind.ATTENTION_AV
    )
    for role, rows in ((Role.LM_HEAD, head), (Role.ATTENTION, attention)):
        done = counts[:, :, counter(role, UnitAction.PRODUCT)]
        done = done + counts[:, :, counter(role, UnitAction.VECTOR_MAC)]
        _require(bool((done[:, rows] >= needed[rows]).all()), trace, "products were lost")


def _check_roofline(trace: Trace, designs: Designs, cycles: Integers, total: Integers) -> None:
    """No operator beats the peak of the unit that runs it."""
    peaks = designs.units["rows"] * designs.units["cols"] * designs.units["lanes"]
    needed = steps(trace.operators)
    for d in range(len(designs)):
        unit = cycles[d, :, UNIT]
        peak = np.where(
            unit == VECTOR, designs.machines["vector_lanes"][d], peaks[d][np.minimum(unit, 1)]
        )
        fast = total[d] * peak < needed
        _require(not bool(fast.any()), trace, "an operator beats the machine's peak")


def check_result(result: Result) -> None:
    """Check that every split of a result adds up to its total.

    Raises:
        BrokenInvariantError: Splits that differ by more than 1e-12, or low > value > high.
    """
    for index, phase in enumerate(result.phases):
        total = float(phase.energy_pj.sum())
        operators = sum(float(o.energy_pj.sum()) for o in result.operators if o.phase == index)
        charges = sum(c.energy_pj for c in result.charges if c.phase == index)
        for name, split in (
            ("steps", float(phase.waterfall_pj.sum())),
            ("operators", operators),
            ("charges", charges),
        ):
            if abs(split - total) > 1e-12 * max(total, 1.0):
                raise BrokenInvariantError(
                    f"{result.design}: energy by {name} is {split}, not {total}"
                )
        if not phase.energy_low_pj <= total * (1 + 1e-12) <= phase.energy_high_pj * (1 + 2e-12):
            raise BrokenInvariantError(f"{result.design}: energy leaves its interval")


def _require(holds: bool, trace: Trace, what: str) -> None:
    if not holds:
        raise BrokenInvariantError(f"{trace.network}: {what}")
