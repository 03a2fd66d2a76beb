"""Results side by side: the waterfall, and what of a gain is format and what is arithmetic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from accelsim.result import PHASES, STEPS, Comparison, Gain, Result, WaterfallRow

# Energy by cause of uncertainty at value, low and high.
Causes = Mapping[str, tuple[float, float, float]]
WHOLE = "total"


def compare_results(results: Sequence[Result], hybrids: Mapping[str, Result]) -> Comparison:
    """Return the comparison of ``results`` with the first as baseline.

    Args:
        results: Two or more results on one workload.
        hybrids: By candidate name: the baseline fed with that candidate's packing.
    """
    baseline, *candidates = results
    waterfall = {
        name: {c.design: waterfall_rows(baseline, c, phase) for c in candidates}
        for phase, name in enumerate(PHASES)
    }
    gain = {c.design: split_gain(baseline, hybrids[c.design], c) for c in candidates}
    return Comparison(tuple(results), waterfall, gain)


def waterfall_rows(baseline: Result, candidate: Result, phase: int) -> tuple[WaterfallRow, ...]:
    """Return the cumulative steps of one phase; the last row is the whole energy."""
    rows = []
    for last, step in enumerate(STEPS):
        sides = [_causes_up_to(r, phase, last) for r in (baseline, candidate)]
        totals = [sum(c[0] for c in side.values()) for side in sides]
        low, value, high = ratio_interval(*sides)
        rows.append(WaterfallRow(step, totals[0] * 1e-12, totals[1] * 1e-12, value, low, high))
    return tuple(rows)


def split_gain(baseline: Result, hybrid: Result, candidate: Result) -> Gain:
    """Return the gain of ``candidate``; ``hybrid`` is the baseline with the candidate's format."""
    first, middle, last = (_energies(r) for r in (baseline, hybrid, candidate))
    return Gain(
        format={key: _ratio(first[key], middle[key]) for key in first},
        arithmetic={key: _ratio(middle[key], last[key]) for key in first},
        total={key: _ratio(first[key], last[key]) for key in first},
    )


def ratio_interval(baseline: Causes, candidate: Causes) -> tuple[float, float, float]:
    """Return (low, value, high) of baseline over candidate.

    Prices that are wrong for one cause are wrong on both sides: each cause moves to its low or
    high ends on both at once, the others stay; the interval is the extremes over all causes.
    """
    sides = (baseline, candidate)
    totals = [sum(c[0] for c in side.values()) for side in sides]
    value = _ratio(*totals)
    moved = [value]
    for cause in {*baseline, *candidate}:
        for bound in (1, 2):
            ends = []
            for side, total in zip(sides, totals, strict=True):
                span = side.get(cause, (0.0, 0.0, 0.0))
                ends.append(total - span[0] + span[bound])
            moved.append(_ratio(*ends))
    return min(moved), value, max(moved)


def _causes_up_to(result: Result, phase: int, last: int) -> dict[str, tuple[float, float, float]]:
    """Return energy by cause of all charges up to waterfall step ``last``."""
    inside = set(STEPS[: last + 1])
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for charge in result.charges:
        if charge.phase == phase and charge.step in inside:
            for i, energy in enumerate((charge.energy_pj, charge.low_pj, charge.high_pj)):
                sums[charge.price.because][i] += energy
    return {cause: (s[0], s[1], s[2]) for cause, s in sums.items()}


def _energies(result: Result) -> dict[str, float]:
    energies = {
        name: float(phase.energy_pj.sum())
        for name, phase in zip(PHASES, result.phases, strict=True)
    }
    return {**energies, WHOLE: sum(energies.values())}


def _ratio(numerator: float, denominator: float) -> float:
    """Return the quotient; 1 where both sides are empty, as in a phase that did not run."""
    if denominator == 0:
        return 1.0 if numerator == 0 else float("inf")
    return numerator / denominator
