"""Executable invariants, checked on every run at the engine's borders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.engine.columns import BUSY_COMPUTE, BUSY_MEMORY, BUSY_VECTOR, FOLDS, IDEAL, UNIT
from accelsim.engine.residency import packed_rows, weight_bytes
from accelsim.errors import UserError
from accelsim.hardware.actions import SHARED, Role, SharedAction, UnitAction, counter
from accelsim.hardware.design import ARRAY, MAC, VECTOR, Designs, Gating
from accelsim.result import CAUSES, Result
from accelsim.trace import Kind, Phase, Stationary, Trace, instances, steps

Integers = npt.NDArray[np.int64]

LARGEST_COUNT = 2.0**62
LANE_BITS = 256  # above what a vector lane reads and writes in a cycle
CLOCKS = (UnitAction.ACCUMULATOR_CLOCK, UnitAction.OPERAND_CLOCK, UnitAction.DRAIN)


class BrokenInvariantError(Exception):
    """The engine contradicted itself; never the user's fault."""


def check_evaluation(trace: Trace, designs: Designs, cycles: Integers, counts: Integers) -> None:
    """Check the exact integers of every operator on every design.

    Raises:
        UserError: A workload whose counts could leave int64.
        BrokenInvariantError: Something negative, an operator that ran twice or not at all, one
            faster than its roofline, steps or clocks that were lost, or DRAM traffic below what
            exists only there.
    """
    causes = cycles[:, :, IDEAL : IDEAL + len(CAUSES)]
    total = causes.sum(axis=2)
    _check_range(trace, designs, cycles, total)
    _require(bool((causes >= 0).all()), trace, "a cause of cycles is negative")
    _require(bool((counts >= 0).all()), trace, "a count is negative")
    _require(bool((total >= cycles[:, :, BUSY_VECTOR]).all()), trace, "vector work is not covered")
    _check_places(trace, designs, cycles)
    _check_steps(trace, counts)
    _check_clocks(trace, designs, cycles, counts, total)
    _check_roofline(trace, designs, cycles, total)
    _check_memory(trace, designs, cycles, counts, total)


def _check_range(trace: Trace, designs: Designs, cycles: Integers, total: Integers) -> None:
    """No register or port takes more words than cycles pass: that bounds every other count."""
    ports = LANE_BITS * designs.machines["vector_lanes"]
    ports = ports + 16 * np.ceil(designs.machines["dram_bytes_per_cycle"])
    widest = _register_bits(designs).sum(axis=1) + ports
    largest = np.maximum(np.abs(total), np.abs(cycles[:, :, BUSY_COMPUTE])).astype(np.float64)
    if bool((largest.sum(axis=1) * widest >= LARGEST_COUNT).any()):
        raise UserError(
            f"workload on {trace.network} is too large to count",
            file="--prefill",
            value=f"{trace.workload.prefill} + {trace.workload.decode}",
            allowed="allowed: register bits x cycles below 2**62",
        )


def _check_places(trace: Trace, designs: Designs, cycles: Integers) -> None:
    """Every operator is mapped once: to the one unit that its design names for it."""
    kind = trace.operators["kind"]
    attention = (kind == Kind.ATTENTION_QK) | (kind == Kind.ATTENTION_AV)
    places = np.where(kind < Kind.GEMM, VECTOR, ARRAY)[None, :].repeat(len(designs), axis=0)
    machines = designs.machines
    places = np.where(attention, machines["place_attention"][:, None], places)
    places = np.where(kind == Kind.LM_HEAD, machines["place_lm_head"][:, None], places)
    _require(bool((cycles[:, :, UNIT] == places).all()), trace, "an operator is on another unit")
    vector, folds = cycles[:, :, BUSY_VECTOR], cycles[:, :, FOLDS]
    runs = instances(trace.operators)
    free = (kind == Kind.DEQUANTISE) & (machines["scale_on_drain"] == 1)[:, None]
    on_vector = (folds == 0) & ((vector >= runs) | free)
    on_array = (folds >= runs) & (vector == 0)
    once = np.where(places == VECTOR, on_vector, on_array)
    _require(bool(once.all()), trace, "an operator is not mapped exactly once")


def _check_steps(trace: Trace, counts: Integers) -> None:
    """Every pair of a product is taken somewhere."""
    kind, needed = trace.operators["kind"], steps(trace.operators)
    attention = (kind == Kind.ATTENTION_QK) | (kind == Kind.ATTENTION_AV)
    rows = ((Role.LINEAR, kind == Kind.GEMM), (Role.ATTENTION, attention))
    for role, chosen in (*rows, (Role.LM_HEAD, kind == Kind.LM_HEAD)):
        done = sum(
            counts[:, :, counter(role, action)]
            for action in (UnitAction.TERNARY_STEP, UnitAction.DENSE_STEP, UnitAction.VECTOR_MAC)
        )
        _require(bool((done >= needed)[:, chosen].all()), trace, "products were lost")
    priced = counts[:, :, counter(Role.LINEAR, UnitAction.TERNARY_STEP)]
    every = sum(counts[:, :, counter(role, UnitAction.TERNARY_STEP)] for role in Role)
    _require(bool((priced == every).all()), trace, "ternary weights outside of linear layers")


def _check_clocks(
    trace: Trace, designs: Designs, cycles: Integers, counts: Integers, total: Integers
) -> None:
    """No register clocks twice in a cycle; without gating each one clocks in every cycle."""
    bits, unit = _register_bits(designs), cycles[:, :, UNIT]
    rows = np.arange(len(designs))[:, None]
    own = np.where(unit == VECTOR, 0, bits[rows, np.minimum(unit, MAC)])
    clocked = _clocked(counts, CLOCKS)
    busy = cycles[:, :, BUSY_COMPUTE]
    _require(bool((clocked <= own * busy).all()), trace, "a register clocks twice in a cycle")
    ungated = (designs.units["gating"] == Gating.NONE) * bits
    every = clocked + _clocked(counts, (UnitAction.IDLE_CLOCK,))
    both_ungated = (ungated == bits).all(axis=1)
    exact = every == total * bits.sum(axis=1)[:, None]
    _require(bool(exact[both_ungated].all()), trace, "clocks of ungated registers were lost")


def _register_bits(designs: Designs) -> Integers:
    """Return the register bits of both matrix units, int64 [D, 2]."""
    units = designs.units
    return np.asarray(units["operand_register_bits"] + units["sum_register_bits"], dtype=np.int64)


def _clocked(counts: Integers, actions: tuple[UnitAction, ...]) -> Integers:
    columns = [counter(role, action) for role in Role for action in actions]
    return np.asarray(counts[:, :, columns].sum(axis=2))


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


def _check_memory(
    trace: Trace, designs: Designs, cycles: Integers, counts: Integers, total: Integers
) -> None:
    """DRAM delivers no faster than it can, and all that a cold prefill needs at least once."""
    rows, footprint = packed_rows(trace), trace.footprint
    stored = int((rows["distinct"] * rows["k"] * rows["n"]).sum())
    _require(stored == footprint.ternary + footprint.dense, trace, "weights are not its footprint")
    for phase in Phase:
        inside = trace.operators["phase"] == phase
        transfers = cycles[:, inside, BUSY_MEMORY].sum(axis=1)
        fits = total[:, inside].sum(axis=1) >= transfers
        _require(bool(fits.all()), trace, "a phase beats the DRAM")
    reads = counts[:, :, SHARED + SharedAction.DRAM_READ].sum(axis=1)
    enough = reads >= distinct_bytes(trace, designs)
    _require(bool(enough.all()), trace, "DRAM reads are below the distinct bytes")


def distinct_bytes(trace: Trace, designs: Designs) -> Integers:
    """Return the bytes of weights, head and norms that prefill uses, each once, int64 [D]."""
    o, machines = trace.operators, designs.machines
    prefill = (o["phase"] == Phase.PREFILL) & (o["kind"] != Kind.EMBEDDING)
    linear = prefill & np.isin(o["stationary"], (Stationary.TERNARY, Stationary.DENSE))
    result = np.where(linear.any(), weight_bytes(trace, designs), 0)
    for stationary, bits in (
        (Stationary.HEAD, machines["head_bits"]),
        (Stationary.NORM, machines["norm_bits"]),
    ):
        chosen = o[prefill & (o["stationary"] == stationary)]
        elements = int((chosen["distinct"] * chosen["k"] * chosen["n"]).sum())
        result += elements * bits // 8
    return result


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
