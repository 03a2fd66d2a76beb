"""What a matrix unit does in an operator, as counts of actions."""

from __future__ import annotations

from accelsim.engine.columns import (
    F_INPUTS,
    F_OUTPUTS,
    F_READ,
    F_WRITTEN,
    G_ACTIVATION,
    G_ACTIVATION_MOVES,
    G_DRAIN_MOVES,
    G_EXECUTED,
    G_PARTIAL,
    G_REDUCTIONS,
    G_RESULTS,
    G_SUM_MOVES,
    G_TOTAL,
    G_UNIT_STEPS,
    G_WEIGHT,
    G_WEIGHT_MOVES,
)
from accelsim.engine.dimensions import keeps_sums
from accelsim.engine.transfers import (
    activation_bits,
    ceil_div,
    is_packed,
    stationary_bits,
)
from accelsim.hardware.actions import SHARED, UNIT_ACTIONS, SharedAction, UnitAction
from accelsim.hardware.design import Decoder, Gating, Organisation
from accelsim.kernels import inlined_kernel
from accelsim.trace import Kind, Series, Stationary

TERNARY_BITS = 2  # weight_bits of a row whose second operand is ternary
# From an event with ternary second operands to the same one with others.
DENSE_BLOCK = int(UnitAction.DENSE_STEP) - int(UnitAction.TERNARY_STEP)


@inlined_kernel
def count_unit(op, unit, role, gemm, scale, counts):
    """Count what ``scale`` equal instances compute inside the matrix unit."""
    base = role * UNIT_ACTIONS
    executed = gemm[G_EXECUTED] * scale
    unit_steps = gemm[G_UNIT_STEPS] * scale
    reductions = gemm[G_REDUCTIONS] * scale
    count_steps(op, executed, base, counts)
    counts[base + UnitAction.REDUCTION] += reductions
    if unit.organisation == Organisation.DOT:
        counts[base + UnitAction.TREE_ADD] += executed - unit_steps
        counts[base + UnitAction.ADD] += unit_steps
        if unit.fused == 1:
            counts[base + UnitAction.NORMALISE] += unit_steps
    elif unit.skips_zero == 1:
        counts[base + UnitAction.ADD] += op.weight_nonzero * op.m
    else:
        counts[base + UnitAction.ADD] += executed
    counts[base + UnitAction.PARTIAL_ADD] += gemm[G_PARTIAL] * scale
    if unit.casts == 1 and op.activation_bits == 8:
        counts[base + UnitAction.CAST] += gemm[G_ACTIVATION] * scale


@inlined_kernel
def count_steps(op, executed, base, counts):
    """Count operand pairs, those with a weight and those where both count.

    Only ternary weights are looked at one by one: zeros among others are too few to matter.
    """
    ternary = op.weight_bits == TERNARY_BITS
    kind = 0 if ternary else DENSE_BLOCK
    counts[base + kind + UnitAction.TERNARY_STEP] += executed
    counts[base + kind + UnitAction.TERNARY_WEIGHT_NONZERO] += (
        op.weight_nonzero * op.m if ternary else executed
    )
    counts[base + kind + UnitAction.TERNARY_BOTH_NONZERO] += op.both_nonzero


@inlined_kernel
def sum_bits(unit, moves, executed, unit_steps):
    """Return the bits that registers of sums take in ``moves`` words."""
    bits = moves * unit.accumulator_bits
    if unit.organisation == Organisation.DOT:
        # A product register for each product, one after each adder of the tree.
        bits += (2 * executed - unit_steps) * unit.product_bits
    return bits


@inlined_kernel
def operand_bits(unit, activations, weights):
    """Return the bits that operand registers take in moves of activations and of weights."""
    return activations * unit.activation_bits + weights * unit.weight_bits


@inlined_kernel
def gates_rows(unit):
    """Whether rows without work stop. Partial sums of ws and is pass every row, so none can."""
    return unit.gating == Gating.ROW and keeps_sums(unit)


@inlined_kernel
def idle_bits_of_rows(unit, extent, busy, working):
    """Return register bits of rows in use that clock without a word of one instance.

    ``extent`` tokens lie in the rows for ``busy`` cycles, ``working`` bits clock with a word.
    """
    in_use = busy * extent // (ceil_div(extent, unit.rows) * unit.rows)
    bits = unit.operand_register_bits + unit.sum_register_bits
    return max(bits * in_use - working, 0)


@inlined_kernel
def count_clocks(unit, gemm, elapsed, idle_in_rows, scale, role, counts):
    """Count register bits that clock, with a word of the operator or without.

    Args:
        unit: The matrix unit.
        gemm: int64 [GEMM_COLUMNS], one instance of each member.
        elapsed: Cycles of all instances.
        idle_in_rows: Of one instance of each member, where the unit stops rows.
        scale: Instances of each member.
        role: Whose counters.
        counts: int64 [COUNTERS].
    """
    base = role * UNIT_ACTIONS
    sums = sum_bits(unit, gemm[G_SUM_MOVES], gemm[G_EXECUTED], gemm[G_UNIT_STEPS])
    operands = operand_bits(unit, gemm[G_ACTIVATION_MOVES], gemm[G_WEIGHT_MOVES])
    drain = gemm[G_DRAIN_MOVES] * unit.accumulator_bits
    counts[base + UnitAction.ACCUMULATOR_CLOCK] += sums * scale
    counts[base + UnitAction.OPERAND_CLOCK] += operands * scale
    counts[base + UnitAction.DRAIN] += drain * scale
    bits = unit.operand_register_bits + unit.sum_register_bits
    working = (sums + operands + drain) * scale
    idle = 0
    if unit.gating == Gating.NONE:
        idle = bits * elapsed - working
    elif gates_rows(unit):
        idle = idle_in_rows * scale
    elif unit.gating != Gating.PE:
        idle = bits * gemm[G_TOTAL] * scale - working
    counts[base + UnitAction.IDLE_CLOCK] += max(idle, 0)


@inlined_kernel
def count_toggles(op, unit, role, executed, moves, counts):
    """Count operand bits that change, in registers and at PEs, from the trace's transitions.

    The dataflow chooses the order: os and dot stream both operands along k; ws streams activations
    along m past weights loaded along k, is weights along n past activations loaded along k. Every
    register on an operand's way sees its transitions: they count as often as the mean word moves.
    Every PE that works with a word sees them at its port.

    Args:
        op: The trace row.
        unit: The matrix unit.
        role: Whose counters.
        executed: Operand pairs of one instance of each member.
        moves: float64 [2], register moves of the mean activation and the mean weight.
        counts: int64 [COUNTERS].
    """
    activation, weight = op.activation_hamming_k, _weight_toggles_k(op, unit)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        activation = op.activation_hamming_m
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        weight = _weight_toggles_n(op, unit)
    base = role * UNIT_ACTIONS
    in_registers = int(activation * moves[0]) + int(weight * moves[1])
    visits = _port_visits(op, unit, executed)
    at_activations, at_weights = int(activation * visits[0]), int(weight * visits[1])
    kind = DENSE_BLOCK if op.weight_bits != TERNARY_BITS else 0
    counts[base + kind + UnitAction.TERNARY_ACTIVATION_TOGGLE] += at_activations
    counts[base + kind + UnitAction.TERNARY_WEIGHT_TOGGLE] += at_weights
    counts[base + UnitAction.OPERAND_TOGGLE] += in_registers
    counts[base + UnitAction.SKEW_TOGGLE] += max(in_registers - at_activations - at_weights, 0)


@inlined_kernel
def _port_visits(op, unit, executed):
    """Return how many PEs the mean activation and the mean weight work in; a held one in its own.

    Masked probabilities are no operands, see ``matrix.py``.
    """
    activations, weights = float(op.n), float(op.m)
    if op.series == Series.N:
        activations += op.series_step * (op.series_count - 1) / 2
    if op.causal == 1:
        streamed = op.m * op.k if op.kind == Kind.ATTENTION_QK else executed // op.n
        activations, weights = executed / streamed, executed / (op.k * op.n)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        weights = 1.0
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        activations = 1.0
    return activations, weights


@inlined_kernel
def _weight_toggles_k(op, unit):
    toggles = op.weight_zero_plus_k * unit.toggle_zero_plus
    toggles += op.weight_zero_minus_k * unit.toggle_zero_minus
    return toggles + op.weight_plus_minus_k * unit.toggle_plus_minus + op.weight_hamming_k


@inlined_kernel
def _weight_toggles_n(op, unit):
    toggles = op.weight_zero_plus_n * unit.toggle_zero_plus
    toggles += op.weight_zero_minus_n * unit.toggle_zero_minus
    return toggles + op.weight_plus_minus_n * unit.toggle_plus_minus + op.weight_hamming_n


@inlined_kernel
def count_weights(op, unit, machine, role, reads, fetched, scale, counts):
    """Count how the second operand passes SRAM and decoder.

    ``reads`` elements go to the array and ``fetched`` bytes come from DRAM, both per instance.
    """
    numerator, denominator = stationary_bits(op, machine)
    if op.stationary == Stationary.CACHE:
        counts[SHARED + SharedAction.ACTIVATION_READ] += reads * scale * numerator
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += fetched * 8 * scale
        return
    if is_packed(op) and machine.decoder == Decoder.DRAM:
        decoded = fetched * 8 * denominator // numerator * scale
        counts[role * UNIT_ACTIONS + UnitAction.DECODE] += decoded
        counts[SHARED + SharedAction.WEIGHT_WRITE] += decoded * unit.weight_bits
        counts[SHARED + SharedAction.WEIGHT_READ] += reads * scale * unit.weight_bits
        return
    if is_packed(op) and machine.decoder == Decoder.SRAM:
        counts[role * UNIT_ACTIONS + UnitAction.DECODE] += reads * scale
    counts[SHARED + SharedAction.WEIGHT_WRITE] += fetched * 8 * scale
    counts[SHARED + SharedAction.WEIGHT_READ] += reads * numerator // denominator * scale


@inlined_kernel
def count_sums(unit, gemm, scale, counts):
    """Count how partial sums of ws and is wait in the output buffer."""
    partial_bits = gemm[G_PARTIAL] * scale * unit.accumulator_bits
    counts[SHARED + SharedAction.OUTPUT_READ] += partial_bits
    counts[SHARED + SharedAction.OUTPUT_WRITE] += partial_bits


@inlined_kernel
def count_array_ports(op, unit, machine, role, gemm, weights, scale, counts):
    """Count the operands that ``scale`` equal instances read from SRAM, and their sums."""
    bits = activation_bits(op, machine)
    counts[SHARED + SharedAction.ACTIVATION_READ] += gemm[G_ACTIVATION] * scale * bits
    count_weights(op, unit, machine, role, gemm[G_WEIGHT], weights, scale, counts)
    count_sums(unit, gemm, scale, counts)
    results = gemm[G_RESULTS] * scale
    if op.activation_bits == 8 and machine.scale_on_drain == 0:
        counts[SHARED + SharedAction.OUTPUT_WRITE] += results * unit.accumulator_bits
        return
    action = (
        SharedAction.DRAIN_DEQUANTISE if op.activation_bits == 8 else (SharedAction.VECTOR_CONVERT)
    )
    counts[SHARED + action] += results
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += results * machine.activation_bits


@inlined_kernel
def count_dram(flow, scale, counts):
    """Count DRAM bytes; activations pass their SRAM on the way, weights are counted elsewhere."""
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += flow[F_INPUTS] * 8 * scale
    counts[SHARED + SharedAction.ACTIVATION_READ] += flow[F_OUTPUTS] * 8 * scale
    counts[SHARED + SharedAction.DRAM_READ] += flow[F_READ] * scale
    counts[SHARED + SharedAction.DRAM_WRITE] += flow[F_WRITTEN] * scale
