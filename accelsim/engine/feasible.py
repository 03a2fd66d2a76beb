"""Rules that span fields, a network and a technology: what a design must satisfy to run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from accelsim.engine.residency import class_bytes
from accelsim.formats import lookup_packing
from accelsim.hardware.characterised import single_cycle_delay
from accelsim.hardware.design import (
    ARRAY,
    MAC,
    UNIT_CODES,
    VECTOR,
    Decoder,
    Designs,
    Family,
    Organisation,
    unit_pe,
)
from accelsim.hardware.memory import dram_prices
from accelsim.hardware.rules import Rule
from accelsim.hardware.technology import Technology
from accelsim.trace import Kind, Stationary, Trace

INT8_PEAK = 127  # |int8 code|: absmax quantisation never gives -128


def check_design(
    designs: Designs, index: int, trace: Trace, technology: Technology, file: object
) -> None:
    """Refuse a design that cannot run ``trace``; the UserError names file and key."""
    one = slice(index, index + 1)
    family = Family(designs.configs[index], designs.units[one], designs.machines[one])
    dram_prices(technology, family.config.dram.kind, file=file)
    for rule in run_rules(family, trace, technology):
        rule.demand(0, file)


def run_rules(family: Family, trace: Trace, technology: Technology) -> Iterator[Rule]:
    """Yield the rules that designs must obey to run ``trace`` at the prices of a technology."""
    yield from _clock_rules(family, technology)
    yield from _form_rules(family, trace)
    yield _accumulator_rule(family, trace)
    yield from _tile_rules(family)
    yield _capacity_rule(family, trace)


def _clock_rules(family: Family, technology: Technology) -> Iterator[Rule]:
    """A PE of single-cycle delay d, cut into L stages, clocks at L / d at best."""
    for code, key in ((ARRAY, "array"), (MAC, "mac")):
        pe, wiring = unit_pe(family.config, code), getattr(family.config, key)
        delay = single_cycle_delay(technology, pe, wiring, family.units[:, code]) if pe else None
        if pe is None or delay is None:
            continue
        latency = family.units[:, code]["latency"]
        best = latency * 1e3 / delay
        clock = family.machines["clock_mhz"]

        def allowed(member: int, best: Any = best, latency: Any = latency) -> str:
            return f"allowed: up to {best[member]:.0f} at latency {latency[member]}"

        message = f"{key} PE {pe.name} does not reach this clock in {technology.name}"
        yield Rule("clock_mhz", message, clock <= best, clock, allowed)


def _form_rules(family: Family, trace: Trace) -> Iterator[Rule]:
    pe = unit_pe(family.config, ARRAY)
    assert pe is not None
    dense = bool(np.any(trace.operators["stationary"] == Stationary.DENSE))
    yield Rule(
        "array.pe",
        f"PE {pe.name} cannot run {trace.network}, whose weights are not ternary",
        pe.float_sum or not dense,
        pe.name,
        "allowed: a floating PE",
    )
    packing = lookup_packing(family.config.weights.packing)
    yield Rule(
        "weights.packing",
        f"packing holds ternary weights only, {trace.network} has others",
        not (dense and packing.ternary_only),
        packing.name,
        "allowed: fp16, bf16",
    )


def sum_bits(trace: Trace) -> int:
    """Return the signed bits that hold every integer sum of a trace in any order of addition.

    From the observed sum |code * weight|; where that was not asked for, from the observed sum
    |code|; from the largest code where nothing was observed.
    """
    o = trace.operators
    largest = INT8_PEAK * o["k"]
    for observed in ("activation_sum", "accumulator_bound"):
        largest = np.where(o[observed] >= 0, o[observed], largest)
    return int(np.max(largest[o["kind"] == Kind.GEMM], initial=0)).bit_length() + 1


def _accumulator_rule(family: Family, trace: Trace) -> Rule:
    """An integer accumulator that must not overflow holds every sum in any order of addition."""
    pe = unit_pe(family.config, ARRAY)
    assert pe is not None
    bits, needed = family.units[:, ARRAY]["accumulator_bits"], sum_bits(trace)
    free = pe.float_sum or family.config.array.accumulator.overflow != "error"
    return Rule(
        "array.accumulator.bits",
        f"accumulator is too narrow for {trace.network}",
        True if free else bits >= needed,
        bits,
        f"allowed: at least {needed}, or overflow: wrap or saturate",
    )


def _tile_rules(family: Family) -> Iterator[Rule]:
    """Two tiles of each operand fit its streaming buffer, those of sums the output buffer."""
    placement = family.config.placement
    used = {ARRAY, UNIT_CODES[placement.attention], UNIT_CODES[placement.lm_head]} - {VECTOR}
    for code in sorted(used):
        for buffer, key, bits in _tile_bits(family, code):
            needed = 2 * -(-bits // 8)
            room = family.machines[f"{buffer}_stream"]

            def allowed(member: int, needed: Any = needed) -> str:
                return f"allowed: at least {-(-needed[member] // 1024)}"

            message = f"cannot hold two tiles of the {('array', 'mac')[code]}"
            key = f"sram.{buffer}.{key}"
            yield Rule(key, message, needed <= room, room // 1024, allowed)


def _tile_bits(family: Family, code: int) -> Iterator[tuple[str, str, Any]]:
    """Yield buffer, key and bits [G] of a tile: a held operand whole, a streamed one by words."""
    unit, machines = family.units[:, code], family.machines
    rows, cols, lanes = (unit[name] for name in ("rows", "cols", "lanes"))
    pes = rows * cols * lanes
    activations, weights, sums = rows * lanes, cols * lanes, rows * cols
    if unit["organisation"][0] == Organisation.SYSTOLIC_WS:
        weights, sums = pes, cols
    elif unit["organisation"][0] == Organisation.SYSTOLIC_IS:
        activations, weights, sums = pes, rows, cols
    widest = np.maximum(machines["head_bits"], machines["kv_bits"])
    if code == ARRAY:
        widest = -(-machines["packing_numerator"] // machines["packing_denominator"])
        if machines["decoder"][0] == Decoder.DRAM:
            widest = machines["unpacked_bits"]
    yield "weight", "stream_kib", weights * widest
    yield "activation", "stream_kib", activations * unit["activation_bits"]
    yield "output", "capacity_kib", sums * unit["accumulator_bits"]


def _capacity_rule(family: Family, trace: Trace) -> Rule:
    needed = class_bytes(trace, family).sum(axis=1)
    machines = family.machines
    return Rule(
        "dram.capacity_gib",
        f"weights and KV cache of {trace.network} do not fit",
        needed <= machines["dram_capacity"],
        machines["dram_gib"],
        lambda member: f"allowed: at least {needed[member] / 2**30:.3g}",
    )
