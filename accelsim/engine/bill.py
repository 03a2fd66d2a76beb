"""Counts x prices -> energy, over a family of designs: the same for a run and a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from accelsim.engine.pricing import add_lines
from accelsim.hardware.actions import COUNTERS, counter_names
from accelsim.hardware.bill import Line, energy_lines
from accelsim.hardware.design import Family
from accelsim.hardware.floorplan import Floorplan, build_floorplan
from accelsim.hardware.prices import Price
from accelsim.hardware.technology import Technology
from accelsim.result import COMPONENTS, STEPS, AreaRow, Charge, PriceRow

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BOUNDS = ("value", "low", "high")


@dataclass(frozen=True)
class Bill:
    """What a family of G designs charges.

    Attributes:
        lines: Every line; energies add up in this order.
        fixed: pJ per count of each line at value, low and high where all designs share it, else
            0, float64 [3, lines].
        rows: Which row of ``varying`` a line has, alone or with others, -1 where its rate is fixed,
            int64 [lines].
        varying: The rates that differ between designs, float64 [3, rows, G].
        plan: The floor plan behind it.
    """

    lines: tuple[Line, ...]
    fixed: Floats
    rows: Integers
    varying: Floats
    plan: Floorplan

    def rate(self, line: int, bound: int = 0) -> Floats:
        """Return pJ per count of a line at value (0), low (1) or high (2), [G]."""
        row = self.rows[line]
        rate = self.fixed[bound, line] if row < 0 else self.varying[bound, row]
        return np.broadcast_to(rate, self.plan.size)


@dataclass(frozen=True)
class Energy:
    """Energy of one phase in pJ, over a family of G designs.

    Attributes:
        components: float64 [components, G], at value; as in the tables of result.py.
        steps: float64 [steps, G], at value.
        low: float64 [G].
        high: float64 [G].
        causes: By cause of doubt: value, low and high, float64 [3, G].
    """

    components: Floats
    steps: Floats
    low: Floats
    high: Floats
    causes: Mapping[str, Floats]


def build_bill(family: Family, technology: Technology) -> Bill:
    """Price a family; raise UserError where a price is missing."""
    plan = build_floorplan(family, technology)
    lines = energy_lines(family, plan, technology)
    shared: dict[tuple[int, int], int] = {}  # rows, by what they are the product of
    rows = np.full(len(lines), -1)
    for index, line in enumerate(lines):
        if _varies(line):
            rows[index] = shared.setdefault((id(line.quantity), id(line.price)), len(shared))
    fixed = np.zeros((len(BOUNDS), len(lines)))
    varying = np.empty((len(BOUNDS), len(shared), plan.size))
    done = -1  # rows are new in ascending order
    for index, (line, row) in enumerate(zip(lines, rows.tolist(), strict=True)):
        for bound, name in enumerate(BOUNDS):
            if row < 0:
                fixed[bound, index : index + 1] = line.quantity * getattr(line.price, name)
            elif row > done:
                np.multiply(line.quantity, getattr(line.price, name), out=varying[bound, row])
        done = max(done, row)
    return Bill(lines, fixed, rows, varying, plan)


def _varies(line: Line) -> bool:
    """Whether designs of a family may differ in what a count of a line costs."""
    return any(isinstance(n, np.ndarray) and n.size > 1 for n in (line.quantity, line.price.value))


def without(bill: Bill, component: str) -> Bill:
    """Return a bill that leaves a component out, for work that never reaches it."""
    kept = [i for i, line in enumerate(bill.lines) if line.component != component]
    lines = tuple(bill.lines[i] for i in kept)
    return replace(bill, lines=lines, fixed=bill.fixed[:, kept], rows=bill.rows[kept])


def price_counts(bill: Bill, counts: Integers) -> Energy:
    """Return the energy of ``counts``, int64 [G, COUNTERS]; sums run in the bill's order."""
    sums = energy_sums(bill, 1)
    add_lines(  # type: ignore[no-untyped-call]
        bill_columns(bill), bill.fixed, bill.varying, counts, *(table[0] for table in sums)
    )
    return energies(bill, sums)[0]


def bill_columns(bill: Bill) -> Integers:
    """Return what kernels read of lines: counter, component, step, cause and row, [lines, 5]."""
    causes = causes_of(bill)
    rows = bill.rows.tolist()
    return np.array(
        [
            (
                line.counter,
                COMPONENTS.index(line.component),
                STEPS.index(line.step),
                causes.index(line.price.because),
                row,
            )
            for line, row in zip(bill.lines, rows, strict=True)
        ]
    )


def causes_of(bill: Bill) -> list[str]:
    """Return the causes of doubt of a bill, each once."""
    return list(dict.fromkeys(line.price.because for line in bill.lines))


def energy_sums(bill: Bill, phases: int) -> tuple[Floats, Floats, Floats]:
    """Return zeros to sum energy of some phases in: by component, step and cause (3 ends)."""
    size = bill.plan.size
    return (
        np.zeros((phases, len(COMPONENTS), size)),
        np.zeros((phases, len(STEPS), size)),
        np.zeros((phases, len(causes_of(bill)), len(BOUNDS), size)),
    )


def energies(bill: Bill, sums: tuple[Floats, Floats, Floats]) -> tuple[Energy, ...]:
    """Return the energy of each phase that was summed in ``energy_sums``."""
    found = []
    for components, steps, by_cause in zip(*sums, strict=True):
        low, high = (np.asarray(sum(by_cause[:, bound])) for bound in (1, 2))
        causes = dict(zip(causes_of(bill), by_cause, strict=True))
        found.append(Energy(components, steps, low, high, causes))
    return tuple(found)


def component_rates(bill: Bill, member: int) -> Floats:
    """Return pJ per count by component of one design, float64 [components, COUNTERS]."""
    rates = np.zeros((len(COMPONENTS), COUNTERS))
    for index, line in enumerate(bill.lines):
        rates[COMPONENTS.index(line.component), line.counter] += bill.rate(index)[member]
    return rates


def charges(bill: Bill, counts: Integers, phase: int, member: int) -> list[Charge]:
    """Return the lines of one design that were used, as a reader sees them."""
    names = counter_names()
    rows = []
    for index, line in enumerate(bill.lines):
        count = float(counts[member, line.counter])
        if count:
            ends = (bill.rate(index, bound)[member] for bound in range(len(BOUNDS)))
            value, low, high = (float(count * rate) for rate in ends)
            rows.append(
                Charge(
                    phase,
                    names[line.counter],
                    line.component,
                    line.step,
                    count,
                    _member(line.quantity, member),
                    price_row(line.price, member),
                    value,
                    low,
                    high,
                )
            )
    return rows


def area_rows(bill: Bill, member: int) -> tuple[AreaRow, ...]:
    """Return the floor plan of one design."""
    plan = bill.plan
    rows = []
    for part in plan.parts:
        value, low, high = (float(plan.part_um2(part, bound)[member]) for bound in BOUNDS)
        banks = plan.srams.get(part.name.removesuffix(" buffer"))
        name = part.name if banks is None else f"{part.name}, {int(banks.banks[member])} banks"
        rows.append(
            AreaRow(
                part.component,
                name,
                _member(part.count, member),
                price_row(part.price, member),
                value,
                low,
                high,
            )
        )
    return tuple(rows)


def price_row(price: Price, member: int) -> PriceRow:
    """Return a price of one design as reports show it."""
    value, low, high = (_member(getattr(price, bound), member) for bound in BOUNDS)
    return PriceRow(
        price.name, value, low, high, price.unit, price.how, price.source, price.because
    )


def _member(number: object, member: int) -> float:
    """Return one design's number; a family may share a single one."""
    numbers = np.ravel(np.asarray(number, dtype=np.float64))
    return float(numbers[member if numbers.size > 1 else 0])
