"""What moves between DRAM and SRAM, and how transfers overlap with compute."""

from __future__ import annotations

import numpy as np

from accelsim.engine.columns import (
    F_COMPUTE,
    F_ELAPSED,
    F_INPUTS,
    F_OUTPUTS,
    F_READ,
    F_TRANSFER,
    F_WEIGHTS,
    F_WRITTEN,
)
from accelsim.engine.mapping import Stays
from accelsim.hardware.design import Decoder, Resident
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Kind, Phase, Stationary

HALF = 2  # double buffering: one half fills while the other is read


@inlined_kernel
def ceil_div(dividend: int, divisor: int) -> int:
    """Return the quotient rounded up; both at least 0, divisor at least 1."""
    return (dividend + divisor - 1) // divisor


@inlined_kernel
def quotient(dividend: int, divisor: int, reciprocal: float) -> int:
    """Return ``dividend // divisor`` by the divisor's ``reciprocal``, rounded as it may be.

    Exact for a dividend of at least 0 and a quotient below 2**50: dividend, reciprocal and product
    are each off by 2**-53 of their size, so the first guess is off by less than one.
    """
    guess = int(dividend * reciprocal)
    rest = dividend - guess * divisor
    if rest < 0:
        return guess - 1
    return guess + 1 if rest >= divisor else guess


@lean_kernel
def sum_of_ceils(first: int, step: int, count: int, divisor: int) -> int:
    """Return the sum of ceil((first + i * step) / divisor) over i < count, all at least 0.

    Exact in logarithmic time: lattice points below a line, counted as in Euclid's algorithm by
    exchanging the axes (Graham, Knuth, Patashnik, Concrete Mathematics, section 3.5).
    """
    if count == 1:
        return (first + divisor - 1) // divisor
    total, offset = 0, first + divisor - 1
    while True:
        total += count * (count - 1) // 2 * (step // divisor) + count * (offset // divisor)
        step, offset = step % divisor, offset % divisor
        top = step * count + offset
        if top < divisor:
            return total
        count, offset = top // divisor, top % divisor
        step, divisor = divisor, step


@inlined_kernel
def bytes_of(elements: int, bits: int) -> int:
    """Return whole bytes that hold ``elements`` of ``bits``."""
    return (elements * bits + 7) // 8


@inlined_kernel
def bursts(count: int, burst: int) -> int:
    """Return ``count`` bytes in whole bursts."""
    if burst & (burst - 1) == 0:  # a power of two needs no division
        return (count + burst - 1) & -burst
    return ceil_div(count, burst) * burst


@inlined_kernel
def is_packed(op):
    """Whether the second operand lies in the design's packing of weights."""
    return op.stationary == Stationary.TERNARY or op.stationary == Stationary.DENSE


@inlined_kernel
def row_numerator(machine, k):
    """Return the bits of ``k`` packed weights of one output times the packing's denominator.

    As `formats.row_numerator`, which a test compares.
    """
    rest = k % machine.packing_block
    whole = k - rest
    if rest > 0 and machine.packing_rest_bits == 0:
        whole += machine.packing_block
    rest_bits = rest * machine.packing_rest_bits * machine.packing_denominator
    return whole * machine.packing_numerator + rest_bits


@inlined_kernel
def stationary_bits(op, machine):
    """Return numerator and denominator of the bits an element of a second operand takes.

    Of packed weights the mean over a row, without what a tensor has beside its codes.
    """
    if is_packed(op):
        if op.k % machine.packing_block == 0:
            return machine.packing_numerator, machine.packing_denominator
        return row_numerator(machine, op.k), machine.packing_denominator * op.k
    if op.stationary == Stationary.HEAD:
        return machine.head_bits, 1
    if op.stationary == Stationary.CACHE:
        return machine.kv_bits, 1
    return machine.norm_bits, 1


@inlined_kernel
def stored_bytes(op, machine, k, n):
    """Return the bytes of a whole second operand [n, k] in DRAM."""
    if is_packed(op):
        bits = ceil_div(n * row_numerator(machine, k), machine.packing_denominator)
        return bytes_of(1, bits + machine.packing_tensor_bits)
    bits, _ = stationary_bits(op, machine)
    return bytes_of(k * n, bits)


@inlined_kernel
def _resident_class(stationary):
    if stationary == Stationary.HEAD:
        return Resident.HEAD
    if stationary == Stationary.CACHE:
        return Resident.CACHE
    if stationary == Stationary.NORM:
        return Resident.NORM
    return Resident.WEIGHTS


@inlined_kernel
def activation_bits(op, machine):
    """Return the bits of a moving operand as it is stored: int8 codes, else the stored format."""
    return 8 if op.activation_bits == 8 else machine.activation_bits


@inlined_kernel
def sram_bytes(op, machine, stored):
    """Return what ``stored`` DRAM bytes take in SRAM: more where they are unpacked on arrival."""
    if is_packed(op) and machine.decoder == Decoder.DRAM:
        numerator, denominator = stationary_bits(op, machine)
        return ceil_div(stored * denominator * machine.unpacked_bits, numerator)
    return stored


@inlined_kernel
def fetched(op, stored, machine, group):
    """Return bytes of ``stored`` that come from DRAM.

    In prefill SRAM is cold: only the cache, which prefill itself computes, can be there.
    """
    cold = op.phase == Phase.PREFILL and group != Resident.CACHE
    if cold or machine.kept[group] == 0:
        return stored
    return stored - stored * machine.kept[group] // machine.totals[group]


@inlined_kernel
def spilled(machine, layer_bytes):
    """Whether a tensor of a layer is too large for the streaming part of the activation SRAM."""
    return layer_bytes > machine.activation_stream


@inlined_kernel
def spilled_activations(op, machine, per_layer, m, k, n):
    """Return bytes of an instance's input and output that live in DRAM.

    Scores and probabilities never do: attention consumes them block by block. Int32 sums that the
    vector unit has to scale leave the output buffer through it.
    """
    inputs, outputs = 0, 0
    if op.kind != Kind.ATTENTION_AV:
        size = bytes_of(m * k, activation_bits(op, machine))
        inputs = size if spilled(machine, size * per_layer) else 0
    scaled_later = op.activation_bits == 8 and machine.scale_on_drain == 0
    if op.kind != Kind.ATTENTION_QK and not scaled_later:
        size = bytes_of(m * n, machine.activation_bits)
        outputs = size if spilled(machine, size * per_layer) else 0
    return inputs, outputs


@inlined_kernel
def share_of(count: int, parts: int) -> int:
    """Return the quotient of bytes rounded up: exact below 2**53, sooner than ``ceil_div``."""
    return int(np.ceil(count / parts))


@inlined_kernel
def cycles_of(count, machine):
    """Return the cycles that DRAM takes for ``count`` bytes."""
    return int(np.ceil(count / machine.dram_bytes_per_cycle))


@inlined_kernel
def overlapped(compute, dram_bytes, first_bytes, early_bytes, lead, machine):
    """Return (total cycles, DRAM cycles, lead left to the next operator).

    Transfers run beside compute, which starts when ``first_bytes`` are there. ``lead`` cycles
    before its start the DRAM had nothing left to do for the operator before; it then fetched up to
    ``early_bytes`` of this one.
    """
    if dram_bytes == 0 and first_bytes == 0:
        return compute, 0, compute
    transfer, wait = cycles_of(dram_bytes, machine), cycles_of(first_bytes, machine)
    memory, early = transfer, min(early_bytes, dram_bytes)
    if early > 0:
        wait = max(wait - lead, cycles_of(max(first_bytes - early, 0), machine))
        memory = max(transfer - lead, cycles_of(dram_bytes - early, machine))
    total = max(compute + wait, memory)
    return total, transfer, total - memory


@inlined_kernel
def carried(op, machine, compute, weights, inputs, outputs, first, early, lead):
    """Return what an instance transfers, a tuple of ``F_`` columns, and the lead it leaves.

    Args:
        op: The trace row; instances of a layer and pass follow each other without a gap.
        machine: The machine.
        compute: Cycles of one instance.
        weights: Bytes of its second operand that come from DRAM.
        inputs: Bytes of its moving operand that do.
        outputs: Bytes of its results that go there.
        first: Bytes that must be there before it starts.
        early: Bytes that may come before its time.
        lead: Cycles that the DRAM had been idle before.
    """
    read, written = bursts(weights + inputs, machine.burst), bursts(outputs, machine.burst)
    elapsed, transfer, left = overlapped(
        compute * op.group, (read + written) * op.group, first, early, lead, machine
    )
    return (weights, inputs, outputs, read, written, compute, transfer, elapsed), left


@inlined_kernel
def nothing_carried():
    """Return a flow of zeros."""
    zero = np.int64(0)  # a literal would have every callee compiled again
    return zero, zero, zero, zero, zero, zero, zero, zero


@inlined_kernel
def joined(flow, other):
    """Return the sum of two tuples of ``F_`` columns."""
    return (
        flow[F_WEIGHTS] + other[F_WEIGHTS],
        flow[F_INPUTS] + other[F_INPUTS],
        flow[F_OUTPUTS] + other[F_OUTPUTS],
        flow[F_READ] + other[F_READ],
        flow[F_WRITTEN] + other[F_WRITTEN],
        flow[F_COMPUTE] + other[F_COMPUTE],
        flow[F_TRANSFER] + other[F_TRANSFER],
        flow[F_ELAPSED] + other[F_ELAPSED],
    )


@inlined_kernel
def prefetchable(op, machine, stored):
    """Return the DRAM bytes of a second operand that half of the weight stream takes early.

    The cache has no place there.
    """
    if op.stationary == Stationary.CACHE:
        return 0
    room = machine.weight_stream // HALF
    taken = sram_bytes(op, machine, stored)
    return stored if taken <= room else stored * room // taken


@inlined_kernel
def stored_of_instance(op, machine, k, n):
    """Return DRAM bytes of one instance's second operand, residents and sharing taken off.

    Attention over keys just computed reads them from the activation SRAM where a layer's keys (or
    values) of all sequences fit; query heads that share a kv head share its transfer.
    """
    stored = stored_bytes(op, machine, k, n)
    just_computed = op.stationary == Stationary.CACHE and op.phase == Phase.PREFILL
    if just_computed and not spilled(machine, stored * op.layer_operands):
        return 0
    read = fetched(op, stored, machine, _resident_class(op.stationary))
    return read if op.sharing == 1 else ceil_div(read, op.sharing)


@inlined_kernel
def half_stream(op, machine):
    """Return half of the buffer that a second operand streams through, in bytes."""
    room = machine.weight_stream
    if op.stationary == Stationary.CACHE:
        room = machine.activation_stream
    return max(room // HALF, 1)


@inlined_kernel
def holds_rows(machine, inputs, m_tile, m):
    """Whether half of the activation stream holds ``m_tile`` whole rows of a spilled operand."""
    half = max(machine.activation_stream // HALF, 1)
    return float(inputs) * float(m_tile) <= float(half) * float(m)


@inlined_kernel
def dram_of_tiles(mapping, machine, stored, inputs, m, n):
    """Return (weight bytes, activation bytes) one instance reads from DRAM in tiles of a mapping.

    An operand comes again for every tile of the dimension that it lacks, unless it stays.
    """
    rows, columns = ceil_div(m, mapping.m_tile), ceil_div(n, mapping.n_tile)
    if stored == 0:
        return 0, inputs
    if mapping.stays == Stays.WEIGHTS:
        return stored, inputs * columns
    if mapping.stays == Stays.ACTIVATIONS or holds_rows(machine, inputs, mapping.m_tile, m):
        columns = 1
    return stored * rows, inputs * columns


@inlined_kernel
def dram_of_gemm(op, machine, stored, inputs, times, pieces):
    """Return (weight bytes, activation bytes) one instance reads from DRAM.

    The array streams the weights ``times`` times. They come from DRAM once if one of their
    ``pieces`` fits half of the buffer and is used up before the next; else every time. Activations
    on chip (``inputs`` 0) move nothing. Spilled ones are looped over in the order that moves fewer
    bytes: activations once in parts, all weights for each; or weights once, activations for each.
    """
    if stored == 0:
        return 0, inputs
    half = half_stream(op, machine)
    held = sram_bytes(op, machine, stored)
    again = times if held > half * pieces else 1
    if inputs == 0:
        return stored * again, 0
    parts = ceil_div(inputs, max(machine.activation_stream // HALF, 1))
    activations_once = stored * max(parts, again)
    inputs_again = inputs * ceil_div(held, half)
    if again > 1 or activations_once + inputs <= stored + inputs_again:
        return activations_once, inputs
    return stored, inputs_again
