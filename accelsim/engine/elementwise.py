"""Operators of the vector unit: norms, softmax, casts, elementwise functions."""

from __future__ import annotations

from accelsim.engine.columns import BUSY_MEMORY, BUSY_VECTOR, EXPOSED_VECTOR, MEMORY
from accelsim.engine.transfers import (
    bursts,
    bytes_of,
    ceil_div,
    fetched,
    layer_instances,
    pair_time,
    spilled,
)
from accelsim.hardware.actions import SHARED, SharedAction
from accelsim.hardware.design import Resident
from accelsim.hardware.vector import PRIMITIVES, Primitive
from accelsim.kernels import kernel
from accelsim.trace import Kind, Series


@kernel
def elementwise(op, machine, unit, layers, passes, kept, totals, credit, recipes, cycles, counts):
    """Evaluate an operator of the vector unit; returns the DRAM-idle cycles of an instance."""
    recipe = recipes[op.kind]
    per_layer = layer_instances(op, layers, passes)
    free = op.kind == Kind.DEQUANTISE and machine.scale_on_drain == 1
    hidden = free or (op.kind == Kind.ABSMAX and machine.absmax_on_write == 1)
    idle = 0
    for member in range(op.series_count):
        n = op.n + (op.series_step * member if op.series == Series.N else 0)
        elements = op.m * n
        if op.causal == 1:
            elements = op.m * (op.m + 1) // 2
        read_bits, write_bits = _element_bits(op, machine, unit, recipe)
        scores = op.kind == Kind.SOFTMAX
        on_dram = not scores and spilled(
            machine, bytes_of(elements * per_layer, machine.activation_bits)
        )
        moved_in, moved_out = _elementwise_dram(
            op, machine, kept, totals, passes, n, elements, read_bits, write_bits, on_dram, hidden
        )
        slots = elements * recipe[2 * PRIMITIVES]
        slots += op.m * recipe[2 * PRIMITIVES + 1]
        busy = ceil_div(slots, machine.vector_lanes)
        busy += recipe[2 * PRIMITIVES + 2] * machine.vector_latency
        if free:
            busy = 0
        elif hidden:
            busy = ceil_div(op.m * recipe[2 * PRIMITIVES + 1], machine.vector_lanes)
            busy += machine.vector_latency
        moved = bursts(moved_in, machine.burst) + bursts(moved_out, machine.burst)
        total, transfer = pair_time(busy, moved, 0, credit, machine.dram_bytes_per_cycle, cycles)
        idle = max(total - transfer, 0)
        cycles[EXPOSED_VECTOR] += busy * op.repeat
        cycles[MEMORY] += (total - busy) * op.repeat
        cycles[BUSY_VECTOR] += busy * op.repeat
        cycles[BUSY_MEMORY] += transfer * op.repeat
        counts[SHARED + SharedAction.DRAM_READ] += bursts(moved_in, machine.burst) * op.repeat
        counts[SHARED + SharedAction.DRAM_WRITE] += bursts(moved_out, machine.burst) * op.repeat
        if not free:
            counts[SHARED + SharedAction.INSTRUCTION] += recipe[2 * PRIMITIVES + 2] * op.repeat
            _count_primitives(op, recipe, elements, counts)
        if not hidden:
            source = SharedAction.ACTIVATION_READ
            if op.kind == Kind.DEQUANTISE:
                source = SharedAction.OUTPUT_READ
            counts[SHARED + source] += elements * read_bits * op.repeat
            counts[SHARED + SharedAction.ACTIVATION_WRITE] += elements * write_bits * op.repeat
    return idle


@kernel
def _element_bits(op, machine, unit, recipe):
    """Return SRAM bits read and written for each element, over all passes."""
    reads, writes = recipe[2 * PRIMITIVES + 3], recipe[2 * PRIMITIVES + 4]
    read_bits = reads * machine.activation_bits
    write_bits = writes * machine.activation_bits
    if op.kind == Kind.DEQUANTISE:
        read_bits = reads * unit.accumulator_bits
    elif op.kind == Kind.QUANTISE:
        write_bits = writes * 8
    elif op.kind == Kind.KV_APPEND:
        write_bits = writes * machine.kv_bits
    return read_bits, write_bits


@kernel
def _elementwise_dram(
    op, machine, kept, totals, passes, n, elements, read_bits, write_bits, on_dram, hidden
):
    """Return DRAM bytes one instance reads and writes: tables, norm weights, cache, spills."""
    moved_in = 0
    moved_out = 0
    if op.kind == Kind.EMBEDDING:
        stored = bytes_of(elements, machine.head_bits)
        moved_in += fetched(op, stored, kept, kept[Resident.HEAD], totals[Resident.HEAD])
    elif op.kind == Kind.RMSNORM:
        stored = bytes_of(n, machine.norm_bits)
        moved_in += fetched(op, stored, kept, kept[Resident.NORM], totals[Resident.NORM])
    elif op.kind == Kind.KV_APPEND:
        total = max(totals[Resident.CACHE], 1)
        stored = bytes_of(elements, machine.kv_bits)
        moved_out += stored - stored * kept[Resident.CACHE] // total
    if on_dram and not hidden:
        if op.kind != Kind.EMBEDDING and op.kind != Kind.DEQUANTISE:
            moved_in += bytes_of(elements, read_bits)
        if op.kind != Kind.KV_APPEND and write_bits > 0:
            moved_out += bytes_of(elements, write_bits)
    return moved_in, moved_out


@kernel
def _count_primitives(op, recipe, elements, counts):
    for primitive in range(PRIMITIVES):
        count = elements * recipe[primitive] + op.m * recipe[PRIMITIVES + primitive]
        action = primitive
        if op.kind == Kind.ABSMAX and primitive == Primitive.COMPARE:
            action = SharedAction.SCALE_COMPARE
        counts[SHARED + action] += count * op.repeat
