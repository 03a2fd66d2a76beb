"""What moves between DRAM and SRAM, and how transfers overlap with compute."""

from __future__ import annotations

import numpy as np

from accelsim.hardware.design import Organisation, Resident
from accelsim.kernels import kernel
from accelsim.trace import Phase, Series, Stationary

HALF = 2  # double buffering: one half fills while the other is read


@kernel
def ceil_div(dividend: int, divisor: int) -> int:
    """Return the quotient rounded up; both at least 0, divisor at least 1."""
    return (dividend + divisor - 1) // divisor


@kernel
def bytes_of(elements: int, bits: int) -> int:
    """Return whole bytes that hold ``elements`` of ``bits``."""
    return (elements * bits + 7) // 8


@kernel
def bursts(count: int, burst: int) -> int:
    """Return ``count`` bytes in whole bursts."""
    return ceil_div(count, burst) * burst


@kernel
def stationary_bits(machine, stationary):
    """Return numerator and denominator of the bits a stored second operand takes."""
    if stationary == Stationary.TERNARY or stationary == Stationary.DENSE:
        return machine.packing_numerator, machine.packing_denominator
    if stationary == Stationary.HEAD:
        return machine.head_bits, 1
    if stationary == Stationary.CACHE:
        return machine.kv_bits, 1
    return machine.norm_bits, 1


@kernel
def _resident_class(stationary):
    if stationary == Stationary.HEAD:
        return Resident.HEAD
    if stationary == Stationary.CACHE:
        return Resident.CACHE
    if stationary == Stationary.NORM:
        return Resident.NORM
    return Resident.WEIGHTS


@kernel
def fetched(op, stored, kept, kept_class, total_class):
    """Return bytes of ``stored`` that come from DRAM: all of them while SRAM is cold."""
    if op.phase == Phase.PREFILL or total_class == 0:
        return stored
    return stored - stored * kept_class // total_class


@kernel
def layer_instances(op, layers, passes):
    """Return how many instances make up one layer's tensor in one pass (heads, sequences)."""
    per_pass = op.repeat if op.series != Series.NONE else op.repeat // passes
    return max(per_pass // layers if op.in_layer == 1 else per_pass, 1)


@kernel
def spilled(machine, layer_bytes):
    """Whether a tensor of a layer is too large for the streaming part of the activation SRAM."""
    return layer_bytes > machine.activation_stream


@kernel
def pair_time(compute, dram_bytes, first_bytes, credit, rate, cycles):
    """Return (total cycles, DRAM cycles) of an instance whose transfers overlap its compute.

    ``first_bytes`` have to arrive before compute starts; ``credit`` cycles of transfer were done
    ahead, while the operator before left the DRAM idle.
    """
    transfer = int(np.ceil(dram_bytes / rate))
    ahead = min(credit, transfer)
    wait = max(int(np.ceil(first_bytes / rate)) - ahead, 0)
    return max(compute + wait, transfer - ahead), transfer


@kernel
def stored_of_instance(op, machine, kept, totals, passes, k, n):
    """Return DRAM bytes of one instance's second operand, residents and sharing taken off.

    Attention over keys just computed reads them from the activation SRAM where a layer's cache
    fits; heads that share a kv head share its transfer.
    """
    numerator, denominator = stationary_bits(machine, op.stationary)
    stored = (k * n * numerator + 8 * denominator - 1) // (8 * denominator)
    group = _resident_class(op.stationary)
    if op.stationary == Stationary.CACHE and op.phase == Phase.PREFILL:
        layer = stored * max(op.distinct, 1)
        if not spilled(machine, layer):
            return 0
    sharing = max(op.repeat * op.series_count // passes // max(op.distinct, 1), 1)
    return ceil_div(fetched(op, stored, kept, kept[group], totals[group]), sharing)


@kernel
def dram_of_gemm(op, unit, machine, stored, inputs, m, k, n):
    """Return (weight bytes, activation bytes) one instance reads from DRAM.

    Activations that fit stay on chip and each weight comes once, provided that the column block in
    use fits half of the weight stream; else it comes again for each row of folds. Spilled
    activations and weights are looped over in the order that moves fewer bytes.
    """
    if stored == 0:
        return 0, inputs
    half_weight = max(machine.weight_stream // HALF, 1)
    if inputs == 0:
        again = 1
        if unit.organisation == Organisation.SYSTOLIC_OS or unit.organisation == Organisation.DOT:
            block = ceil_div(stored, ceil_div(n, unit.cols))
            if block > half_weight and stored > half_weight:
                again = ceil_div(m, unit.rows)
        return stored * again, 0
    half_activation = max(machine.activation_stream // HALF, 1)
    weights_again = stored * ceil_div(inputs, half_activation)
    inputs_again = inputs * ceil_div(stored, half_weight)
    if weights_again + inputs <= stored + inputs_again:
        return weights_again, inputs
    return stored, inputs_again


@kernel
def first_tile(unit, dram_bytes, k, n):
    """Return the bytes of the first weight tile, which must arrive before the first step."""
    tiles = ceil_div(n, unit.cols)
    if unit.organisation == Organisation.SYSTOLIC_WS:
        tiles *= ceil_div(k, unit.rows)
    elif unit.organisation == Organisation.SYSTOLIC_IS:
        tiles = n
    return ceil_div(dram_bytes, tiles)
