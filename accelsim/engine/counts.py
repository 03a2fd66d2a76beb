"""What a matrix unit does in an operator, as counts of actions."""

from __future__ import annotations

from accelsim.engine.columns import (
    G_ACTIVATION,
    G_EXECUTED,
    G_OUTPUT,
    G_PARTIAL,
    G_STEADY,
    G_UNIT_STEPS,
    G_WEIGHT,
)
from accelsim.engine.transfers import HALF, bursts, ceil_div, stationary_bits
from accelsim.hardware.actions import SHARED, UNIT_ACTIONS, SharedAction, UnitAction
from accelsim.hardware.design import Decoder, Gating, Organisation
from accelsim.kernels import kernel
from accelsim.trace import Series, Stationary

FLOAT_BITS = 16  # compute format of attention and lm_head operands


@kernel
def count_idle(unit, clocked, active, role, counts):
    """Count register bits clocked in PE-cycles without a step."""
    register_bits = unit.activation_bits + unit.weight_bits
    register_bits = register_bits * unit.lanes + unit.accumulator_bits
    counts[role * UNIT_ACTIONS + UnitAction.IDLE_CLOCK] += max(clocked - active, 0) * register_bits


@kernel
def clocked_pe_cycles(unit, op_cycles, busy, used_rows, active):
    """Return PE-cycles in which registers clock: by gating, of ``op_cycles`` or ``busy`` ones."""
    if unit.gating == Gating.NONE:
        return unit.rows * unit.cols * op_cycles
    if unit.gating == Gating.ARRAY:
        return unit.rows * unit.cols * busy
    if unit.gating == Gating.ROW:
        return used_rows * unit.cols * busy // 1024
    return active


@kernel
def used_rows(unit, m, k):
    """Return the mean rows in use, in 1/1024 rows."""
    extent = m
    if (
        unit.organisation == Organisation.SYSTOLIC_WS
        or unit.organisation == Organisation.SYSTOLIC_IS
    ):
        extent = k
    return extent * 1024 // ceil_div(extent, unit.rows)


@kernel
def count_unit(op, unit, machine, role, m, k, n, gemm, scale, counts):
    """Count what ``scale`` equal instances do inside the matrix unit (not operand toggles)."""
    base = role * UNIT_ACTIONS
    executed = gemm[G_EXECUTED] * scale
    unit_steps = gemm[G_UNIT_STEPS] * scale
    ternary = op.weight_bits == 2
    if unit.multiplies == 1 or unit.organisation == Organisation.DOT:
        kind = UnitAction.PRODUCT_TERNARY if ternary else UnitAction.PRODUCT
        counts[base + kind] += executed
    if unit.organisation == Organisation.DOT:
        counts[base + UnitAction.TREE_ADD] += executed - unit_steps
        counts[base + UnitAction.ADD] += unit_steps
        counts[base + UnitAction.ACCUMULATE] += unit_steps
        counts[base + UnitAction.ACCUMULATOR_TOGGLE] += unit_steps * unit.product_bits // HALF
        if unit.fused == 1:
            counts[base + UnitAction.NORMALISE] += unit_steps
    elif unit.skips_zero == 0:
        count_adds(unit, executed, base, counts)
    pipeline = (unit.latency - 1) * unit.accumulator_bits
    counts[base + UnitAction.ACCUMULATOR_CLOCK] += unit_steps * (unit.accumulator_bits + pipeline)
    counts[base + UnitAction.OPERAND_CLOCK] += _operand_clock(unit, gemm, unit_steps, scale)
    counts[base + UnitAction.PARTIAL_ADD] += gemm[G_PARTIAL] * scale
    if unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT:
        shifts = gemm[G_OUTPUT] * scale * (unit.rows + 1) // 2
        counts[base + UnitAction.DRAIN] += shifts * unit.accumulator_bits
    if unit.casts == 1 and op.activation_bits == 8:
        counts[base + UnitAction.CAST] += gemm[G_ACTIVATION] * scale


@kernel
def count_adds(unit, adds, base, counts):
    """Count additions of a product to a running sum."""
    counts[base + UnitAction.ADD] += adds
    counts[base + UnitAction.ACCUMULATE] += adds
    counts[base + UnitAction.ACCUMULATOR_TOGGLE] += adds * unit.product_bits // HALF


@kernel
def _operand_clock(unit, gemm, unit_steps, scale):
    """Return operand register bits clocked in active PEs.

    os moves both operands every step, ws only activations, is only weights; the held operand loads
    once per fold. Dot-product units share registers at the array's edges.
    """
    a, w = unit.activation_bits, unit.weight_bits
    if unit.organisation == Organisation.SYSTOLIC_OS:
        return unit_steps * (a + w)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return unit_steps * a + gemm[G_WEIGHT] * scale * w * (unit.rows + 1) // 2
    if unit.organisation == Organisation.SYSTOLIC_IS:
        return unit_steps * w + gemm[G_ACTIVATION] * scale * a * (unit.rows + 1) // 2
    edge = (unit.rows * a + unit.cols * w) * unit.lanes
    return gemm[G_STEADY] * scale * edge


@kernel
def count_toggles(op, unit, role, m, n, counts):
    """Count operand register bits that change, from the trace's transitions.

    The dataflow chooses the order: os and dot stream both operands along k; ws streams activations
    along m past held weights, is streams weights along n past held activations. A streaming operand
    passes every PE of the other dimension; a held one is shifted in over half the rows on average.
    Growing contexts take the transitions at the mean of first and last extent.
    """
    middle_n = n
    middle_m = m
    if op.series == Series.N:
        middle_n = (2 * n + op.series_step * (op.series_count - 1)) // 2
    along_k = (
        op.weight_zero_plus_k * unit.toggle_zero_plus
        + op.weight_zero_minus_k * unit.toggle_zero_minus
        + op.weight_plus_minus_k * unit.toggle_plus_minus
        + op.weight_hamming_k
    )
    along_n = (
        op.weight_zero_plus_n * unit.toggle_zero_plus
        + op.weight_zero_minus_n * unit.toggle_zero_minus
        + op.weight_plus_minus_n * unit.toggle_plus_minus
        + op.weight_hamming_n
    )
    load = (unit.rows + 1) // 2
    if unit.organisation == Organisation.SYSTOLIC_OS:
        toggles = op.activation_hamming_k * middle_n + along_k * middle_m
    elif unit.organisation == Organisation.SYSTOLIC_WS:
        toggles = op.activation_hamming_m * middle_n + along_k * load
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        toggles = along_n * middle_m + op.activation_hamming_k * load
    else:
        toggles = op.activation_hamming_k * ceil_div(middle_n, unit.cols)
        toggles += along_k * ceil_div(middle_m, unit.rows)
    counts[role * UNIT_ACTIONS + UnitAction.OPERAND_TOGGLE] += toggles


@kernel
def count_transfers(op, unit, machine, role, gemm, weights, inputs, outputs, scale, counts):
    """Count SRAM bits and DRAM bytes of ``scale`` equal instances on an array."""
    numerator, denominator = stationary_bits(machine, op.stationary)
    activation_bits = min(op.activation_bits, FLOAT_BITS)
    counts[SHARED + SharedAction.ACTIVATION_READ] += gemm[G_ACTIVATION] * scale * activation_bits
    weight_reads = gemm[G_WEIGHT] * scale
    packed = op.stationary == Stationary.TERNARY or op.stationary == Stationary.DENSE
    if op.stationary == Stationary.CACHE:
        counts[SHARED + SharedAction.ACTIVATION_READ] += weight_reads * numerator
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += weights * 8 * scale
    elif packed and machine.decoder == Decoder.DRAM:
        decoded = weights * 8 * denominator // numerator * scale
        counts[role * UNIT_ACTIONS + UnitAction.DECODE] += decoded
        counts[SHARED + SharedAction.WEIGHT_WRITE] += decoded * unit.weight_bits
        counts[SHARED + SharedAction.WEIGHT_READ] += weight_reads * unit.weight_bits
    else:
        if packed and machine.decoder == Decoder.SRAM:
            counts[role * UNIT_ACTIONS + UnitAction.DECODE] += weight_reads
        counts[SHARED + SharedAction.WEIGHT_WRITE] += weights * 8 * scale
        counts[SHARED + SharedAction.WEIGHT_READ] += weight_reads * numerator // denominator
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += inputs * 8 * scale
    partial_bits = gemm[G_PARTIAL] * scale * unit.accumulator_bits
    counts[SHARED + SharedAction.OUTPUT_READ] += partial_bits
    counts[SHARED + SharedAction.OUTPUT_WRITE] += partial_bits
    counts[SHARED + SharedAction.DRAM_READ] += bursts(weights + inputs, machine.burst) * scale
    counts[SHARED + SharedAction.DRAM_WRITE] += bursts(outputs, machine.burst) * scale


@kernel
def count_results(op, unit, machine, m, n, scale, counts):
    """Count how finished sums leave: scaled on the drain, converted, or as accumulators."""
    results = m * n * scale
    final_bits = machine.activation_bits
    if op.activation_bits == 8 and machine.scale_on_drain == 1:
        counts[SHARED + SharedAction.DRAIN_DEQUANTISE] += results
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += results * final_bits
    elif op.activation_bits == 8:
        counts[SHARED + SharedAction.OUTPUT_WRITE] += results * unit.accumulator_bits
    else:
        counts[SHARED + SharedAction.VECTOR_CONVERT] += results
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += results * final_bits
