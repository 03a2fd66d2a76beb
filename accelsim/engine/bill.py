"""Counts x prices -> energy: one bill per design, the same arithmetic for a run and a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.hardware.actions import COUNTERS, counter_names
from accelsim.hardware.bill import Distances, Line, Standing, energy_lines
from accelsim.hardware.floorplan import LOGIC, Floorplan, build_floorplan
from accelsim.hardware.prices import Price
from accelsim.hardware.technology import Technology
from accelsim.result import COMPONENTS, STEPS, AreaRow, Charge, PriceRow

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ARRAY_COMPONENTS = ("array", "accumulator", "operand_registers", "reduction")
MAC_COMPONENTS = ("attention", "lm_head")


@dataclass(frozen=True)
class Bill:
    """What a design charges.

    Attributes:
        lines: Every line; energies add up in this order.
        rates: pJ per count of each line at value, low and high, float64 [3, lines].
        component_rates: pJ per count, float64 [components, COUNTERS].
        area: The floor plan.
        notes: What a reader must know about it.
    """

    lines: tuple[Line, ...]
    rates: Floats
    component_rates: Floats
    area: tuple[AreaRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PricedPhase:
    """Energy of one phase in pJ; ``components`` and ``steps`` follow the tables in result.py."""

    charges: list[Charge]
    components: Floats
    steps: Floats
    low: float
    high: float
    causes: Mapping[str, tuple[float, float, float]]


def build_bill(config: DesignConfig, technology: Technology) -> Bill:
    """Price a design; raise UserError where a price is missing."""
    plan = build_floorplan(config, technology)
    pes = config.array.rows * config.array.cols
    mac_pes = config.mac.rows * config.mac.cols if config.mac else 1
    placed_mm2 = plan.placed_um2() * 1e-6
    distances = Distances(
        buffers_mm=float(np.sqrt(placed_mm2)) / 2,
        pitch_mm=(plan.pitch_mm(ARRAY_COMPONENTS, pes), plan.pitch_mm(MAC_COMPONENTS, mac_pes)),
    )
    standing = Standing(
        logic=(technology.price("leakage.logic"), plan.placed_um2(kind=LOGIC) * 1e-6),
        srams=tuple(sram.leakage for sram in plan.srams.values()),
        dram=(technology.price(f"dram.{config.dram.kind}.background"), config.dram.capacity_gib),
    )
    lines = energy_lines(config, technology, plan.srams, distances, standing)
    rates = np.array(
        [
            [line.quantity * float(getattr(line.price, bound)) for line in lines]
            for bound in ("value", "low", "high")
        ]
    )
    by_component = np.zeros((len(COMPONENTS), COUNTERS))
    for line, rate in zip(lines, rates[0], strict=True):
        by_component[COMPONENTS.index(line.component), line.counter] += rate
    return Bill(lines, rates, by_component, _area_rows(plan), ())


def without(bill: Bill, component: str) -> Bill:
    """Return a bill that leaves a component out, for work that never reaches it."""
    kept = [i for i, line in enumerate(bill.lines) if line.component != component]
    rates = bill.component_rates.copy()
    rates[COMPONENTS.index(component)] = 0
    return replace(
        bill,
        lines=tuple(bill.lines[i] for i in kept),
        rates=bill.rates[:, kept],
        component_rates=rates,
    )


def price_phase(bill: Bill, phase: int, counts: Integers) -> PricedPhase:
    """Return the energy of ``counts`` int64 [COUNTERS], line by line in the bill's order."""
    used = counts[[line.counter for line in bill.lines]]
    energy = used * bill.rates  # [3, lines]
    components, steps = np.zeros(len(COMPONENTS)), np.zeros(len(STEPS))
    causes: dict[str, list[float]] = {}
    names = counter_names()
    charges = []
    for index, line in enumerate(bill.lines):
        value, low, high = (float(e) for e in energy[:, index])
        components[COMPONENTS.index(line.component)] += value
        steps[STEPS.index(line.step)] += value
        cause = causes.setdefault(line.price.because, [0.0, 0.0, 0.0])
        for position, amount in enumerate((value, low, high)):
            cause[position] += amount
        if used[index]:
            charges.append(
                Charge(
                    phase,
                    names[line.counter],
                    line.component,
                    line.step,
                    float(used[index]),
                    line.quantity,
                    price_row(line.price),
                    value,
                    low,
                    high,
                )
            )
    return PricedPhase(
        charges,
        components,
        steps,
        float(sum(energy[1])),
        float(sum(energy[2])),
        {name: (c[0], c[1], c[2]) for name, c in causes.items()},
    )


def price_row(price: Price) -> PriceRow:
    """Return a price as reports show it."""
    return PriceRow(
        price.name,
        float(price.value),
        float(price.low),
        float(price.high),
        price.unit,
        price.how,
        price.source,
        price.because,
    )


def _area_rows(plan: Floorplan) -> tuple[AreaRow, ...]:
    """Placed area of each part; a low density makes a large part."""
    rows = []
    for part in plan.parts:
        shrink = plan.density if part.kind == LOGIC else None
        value, low, high = (
            part.count
            * float(getattr(part.price, bound))
            / (float(getattr(shrink, opposite)) if shrink else 1.0)
            for bound, opposite in (("value", "value"), ("low", "high"), ("high", "low"))
        )
        rows.append(
            AreaRow(part.component, part.name, part.count, price_row(part.price), value, low, high)
        )
    return tuple(rows)
