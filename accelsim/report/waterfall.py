"""The waterfall of a run, baseline against candidate, and format against arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from accelsim.report.bars import beside
from accelsim.report.palette import ACCENT, GRID, INK, MUTED, P0, P1, P3, Fill
from accelsim.report.quantities import percent, quantity, scale, span, times
from accelsim.report.style import DOUBLE_COLUMN, Picture, bar_style, blank, legend_patch, quiet
from accelsim.report.summary import JOULES_PER_PJ
from accelsim.result import PHASES, STEPS, Comparison, Floats, Gain, Result, WaterfallRow

BASELINE, CANDIDATE = Fill(P0), Fill(ACCENT)
FORMAT, ARITHMETIC = Fill(P3, "////"), Fill(P1)


def run_waterfall(result: Result) -> Picture:
    """Energy per token of one design, step by step, one panel per phase."""
    phases = [i for i, phase in enumerate(result.phases) if phase.tokens]
    figure, grid = blank(DOUBLE_COLUMN, 2.9, cols=len(phases), sharey=True)
    for axes, phase in zip(grid[0], phases, strict=True):
        totals = result.phases[phase]
        _run_panel(axes, totals.waterfall_pj * JOULES_PER_PJ / totals.tokens)
        axes.set_title(PHASES[phase])
    caption = (
        "What the energy of one token is made of, added up from the arithmetic of the linear "
        "layers to everything else. Each bar starts where the previous one ended; the last row "
        "is the whole."
    )
    return Picture("waterfall", "Energy waterfall", caption, figure)


def _run_panel(axes: Axes, joules: Floats) -> None:
    step, prefix = scale([float(joules.sum())])
    widths = joules / step
    ends = np.cumsum(widths)
    places = np.arange(len(STEPS))
    axes.barh(places, ends - widths, height=0.68, color=GRID, edgecolor="none")
    axes.barh(places, widths, left=ends - widths, height=0.68, **bar_style(Fill(P1)))
    axes.barh(len(STEPS), ends[-1], height=0.68, **bar_style(Fill(P0)))
    for place, (end, part) in enumerate(zip(ends, joules, strict=True)):
        beside(axes, end, place, f"{quantity(part, 'J')}, {percent(part / joules.sum())}")
    beside(axes, ends[-1], len(STEPS), quantity(float(joules.sum()), "J"))
    axes.set_yticks(range(len(STEPS) + 1), [*STEPS, "total"])
    axes.set_ylim(len(STEPS) + 0.6, -0.6)
    axes.set_xlim(0, ends[-1] * 1.45)
    axes.set_xlabel(f"energy per token ({prefix}J)")
    quiet(axes)


def waterfall_candidates(comparison: Comparison) -> list[str]:
    """Return the candidates that have a waterfall, in order."""
    return list(dict.fromkeys(name for by in comparison.waterfall.values() for name in by))


def compare_waterfall(comparison: Comparison, candidate: str) -> Picture:
    """Draw baseline and candidate step by step, with the ratio after each step."""
    baseline = comparison.results[0]
    phases = [
        (i, rows)
        for i, phase in enumerate(PHASES)
        if (rows := comparison.waterfall.get(phase, {}).get(candidate))
        and baseline.phases[i].tokens
    ]
    figure, grid = blank(DOUBLE_COLUMN, 3.9, cols=max(1, len(phases)), sharey=True)
    for axes, (i, rows) in zip(grid[0], phases, strict=False):
        _compare_panel(axes, rows, baseline.phases[i].tokens)
        axes.set_title(PHASES[i])
    labels = ((BASELINE, baseline.design), (CANDIDATE, candidate))
    handles = [legend_patch(fill, name) for fill, name in labels]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    caption = (
        f"Energy per token of {baseline.design} and {candidate}, added up step by step. The "
        "column gives baseline over candidate of everything counted so far, and its interval: "
        "how the headline ratio of the first row changes until everything is counted."
    )
    candidates = waterfall_candidates(comparison)
    number = "" if len(candidates) == 1 else f"_{candidates.index(candidate) + 1}"
    return Picture(f"waterfall{number}", f"Waterfall: {candidate}", caption, figure)


def _compare_panel(axes: Axes, rows: Sequence[WaterfallRow], tokens: int) -> None:
    largest = max(max(row.baseline_j, row.candidate_j) for row in rows) / tokens
    step, prefix = scale([largest])
    for offset, fill, ends in (
        (-0.2, BASELINE, [row.baseline_j / tokens / step for row in rows]),
        (0.2, CANDIDATE, [row.candidate_j / tokens / step for row in rows]),
    ):
        starts = np.array([0.0, *ends[:-1]])
        places = np.arange(len(rows)) + offset
        axes.barh(places, starts, height=0.36, color=GRID, edgecolor="none")
        axes.barh(places, np.array(ends) - starts, left=starts, height=0.36, **bar_style(fill))
    right = largest / step * 1.06
    for place, row in enumerate(rows):
        axes.text(right, place, _ratio_text(row), va="center", fontsize=7, color=INK)
    axes.text(right, -0.85, "ratio so far", fontsize=7, va="bottom", color=MUTED)
    axes.set_yticks(range(len(rows)), [row.step for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_xlim(0, right * 1.5)
    ticks = [t for t in axes.get_xticks() if t <= largest / step * 1.02]
    axes.set_xticks(ticks)
    axes.set_xlabel(f"energy per token, cumulative ({prefix}J)", loc="left")
    quiet(axes)


def _ratio_text(row: WaterfallRow) -> str:
    if not np.isfinite(row.ratio):
        return times(row.ratio)
    return f"{times(row.ratio)} ({span(row.ratio_low, row.ratio_high)})"


def gain_figure(comparison: Comparison) -> Picture:
    """Split each candidate's gain in what the format gives and what the arithmetic gives."""
    rows = [
        (f"{candidate}\n{key}" if len(comparison.gain) > 1 else _key_name(key), gain, key)
        for candidate, gain in comparison.gain.items()
        for key in ("total", *PHASES)
        if all(_usable(part.get(key)) for part in (gain.format, gain.arithmetic, gain.total))
    ]
    figure, grid = blank(DOUBLE_COLUMN, 1.0 + 0.42 * max(1, len(rows)))
    axes = grid[0, 0]
    for place, (_, gain, key) in enumerate(rows):
        _gain_bar(axes, place, gain, key)
    _gain_axis(axes, [name for name, _, _ in rows])
    handles = [legend_patch(FORMAT, "format"), legend_patch(ARITHMETIC, "arithmetic")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    caption = (
        "Energy of the baseline over the candidate's, on a logarithmic axis where factors add up. "
        "Format: the baseline machine fed with the candidate's packing. Arithmetic: that machine "
        "against the candidate. A bar to the left of 1 is a loss."
    )
    return Picture("gain", "Format against arithmetic", caption, figure)


def _usable(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value)) and value > 0


def _key_name(key: str) -> str:
    return "whole workload" if key == "total" else key


def _gain_bar(axes: Axes, place: int, gain: Gain, key: str) -> None:
    formats, arithmetic, whole = gain.format[key], gain.arithmetic[key], gain.total[key]
    axes.barh(place - 0.19, formats - 1, left=1, height=0.36, **bar_style(FORMAT))
    axes.barh(place + 0.19, whole - formats, left=formats, height=0.36, **bar_style(ARITHMETIC))
    text = f"{times(formats)} format · {times(arithmetic)} arithmetic = {times(whole)}"
    beside(axes, max(1.0, formats, whole), place, text)


def _gain_axis(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    low, high = low * 0.95, high**1.6 * 1.6 if high > 1 else 4.0
    axes.set_xlim(low, high)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if high / low > 10 else (1, 1.5, 2, 3, 5, 7))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("energy of the baseline over the candidate's")
    quiet(axes)
