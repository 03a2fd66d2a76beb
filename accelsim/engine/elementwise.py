"""Operators of the vector unit: norms, softmax, casts, elementwise functions."""

from __future__ import annotations

from accelsim.engine.columns import BUSY_MEMORY, BUSY_VECTOR, EXPOSED_VECTOR, MEMORY
from accelsim.engine.matrix import shape_of
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    ceil_div,
    fetched,
    layer_instances,
    overlapped,
    prefetchable,
    spilled,
)
from accelsim.hardware.actions import SHARED, SharedAction
from accelsim.hardware.design import Resident
from accelsim.hardware.vector import PRIMITIVES, Primitive
from accelsim.kernels import inner_kernel
from accelsim.trace import Kind


@inner_kernel
def elementwise(op, machine, unit, layers, passes, kept, totals, lead, recipes, cycles, counts):
    """Evaluate an operator of the vector unit; return the lead it leaves to the next one."""
    recipe = recipes[op.kind]
    group = layer_instances(op, layers, passes)
    groups = op.repeat // group
    free = op.kind == Kind.DEQUANTISE and machine.scale_on_drain == 1
    hidden = free or (op.kind == Kind.ABSMAX and machine.absmax_on_write == 1)
    left = 0
    for member in range(op.series_count):
        m, _, n = shape_of(op, member)
        elements = m * (m + 1) // 2 if op.causal == 1 else m * n
        table = _table_bytes(op, machine, kept, totals, m, n)
        inputs, outputs = 0, 0
        if not hidden:
            inputs, outputs = _spilled_elements(op, machine, recipe, elements, group)
            outputs += _cache_bytes(op, machine, kept, totals, elements)
        busy = _busy_cycles(op, machine, recipe, elements, free, hidden)
        moved = bursts(table + inputs, machine.burst) + bursts(outputs, machine.burst)
        early = prefetchable(op, machine, table) if op.kind == Kind.RMSNORM else 0
        total, transfer, left = overlapped(busy * group, moved * group, 0, early, lead, machine)
        cycles[EXPOSED_VECTOR] += busy * op.repeat
        cycles[MEMORY] += total * groups - busy * op.repeat
        cycles[BUSY_VECTOR] += busy * op.repeat
        cycles[BUSY_MEMORY] += transfer * groups
        counts[SHARED + SharedAction.ACTIVATION_WRITE] += inputs * 8 * op.repeat
        counts[SHARED + SharedAction.ACTIVATION_READ] += outputs * 8 * op.repeat
        counts[SHARED + SharedAction.WEIGHT_WRITE] += table * 8 * op.repeat
        reads = bursts(table + inputs, machine.burst) * op.repeat
        counts[SHARED + SharedAction.DRAM_READ] += reads
        counts[SHARED + SharedAction.DRAM_WRITE] += bursts(outputs, machine.burst) * op.repeat
        if not free:
            counts[SHARED + SharedAction.INSTRUCTION] += recipe[2 * PRIMITIVES + 2] * op.repeat
            _count_primitives(op, recipe, elements, counts)
        if not hidden:
            _count_buffers(op, machine, unit, recipe, elements, counts)
    return left


@inner_kernel
def _busy_cycles(op, machine, recipe, elements, free, hidden):
    """Return vector cycles of one instance: issue slots over lanes, a pipeline fill per pass."""
    if free:
        return 0
    slots, passes = op.m * recipe[2 * PRIMITIVES + 1], 1
    if not hidden:
        slots += elements * recipe[2 * PRIMITIVES]
        passes = recipe[2 * PRIMITIVES + 2]
    return ceil_div(slots, machine.vector_lanes) + passes * machine.vector_latency


@inner_kernel
def _written_bits(op, machine, writes):
    """Return the bits written for each element, over all passes."""
    if op.kind == Kind.QUANTISE:
        return writes * 8
    if op.kind == Kind.KV_APPEND:
        return writes * machine.kv_bits
    return writes * machine.activation_bits


@inner_kernel
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


@inner_kernel
def _table_bytes(op, machine, kept, totals, m, n):
    """Return DRAM bytes of rows of the embedding, each in whole bursts, or of norm weights."""
    if op.kind == Kind.EMBEDDING:
        stored = m * bursts(bytes_of(n, machine.head_bits), machine.burst)
        return fetched(op, stored, kept, Resident.HEAD, totals)
    if op.kind == Kind.RMSNORM:
        return fetched(op, bytes_of(n, machine.norm_bits), kept, Resident.NORM, totals)
    return 0


@inner_kernel
def _cache_bytes(op, machine, kept, totals, elements):
    """Return bytes appended to the part of the cache that lives in DRAM."""
    if op.kind != Kind.KV_APPEND:
        return 0
    return fetched(op, bytes_of(elements, machine.kv_bits), kept, Resident.CACHE, totals)


@inner_kernel
def _spilled_elements(op, machine, recipe, elements, group):
    """Return bytes read from and written to DRAM because a layer's tensor does not fit SRAM.

    Every pass reads a spilled tensor again. Scores stay on chip, int32 sums come from the output
    buffer, and the cache has its own rule.
    """
    inputs, outputs = 0, 0
    if op.kind == Kind.SOFTMAX:
        return inputs, outputs
    tensor = bytes_of(elements, machine.activation_bits)
    if op.kind != Kind.DEQUANTISE and spilled(machine, tensor * group):
        inputs = tensor * recipe[2 * PRIMITIVES + 3]
    written = bytes_of(elements, _written_bits(op, machine, recipe[2 * PRIMITIVES + 4]))
    if op.kind != Kind.KV_APPEND and spilled(machine, written * group):
        outputs = written
    return inputs, outputs


@inner_kernel
def _count_primitives(op, recipe, elements, counts):
    for primitive in range(PRIMITIVES):
        count = elements * recipe[primitive] + op.m * recipe[PRIMITIVES + primitive]
        action = primitive
        if op.kind == Kind.ABSMAX and primitive == Primitive.COMPARE:
            action = SharedAction.SCALE_COMPARE
        counts[SHARED + action] += count * op.repeat
