"""Operators of the vector unit: norms, softmax, casts, elementwise functions."""

from __future__ import annotations

from accelsim.engine.columns import (
    BUSY_MEMORY,
    BUSY_VECTOR,
    EXPOSED_VECTOR,
    F_COMPUTE,
    F_ELAPSED,
    F_TRANSFER,
    F_WEIGHTS,
    MEMORY,
)
from accelsim.engine.counts import count_dram
from accelsim.engine.dimensions import ZERO
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    carried,
    ceil_div,
    fetched,
    prefetchable,
    spilled,
    sum_of_ceils,
)
from accelsim.hardware.actions import SHARED, SharedAction
from accelsim.hardware.design import Resident
from accelsim.kernels import inlined_kernel
from accelsim.trace import Kind


@inlined_kernel
def elementwise(op, machine, unit, lead, cycles, counts):
    """Evaluate an operator of the vector unit; return its cycles and the lead it leaves.

    Its primitives are the same on every design: ``work.standing_counts`` has them.
    """
    free = op.kind == Kind.DEQUANTISE and machine.scale_on_drain == 1
    hidden = free or (op.kind == Kind.ABSMAX and machine.absmax_on_write == 1)
    if op.kind == Kind.SOFTMAX:
        flow, left = _softmax(op, machine), 0
    else:
        flow, left = _rows(op, machine, lead, free, hidden)
    elapsed = flow[F_ELAPSED] * op.groups
    cycles[EXPOSED_VECTOR] += flow[F_COMPUTE] * op.repeat
    cycles[MEMORY] += elapsed - flow[F_COMPUTE] * op.repeat
    cycles[BUSY_VECTOR] += flow[F_COMPUTE] * op.repeat
    cycles[BUSY_MEMORY] += flow[F_TRANSFER] * op.groups
    counts[SHARED + SharedAction.WEIGHT_WRITE] += flow[F_WEIGHTS] * 8 * op.repeat
    count_dram(flow, op.repeat, counts)
    if not hidden:
        _count_buffers(op, machine, unit, counts)
    return elapsed, left


@inlined_kernel
def _rows(op, machine, lead, free, hidden):
    """Return what an instance of m rows transfers, and the lead it leaves."""
    table = _table_bytes(op, machine)
    inputs, outputs = 0, 0
    if not hidden:
        inputs, outputs = _spilled_elements(op, machine)
        outputs += _cache_bytes(op, machine)
    busy = _busy_cycles(op, machine, free, hidden)
    early = prefetchable(op, machine, table) if op.kind == Kind.RMSNORM else 0
    return carried(op, machine, busy, table, inputs, outputs, ZERO, early, lead)


@inlined_kernel
def _softmax(op, machine):
    """Return the flow of one instance of each member. Scores stay on chip."""
    first, step = op.m * op.n, op.m * op.series_step
    if op.causal == 1:
        first = op.m * (op.m + 1) // 2
    slots, count = first * op.slots + op.m * op.row_slots, op.series_count
    busy = sum_of_ceils(slots, step * op.slots, count, machine.vector_lanes)
    busy += count * op.passes * machine.vector_latency
    return ZERO, ZERO, ZERO, ZERO, ZERO, busy, ZERO, busy * op.group


@inlined_kernel
def _busy_cycles(op, machine, free, hidden):
    """Return vector cycles of one instance: issue slots over lanes, a pipeline fill per pass."""
    if free:
        return 0
    slots, passes = op.m * op.row_slots, 1
    if not hidden:
        slots += op.elements * op.slots
        passes = op.passes
    return ceil_div(slots, machine.vector_lanes) + passes * machine.vector_latency


@inlined_kernel
def _written_bits(op, machine):
    """Return the bits written for each element, over all passes."""
    if op.kind == Kind.QUANTISE:
        return op.writes * 8
    if op.kind == Kind.KV_APPEND:
        return op.writes * machine.kv_bits
    return op.writes * machine.activation_bits


@inlined_kernel
def _count_buffers(op, machine, unit, counts):
    """Count what the vector unit reads from and writes to the SRAMs."""
    repeated = op.elements * op.repeat
    if op.kind == Kind.DEQUANTISE:
        counts[SHARED + SharedAction.OUTPUT_READ] += repeated * op.reads * unit.accumulator_bits
    else:
        activation_reads = repeated * op.reads * machine.activation_bits
        counts[SHARED + SharedAction.ACTIVATION_READ] += activation_reads
    written = repeated * _written_bits(op, machine)
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += written
    if op.kind == Kind.RMSNORM:
        counts[SHARED + SharedAction.WEIGHT_READ] += repeated * machine.norm_bits
    elif op.kind == Kind.EMBEDDING:
        counts[SHARED + SharedAction.WEIGHT_READ] += repeated * machine.head_bits


@inlined_kernel
def _table_bytes(op, machine):
    """Return DRAM bytes of rows of the embedding, each in whole bursts, or of norm weights."""
    if op.kind == Kind.EMBEDDING:
        stored = op.m * bursts(bytes_of(op.n, machine.head_bits), machine.burst)
        return fetched(op, stored, machine, Resident.HEAD)
    if op.kind == Kind.RMSNORM:
        return fetched(op, bytes_of(op.n, machine.norm_bits), machine, Resident.NORM)
    return 0


@inlined_kernel
def _cache_bytes(op, machine):
    """Return bytes appended to the part of the cache that lives in DRAM."""
    if op.kind != Kind.KV_APPEND:
        return 0
    return fetched(op, bytes_of(op.elements, machine.kv_bits), machine, Resident.CACHE)


@inlined_kernel
def _spilled_elements(op, machine):
    """Return bytes read from and written to DRAM because a layer's tensor does not fit SRAM.

    Every pass reads a spilled tensor again. Int32 sums come from the output buffer, and the cache
    has its own rule.
    """
    inputs, outputs = 0, 0
    tensor = bytes_of(op.elements, machine.activation_bits)
    if op.kind != Kind.DEQUANTISE and spilled(machine, tensor * op.group):
        inputs = tensor * op.reads
    written = bytes_of(op.elements, _written_bits(op, machine))
    if op.kind != Kind.KV_APPEND and spilled(machine, written * op.group):
        outputs = written
    return inputs, outputs
