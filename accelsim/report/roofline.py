"""The roofline: what the machine could do, and what its matrix products do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from accelsim.report.palette import ACCENT, EDGE, GRID, INK, MUTED, P1
from accelsim.report.quantities import operator_name
from accelsim.report.style import DOUBLE_COLUMN, Picture, blank
from accelsim.result import PHASES, OperatorRow, Result

MARKS = (("o", P1), ("^", ACCENT))  # by phase
NEAR = (0.6, 0.2)  # decades in x and y within which two marks share one label


@dataclass(frozen=True)
class _Point:
    name: str
    phase: int
    intensity: float  # steps per DRAM byte, inf where nothing moves
    rate: float  # steps per cycle


def roofline(results: Sequence[Result]) -> Picture:
    """Draw matrix products as points under the machine's peaks, one panel per design."""
    cols = min(2, len(results))
    rows = -(-len(results) // cols)
    figure, grid = blank(DOUBLE_COLUMN, 2.9 * rows + 0.2, rows=rows, cols=cols, sharey=True)
    for axes, result in zip(grid.flat, results, strict=False):
        _panel(axes, result)
        if len(results) > 1:
            axes.set_title(result.design)
    for axes in grid.flat[len(results) :]:
        axes.set_visible(False)
    caption = (
        "Each mark is a matrix product: multiply-accumulates per cycle against multiply-accumulates"
        " per byte of DRAM traffic. In the shaded region the memory is the roof, right of it the "
        "array. Marks at the right edge move no DRAM bytes."
    )
    return Picture("roofline", "Roofline", caption, figure)


def _panel(axes: Axes, result: Result) -> None:
    points = [_point(row) for row in result.operators if row.steps and row.total_cycles]
    ridge = result.roofline.macs_per_cycle / result.roofline.dram_bytes_per_cycle
    finite = [ridge, *(p.intensity for p in points if math.isfinite(p.intensity))]
    left, right = min(finite) / 3, max(finite) * 8
    axes.axvspan(left, ridge, color=GRID, alpha=0.45, linewidth=0)
    axes.text(0.015, 0.97, "memory-bound", transform=axes.transAxes, va="top", color=MUTED)
    _roofs(axes, result, left, right)
    for point in points:
        marker, colour = MARKS[point.phase]
        axes.plot(min(point.intensity, right * 0.8), point.rate, marker, color=colour,
                  markeredgecolor=EDGE, markeredgewidth=0.4, markersize=5)  # fmt: skip
    for names, x, y in _labels(points, right * 0.8):
        edge = x >= right * 0.5
        axes.annotate(names, (x, y), (-5 if edge else 5, -8), textcoords="offset points",
                      fontsize=7, ha="right" if edge else "left", color=MUTED)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(left, right))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("multiply-accumulates per DRAM byte")
    axes.set_ylabel("multiply-accumulates per cycle")
    handles = [
        Line2D([], [], marker=m, linestyle="", color=c, markeredgecolor=EDGE, label=phase)
        for phase, (m, c) in zip(PHASES, MARKS, strict=True)
    ]
    axes.legend(handles=handles, loc="lower right")


def _point(row: OperatorRow) -> _Point:
    intensity = row.steps / row.dram_bytes if row.dram_bytes else math.inf
    return _Point(operator_name(row.name), row.phase, intensity, row.steps / row.total_cycles)


def _roofs(axes: Axes, result: Result, left: float, right: float) -> None:
    roof = result.roofline
    peaks = [("array", roof.macs_per_cycle, "-")]
    if roof.mac_unit_macs_per_cycle not in (0, roof.macs_per_cycle):
        peaks.append(("MAC unit", roof.mac_unit_macs_per_cycle, "--"))
    for name, peak, line in peaks:
        knee = peak / roof.dram_bytes_per_cycle
        axes.plot([left, knee, right], [left * roof.dram_bytes_per_cycle, peak, peak], line,
                  color=INK, linewidth=1)  # fmt: skip
        axes.annotate(f"{name} {peak:,}", (right, peak), (-2, 3), textcoords="offset points",
                      ha="right", fontsize=7)  # fmt: skip


def _labels(points: Sequence[_Point], edge: float) -> list[tuple[str, float, float]]:
    """Return one label for each cluster of marks: names, x, y."""
    clusters: list[tuple[float, float, list[str]]] = []
    for point in points:
        x, y = min(point.intensity, edge), point.rate
        for cx, cy, names in clusters:
            if abs(math.log10(x / cx)) < NEAR[0] and abs(math.log10(y / cy)) < NEAR[1]:
                names.append(point.name)
                break
        else:
            clusters.append((x, y, [point.name]))
    return [(_joined(list(dict.fromkeys(names))), x, y) for x, y, names in clusters]


def _joined(names: Sequence[str]) -> str:
    if len(names) <= 2:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} others"
