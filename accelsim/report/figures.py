"""Figures of one design, or of several side by side: energy, cycles, area, roofline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec

from matplotlib.axes import Axes

from accelsim.report.bars import design_legend, grouped, stacked
from accelsim.report.palette import CAUSE_FILLS, COMPONENT_FILLS, GROUP_FILLS, GROUPS, INK
from accelsim.report.quantities import digits, operator_name, plain_name, scale
from accelsim.report.roofline import roofline
from accelsim.report.style import (
    DOUBLE_COLUMN,
    Picture,
    bar_style,
    blank,
    drawing,
    legend_patch,
    quiet,
)
from accelsim.report.summary import JOULES_PER_PJ, MM2_PER_UM2, area_by_component
from accelsim.report.waterfall import (
    compare_waterfall,
    gain_figure,
    run_waterfall,
    waterfall_candidates,
)
from accelsim.result import COMPONENTS, PHASES, Comparison, OperatorRow, Result

P = ParamSpec("P")

SMALLEST_SHARE = 0.01  # a component below it in every bar joins "other"
MOST_ROWS = 12  # operators in one panel


def run_figures(result: Result) -> Iterator[Picture]:
    """Draw every figure of one design, one at a time."""
    several = (result,)
    yield _drawn(run_waterfall, result)
    yield _drawn(energy_by_component, several)
    yield _drawn(energy_by_operator, result)
    yield _drawn(cycles_by_operator, result)
    yield _drawn(area_figure, several)
    yield _drawn(roofline, several)


def compare_figures(comparison: Comparison) -> Iterator[Picture]:
    """Draw every figure of designs side by side, one at a time."""
    for candidate in waterfall_candidates(comparison):
        yield _drawn(compare_waterfall, comparison, candidate)
    if comparison.gain:
        yield _drawn(gain_figure, comparison)
    for draw in (energy_by_component, energy_by_kind, time_by_design, area_figure, roofline):
        yield _drawn(draw, comparison.results)


def _drawn(draw: Callable[P, Picture], *inputs: P.args, **options: P.kwargs) -> Picture:
    with drawing():
        return draw(*inputs, **options)


def energy_by_component(results: Sequence[Result]) -> Picture:
    """One stacked bar per phase and design: energy per token, whiskers from low to high."""
    phases = active_phases(results)
    height = 0.9 + len(phases) * (0.55 + 0.36 * len(results))
    figure, grid = blank(DOUBLE_COLUMN, height, rows=len(phases))
    shown = [_components(result, phase) for phase in phases for result in results]
    kept = [c for c in COMPONENTS if any(_share(bar, c) >= SMALLEST_SHARE for bar in shown)]
    for axes, phase in zip(grid[:, 0], phases, strict=True):
        _component_panel(axes, results, phase, kept)
    names = [*kept, "other"]
    figure.legend(
        handles=[legend_patch(COMPONENT_FILLS[name], plain_name(name)) for name in names],
        loc="outside lower center",
        ncols=min(6, len(names)),
    )
    caption = (
        "Energy per token by component, one panel per phase with its own scale. The whisker spans "
        "all prices at their low and at their high. Components below 1 % are merged in other."
    )
    return Picture("energy_by_component", "Energy by component", caption, figure)


def energy_by_operator(result: Result) -> Picture:
    """Energy per token of the largest operators, split by what it was spent on."""
    panels = {}
    for phase in active_phases((result,)):
        tokens = result.phases[phase].tokens
        rows = [
            (operator_name(row.name), [e / tokens for e in _grouped(row)])
            for row in _operators(result, phase)
        ]
        panels[phase] = _largest(rows)
    caption = (
        "Energy per token by operator, largest first, over all its instances. Dark is DRAM: where "
        "it dominates, the arithmetic of the array hardly matters."
    )
    figure = stacked(panels, GROUP_FILLS, "J")
    return Picture("energy_by_operator", "Energy by operator", caption, figure)


def cycles_by_operator(result: Result) -> Picture:
    """Cycles of the largest operators, split by cause."""
    panels = {
        phase: _largest(
            [
                (operator_name(row.name), [float(c) for c in row.cycles])
                for row in _operators(result, phase)
            ]
        )
        for phase in active_phases((result,))
    }
    caption = (
        "Where the cycles of each operator go: ideal work, PEs without work (spatial), fill, drain "
        "and dependencies (temporal), waiting for memory, and exposed vector work."
    )
    figure = stacked(panels, CAUSE_FILLS, "cycles")
    return Picture("cycles_by_operator", "Cycles by operator", caption, figure)


def time_by_design(results: Sequence[Result]) -> Picture:
    """Time per token of each design, split by the cause of its cycles, one panel per phase."""
    panels = {}
    for phase in active_phases(results):
        rows = []
        for result in results:
            cycles = result.phases[phase].cycles.tolist()
            second = result.clock_mhz * 1e6 * max(1, result.phases[phase].tokens)
            rows.append((result.design, [count / second for count in cycles]))
        panels[phase] = rows
    figure = stacked(panels, CAUSE_FILLS, "s", shares=False)
    caption = "Where the time of each design goes, per token at its own clock."
    return Picture("time_by_design", "Time by cause", caption, figure)


def energy_by_kind(results: Sequence[Result]) -> Picture:
    """Energy per token by operator kind, designs beside each other."""
    phases = active_phases(results)
    values = {phase: [_kinds(result, phase) for result in results] for phase in phases}
    kinds = _largest_kinds([bar for bars in values.values() for bar in bars])
    height = 0.9 + 0.26 * len(kinds) * max(1.0, 0.6 * len(results))
    figure, grid = blank(DOUBLE_COLUMN, height, cols=len(phases), sharey=True)
    for axes, phase in zip(grid[0], phases, strict=True):
        bars = []
        for bar in values[phase]:
            shown = [bar.get(kind, 0.0) for kind in kinds[:-1]]
            bars.append([*shown, sum(bar.values()) - sum(shown)])
        grouped(axes, [plain_name(k) for k in kinds], bars, "J", "energy per token")
        axes.set_title(PHASES[phase])
    design_legend(figure, results)
    caption = (
        "Energy per token by kind of operator. Time-shared energy goes by exposed cycles. Kinds "
        "below 1 % everywhere are merged in others."
    )
    return Picture("energy_by_kind", "Energy by kind of operator", caption, figure)


def _largest_kinds(bars: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the kinds that matter in some bar, largest first, then ``others``."""
    shares: dict[str, float] = {}
    for bar in bars:
        whole = sum(bar.values()) or 1.0
        for kind, joules in bar.items():
            shares[kind] = max(shares.get(kind, 0.0), joules / whole)
    kept = [kind for kind, share in shares.items() if share >= SMALLEST_SHARE]
    return [*sorted(kept, key=lambda kind: -shares[kind]), "others"]


def area_figure(results: Sequence[Result]) -> Picture:
    """Area by component with whiskers from low to high."""
    areas = [area_by_component(result) for result in results]
    names = list(dict.fromkeys(name for area in areas for name in area if name != "total"))
    names.sort(key=lambda name: -max(area.get(name, 0.0) for area in areas))
    height = 0.8 + 0.26 * len(names) * max(1.0, 0.6 * len(results))
    figure, grid = blank(DOUBLE_COLUMN, height)
    bars = [[area.get(name, 0.0) for name in names] for area in areas]
    limits = [[_area_interval(result, name) for name in names] for result in results]
    grouped(grid[0, 0], [plain_name(n) for n in names], bars, "mm²", "area", limits)
    if len(results) > 1:
        design_legend(figure, results)
    wholes = ", ".join(
        f"{result.design} {digits(area['total'])} mm²"
        for result, area in zip(results, areas, strict=True)
    )
    caption = f"Placed area by component, whiskers from low to high. In all: {wholes}."
    return Picture("area_by_component", "Area by component", caption, figure)


def active_phases(results: Sequence[Result]) -> list[int]:
    """Return the phases in which something ran."""
    return [i for i in range(len(PHASES)) if any(r.phases[i].tokens for r in results)]


def _operators(result: Result, phase: int) -> list[OperatorRow]:
    return [row for row in result.operators if row.phase == phase]


def _components(result: Result, phase: int) -> dict[str, float]:
    """Return joules per token by component; empty where no token ran."""
    totals = result.phases[phase]
    if not totals.tokens:
        return {}
    joules = totals.energy_pj * JOULES_PER_PJ / totals.tokens
    return dict(zip(COMPONENTS, joules.tolist(), strict=True))


def _share(bar: Mapping[str, float], component: str) -> float:
    whole = sum(bar.values())
    return bar[component] / whole if whole else 0.0


def _component_panel(
    axes: Axes, results: Sequence[Result], phase: int, kept: Sequence[str]
) -> None:
    highs = [r.phases[phase].energy_high_pj / max(1, r.phases[phase].tokens) for r in results]
    step, prefix = scale([high * JOULES_PER_PJ for high in highs])
    widest = max(highs) * JOULES_PER_PJ / step
    for y, result in enumerate(results):
        bar = _components(result, phase)
        merged = {**{c: bar.get(c, 0.0) for c in kept}}
        merged["other"] = sum(bar.values()) - sum(merged.values())
        left = 0.0
        for name, joules in merged.items():
            width = max(0.0, joules / step)
            axes.barh(y, width, left=left, height=0.62, **bar_style(COMPONENT_FILLS[name]))
            _inside(axes, left, width, y, name, joules / sum(bar.values() or [1]), widest)
            left += width
        _whisker(axes, y, result, phase, step)
    axes.set_yticks(range(len(results)), [r.design if len(results) > 1 else "" for r in results])
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.02)
    axes.set_xlabel(f"energy per token ({prefix}J)")
    axes.set_title(PHASES[phase])
    quiet(axes)


def _inside(
    axes: Axes, left: float, width: float, y: float, name: str, share: float, widest: float
) -> None:
    """Label a segment where its name and share fit."""
    fill = COMPONENT_FILLS[name]
    text = f"{plain_name(name)}\n{100 * share:.0f} %"
    longest = max(len(line) for line in text.split("\n"))
    if width / widest * 6.0 < 0.068 * longest + 0.08 or fill.hatch:
        return
    axes.text(
        left + width / 2, y, text, ha="center", va="center", fontsize=7, color=fill.label_colour
    )


def _whisker(axes: Axes, y: float, result: Result, phase: int, step: float) -> None:
    totals = result.phases[phase]
    if not totals.tokens:
        return
    factor = JOULES_PER_PJ / totals.tokens / step
    low, high = totals.energy_low_pj * factor, totals.energy_high_pj * factor
    value = float(totals.energy_pj.sum()) * factor
    errors = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.errorbar(value, y + 0.38, xerr=errors, color=INK, capsize=2, linewidth=0.8, fmt="none")


def _grouped(row: OperatorRow) -> list[float]:
    """Return joules of one operator by ``GROUP_FILLS``."""
    sums = dict.fromkeys(GROUP_FILLS, 0.0)
    for component, picojoules in zip(COMPONENTS, row.energy_pj.tolist(), strict=True):
        sums[GROUPS.get(component, "arithmetic")] += picojoules * JOULES_PER_PJ
    return list(sums.values())


def _largest(rows: list[tuple[str, list[float]]]) -> list[tuple[str, list[float]]]:
    """Return the largest rows, the rest merged in one."""
    ordered = sorted(rows, key=lambda row: -sum(row[1]))
    head, tail = ordered[:MOST_ROWS], ordered[MOST_ROWS:]
    if len(tail) == 1:
        return ordered
    merged = [sum(column) for column in zip(*(values for _, values in tail), strict=True)]
    return [*head, (f"{len(tail)} others", merged)] if tail else head


def _kinds(result: Result, phase: int) -> dict[str, float]:
    """Return joules per token by operator kind."""
    sums: dict[str, float] = {}
    for row in _operators(result, phase):
        joules = float(row.energy_pj.sum()) * JOULES_PER_PJ
        sums[row.kind] = sums.get(row.kind, 0.0) + joules / max(1, result.phases[phase].tokens)
    return sums


def _area_interval(result: Result, component: str) -> tuple[float, float]:
    rows = [row for row in result.area if row.component == component]
    return (
        sum(row.low_um2 for row in rows) * MM2_PER_UM2,
        sum(row.high_um2 for row in rows) * MM2_PER_UM2,
    )
