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
from accelsim.hardware.vector import PRIMITIVES, Primitive
from accelsim.kernels import lean_kernel
from accelsim.trace import Kind


@lean_kernel
def elementwise(op, machine, unit, kept, totals, lead, recipes, cycles, counts):
    """Evaluate an operator of the vector unit; return its cycles and the lead it leaves."""
    recipe = recipes[op.kind]
    free = op.kind == Kind.DEQUANTISE and machine.scale_on_drain == 1
    hidden = free or (op.kind == Kind.ABSMAX and machine.absmax_on_write == 1)
    if op.kind == Kind.SOFTMAX:
        elements, flow = _softmax(op, machine, recipe)
        left = 0
    else:
        elements = op.m * op.n
        flow, left = _rows(op, machine, recipe, kept, totals, lead, free, hidden)
    scale, elapsed = op.repeat, flow[F_ELAPSED] * (op.repeat // op.group)
    cycles[EXPOSED_VECTOR] += flow[F_COMPUTE] * scale
    cycles[MEMORY] += elapsed - flow[F_COMPUTE] * scale
    cycles[BUSY_VECTOR] += flow[F_COMPUTE] * scale
    cycles[BUSY_MEMORY] += flow[F_TRANSFER] * (op.repeat // op.group)
    counts[SHARED + SharedAction.WEIGHT_WRITE] += flow[F_WEIGHTS] * 8 * scale
    count_dram(flow, scale, counts)
    if not free:
        passes = recipe[2 * PRIMITIVES + 2] * op.series_count
        counts[SHARED + SharedAction.INSTRUCTION] += passes * scale
        _count_primitives(op, recipe, elements, counts)
    if not hidden:
        _count_buffers(op, machine, unit, recipe, elements, counts)
    return elapsed, left


@lean_kernel
def _rows(op, machine, recipe, kept, totals, lead, free, hidden):
    """Return what an instance of m rows transfers, and the lead it leaves."""
    elements = op.m * op.n
    table = _table_bytes(op, machine, kept, totals)
    inputs, outputs = 0, 0
    if not hidden:
        inputs, outputs = _spilled_elements(op, machine, recipe, elements)
        outputs += _cache_bytes(op, machine, kept, totals, elements)
    busy = _busy_cycles(op, machine, recipe, elements, free, hidden)
    early = prefetchable(op, machine, table) if op.kind == Kind.RMSNORM else 0
    return carried(op, machine, busy, table, inputs, outputs, ZERO, early, lead)


@lean_kernel
def _softmax(op, machine, recipe):
    """Return elements and flow of one instance of each member. Scores stay on chip."""
    first, step = op.m * op.n, op.m * op.series_step
    if op.causal == 1:
        first = op.m * (op.m + 1) // 2
    slots = first * recipe[2 * PRIMITIVES] + op.m * recipe[2 * PRIMITIVES + 1]
    growth, count = step * recipe[2 * PRIMITIVES], op.series_count
    busy = sum_of_ceils(slots, growth, count, machine.vector_lanes)
    busy += count * recipe[2 * PRIMITIVES + 2] * machine.vector_latency
    elements = first * count + step * (count * (count - 1) // 2)
    return elements, (ZERO, ZERO, ZERO, ZERO, ZERO, busy, ZERO, busy * op.group)


@lean_kernel
def _busy_cycles(op, machine, recipe, elements, free, hidden):
    """Return vector cycles of one instance: issue slots over lanes, a pipeline fill per pass."""
    if free:
        return 0
    slots, passes = op.m * recipe[2 * PRIMITIVES + 1], 1
    if not hidden:
        slots += elements * recipe[2 * PRIMITIVES]
        passes = recipe[2 * PRIMITIVES + 2]
    return ceil_div(slots, machine.vector_lanes) + passes * machine.vector_latency


@lean_kernel
def _written_bits(op, machine, writes):
    """Return the bits written for each element, over all passes."""
    if op.kind == Kind.QUANTISE:
        return writes * 8
    if op.kind == Kind.KV_APPEND:
        return writes * machine.kv_bits
    return writes * machine.activation_bits


@lean_kernel
def _count_buffers(op, machine, unit, recipe, elements, counts):
    """Count what the vector unit reads from and writes to the SRAMs."""
    reads, writes = recipe[2 * PRIMITIVES + 3], recipe[2 * PRIMITIVES + 4]
    repeated = elements * op.repeat
    if op.kind == Kind.DEQUANTISE:
        counts[SHARED + SharedAction.OUTPUT_READ] += repeated * reads * unit.accumulator_bits
    else:
        activation_reads = repeated * reads * machine.activation_bits
        counts[SHARED + SharedAction.ACTIVATION_READ] += activation_reads
    written = repeated * _written_bits(op, machine, writes)
    counts[SHARED + SharedAction.ACTIVATION_WRITE] += written
    if op.kind == Kind.RMSNORM:
        counts[SHARED + SharedAction.WEIGHT_READ] += repeated * machine.norm_bits
    elif op.kind == Kind.EMBEDDING:
        counts[SHARED + SharedAction.WEIGHT_READ] += repeated * machine.head_bits


@lean_kernel
def _table_bytes(op, machine, kept, totals):
    """Return DRAM bytes of rows of the embedding, each in whole bursts, or of norm weights."""
    if op.kind == Kind.EMBEDDING:
        stored = op.m * bursts(bytes_of(op.n, machine.head_bits), machine.burst)
        return fetched(op, stored, kept, Resident.HEAD, totals)
    if op.kind == Kind.RMSNORM:
        return fetched(op, bytes_of(op.n, machine.norm_bits), kept, Resident.NORM, totals)
    return 0


@lean_kernel
def _cache_bytes(op, machine, kept, totals, elements):
    """Return bytes appended to the part of the cache that lives in DRAM."""
    if op.kind != Kind.KV_APPEND:
        return 0
    return fetched(op, bytes_of(elements, machine.kv_bits), kept, Resident.CACHE, totals)


@lean_kernel
def _spilled_elements(op, machine, recipe, elements):
    """Return bytes read from and written to DRAM because a layer's tensor does not fit SRAM.

    Every pass reads a spilled tensor again. Int32 sums come from the output buffer, and the cache
    has its own rule.
    """
    inputs, outputs = 0, 0
    tensor = bytes_of(elements, machine.activation_bits)
    if op.kind != Kind.DEQUANTISE and spilled(machine, tensor * op.group):
        inputs = tensor * recipe[2 * PRIMITIVES + 3]
    written = bytes_of(elements, _written_bits(op, machine, recipe[2 * PRIMITIVES + 4]))
    if op.kind != Kind.KV_APPEND and spilled(machine, written * op.group):
        outputs = written
    return inputs, outputs


@lean_kernel
def _count_primitives(op, recipe, elements, counts):
    """Count lane operations: ``elements`` over all members, and each member's m rows."""
    rows = op.m * op.series_count
    for primitive in range(PRIMITIVES):
        count = elements * recipe[primitive] + rows * recipe[PRIMITIVES + primitive]
        action = primitive
        if op.kind == Kind.ABSMAX and primitive == Primitive.COMPARE:
            action = SharedAction.SCALE_COMPARE
        counts[SHARED + action] += count * op.repeat
