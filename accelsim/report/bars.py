"""Rows of bars: stacked by cause or group, or one bar per design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accelsim.report.palette import ACCENT, INK, MUTED, P0, P3, P5, Fill
from accelsim.report.quantities import digits, percent, quantity, scale
from accelsim.report.style import DOUBLE_COLUMN, bar_style, blank, legend_patch, quiet
from accelsim.result import PHASES, Result

Rows = Sequence[tuple[str, Sequence[float]]]

DESIGN_FILLS = (Fill(P0), Fill(ACCENT), Fill(P3, "////"), Fill(P5, "----"))


def stacked(
    panels: Mapping[int, Rows], fills: Mapping[str, Fill], unit: str, shares: bool = True
) -> Figure:
    """Draw one panel of stacked bars per phase.

    Args:
        panels: Rows by index of ``PHASES``: a name and its values by ``fills``.
        fills: What the values are, in the order they are stacked.
        unit: ``J`` and ``s`` (both per token) or ``cycles``.
        shares: Write each bar's share of its panel at its end, else its value.
    """
    longest = max((len(rows) for rows in panels.values()), default=1)
    figure, grid = blank(DOUBLE_COLUMN, 0.95 + 0.21 * longest, cols=max(1, len(panels)))
    for axes, (phase, rows) in zip(grid[0], panels.items(), strict=False):
        _stacked_panel(axes, rows, fills, unit, shares)
        axes.set_title(PHASES[phase])
    handles = [legend_patch(fill, name.replace("_", " ")) for name, fill in fills.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(fills))
    return figure


def _stacked_panel(
    axes: Axes, rows: Rows, fills: Mapping[str, Fill], unit: str, shares: bool
) -> None:
    wholes = [sum(values) for _, values in rows]
    step, prefix = scale(wholes)
    left = np.zeros(len(rows))
    places = np.arange(len(rows))
    for index, fill in enumerate(fills.values()):
        width = np.array([values[index] for _, values in rows]) / step
        axes.barh(places, width, left=left, height=0.72, **bar_style(fill))
        left = left + width
    everything = sum(wholes) or 1.0
    for place, whole in enumerate(wholes):
        text = percent(whole / everything) if shares else quantity(whole, unit)
        beside(axes, whole / step, place, text)
    axes.set_yticks(places, [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, (max(wholes, default=0.0) / step or 1.0) * 1.2)
    label = {"J": f"energy per token ({prefix}J)", "s": f"time per token ({prefix}s)"}
    axes.set_xlabel(label.get(unit) or _cycles_label(step))
    quiet(axes)


def _cycles_label(step: float) -> str:
    words = {1e3: "thousands of ", 1e6: "millions of ", 1e9: "billions of ", 1e12: "trillions of "}
    return f"{words.get(step, '')}cycles"


def grouped(
    axes: Axes,
    names: Sequence[str],
    bars: Sequence[Sequence[float]],
    unit: str,
    label: str,
    limits: Sequence[Sequence[tuple[float, float]]] | None = None,
) -> None:
    """Draw one row per name with a bar per design, its value at the end.

    Args:
        axes: Where to draw.
        names: What the rows are.
        bars: Values by design and row, in ``unit``.
        unit: ``J`` is scaled to its SI prefix, any other unit stays.
        label: What the values are, for the axis.
        limits: Low and high by design and row, drawn as whiskers.
    """
    ends = [high for design in limits or () for _, high in design]
    ends += [value for values in bars for value in values]
    step, prefix = scale(ends) if unit == "J" else (1.0, "")
    height = 0.8 / len(bars)
    for index, values in enumerate(bars):
        places = np.arange(len(names)) + (index - (len(bars) - 1) / 2) * height
        style = bar_style(design_fill(index))
        axes.barh(places, np.array(values) / step, height=height, **style)
        for row, (place, value) in enumerate(zip(places, values, strict=True)):
            low, high = limits[index][row] if limits else (value, value)
            axes.plot([low / step, high / step], [place, place], color=INK, linewidth=0.8)
            text = quantity(value, unit) if unit == "J" else f"{digits(value)} {unit}"
            beside(axes, max(high, value) / step, place, text)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, (max(ends, default=0.0) / step or 1.0) * 1.25)
    axes.set_xlabel(f"{label} ({prefix}{unit})")
    quiet(axes)


def beside(axes: Axes, x: float, y: float, text: str) -> None:
    """Write a value right of the end of its bar."""
    axes.annotate(text, (x, y), (3, 0), textcoords="offset points", va="center", fontsize=7,
                  color=MUTED)  # fmt: skip


def design_fill(index: int) -> Fill:
    """Return how the design of that index is drawn."""
    return DESIGN_FILLS[index % len(DESIGN_FILLS)]


def design_legend(figure: Figure, results: Sequence[Result]) -> None:
    """Name the designs below the figure."""
    handles = [legend_patch(design_fill(i), r.design) for i, r in enumerate(results)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))
