"""Figures of a sweep: the front, what each axis does, two axes as a map, energy on the front."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from accelsim.report.bars import beside
from accelsim.report.palette import (
    ACCENT,
    COMPONENT_FILLS,
    EDGE,
    GRID,
    ON_DARK,
    ON_LIGHT,
    P0,
    P1,
    P2,
    P3,
    P4,
    P5,
    Fill,
)
from accelsim.report.quantities import digits, percent, plain_name, quantity, scale
from accelsim.report.style import (
    DOUBLE_COLUMN,
    Picture,
    bar_style,
    blank,
    drawing,
    legend_patch,
    quiet,
)
from accelsim.report.sweep_rows import (
    Floats,
    SweepRows,
    axis_name,
    best_of_cells,
    column_label,
    explained,
    level_names,
    logarithmic,
    measured,
    spelt_objectives,
)
from accelsim.result import COMPONENTS

CLOUD = 1200  # designs beside the front that a scatter shows
BARS = 14  # designs of the front that a bar chart shows
NUMBERED = 10  # levels up to which cells of a map carry their number
SMALLEST = 0.01  # components below this share of every bar are merged
SHADES = 24
MOST_PANELS = 3  # side by side
BAR_FILL = Fill(P2)


def sweep_figures(rows: SweepRows) -> Iterator[Picture]:
    """Draw every figure that the designs of a sweep can fill, one at a time."""
    if not len(rows):
        return
    shares = explained(rows)
    if rows.objectives.shape[1] > 1:
        with drawing():
            front = front_figure(rows)
        yield front
    if shares.any():
        with drawing():
            sensitivity = sensitivity_figure(rows, shares)
        yield sensitivity
    chosen = two_axes(rows, shares)
    if chosen is not None:
        with drawing():
            heat = map_figure(rows, chosen)
        yield heat
    with drawing():
        energy = energy_figure(rows)
    yield energy


def front_figure(rows: SweepRows) -> Picture:
    """Scatter all designs by every pair of objectives, with the front and its knee."""
    pairs = list(combinations(range(rows.objectives.shape[1]), 2))[:3]
    height = 3.0 if len(pairs) < 3 else 2.6
    figure, grid = blank(DOUBLE_COLUMN, height, cols=len(pairs))
    for axes, (x, y) in zip(grid[0], pairs, strict=True):
        _scatter(axes, rows, x, y, line=len(pairs) == 1)
    line: Literal["-", ""] = "-" if len(pairs) == 1 else ""
    handles = [
        Line2D([], [], marker="o", linestyle="", color=P3, markersize=3, label="a design"),
        Line2D([], [], marker="o", linestyle=line, color=P0, markersize=4, linewidth=1,
               label="Pareto front"),
        Line2D([], [], marker="*", linestyle="", color=ACCENT, markeredgecolor=EDGE,
               markersize=9, label=f"knee, row {rows.result.knee}"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    shown = len(rows.spread(CLOUD))
    thinned = "" if shown == len(rows) else f" {shown:,} of {len(rows):,} designs are drawn."
    caption = (
        f"Designs that meet all constraints, and the {len(rows.front):,} of them on the front, "
        "where no objective can be bettered without giving up another. The knee is nearest to the "
        "best of every objective, each scaled to its span on the front: "
        f"{', '.join(spelt_objectives(rows, rows.knee))}.{thinned}"
    )
    return Picture("front", "Pareto front", caption, figure)


def _scatter(axes: Axes, rows: SweepRows, x: int, y: int, line: bool) -> None:
    shown = rows.spread(CLOUD)
    front = np.intersect1d(shown, rows.front)
    cloud = np.setdiff1d(shown, front)
    (a, name_a), (b, name_b) = _measured(rows, x), _measured(rows, y)
    axes.plot(a[cloud], b[cloud], "o", color=P3, markersize=2, markeredgewidth=0)
    order = front[np.argsort(a[front], kind="stable")]
    # What the front dominates has corners: between two of its designs nothing is promised.
    steps = "steps-post" if rows.result.objectives[x][1] == "min" else "steps-pre"
    axes.plot(a[order], b[order], "o-" if line else "o", color=P0, markersize=3, linewidth=1,
              drawstyle=steps, markeredgewidth=0)  # fmt: skip
    if rows.knee is not None:
        axes.plot(a[rows.knee], b[rows.knee], "*", color=ACCENT, markersize=9, markeredgecolor=EDGE,
                  markeredgewidth=0.5)  # fmt: skip
    for axis, values in ((axes.xaxis, a), (axes.yaxis, b)):
        _ticks(axis, values)
    axes.set_xlabel(f"{name_a}\n({_better(rows, x)} is better)")
    axes.set_ylabel(f"{name_b}\n({_better(rows, y)} is better)")
    axes.grid(visible=True)


def _measured(rows: SweepRows, objective: int) -> tuple[Floats, str]:
    """Return an objective of every design in a unit that fits, and its label with that unit."""
    values = rows.objectives[:, objective]
    return measured(values, column_label(rows.result.objectives[objective][0]))


def _better(rows: SweepRows, objective: int) -> str:
    return "lower" if rows.result.objectives[objective][1] == "min" else "higher"


def _ticks(axis: Axis, values: Floats) -> None:
    """Choose a logarithmic axis for values that span much, and spell its numbers out."""
    finite = values[np.isfinite(values)]
    if logarithmic(values):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
        _spell_log(axis, float(finite.min()), float(finite.max()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _spell_log(axis: Axis, low: float, high: float) -> None:
    """Give a logarithmic axis two numbers or more that a reader can tell."""
    steps = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    """Return three digits without the zeros at their end."""
    text = digits(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def sensitivity_figure(rows: SweepRows, shares: Floats) -> Picture:
    """Draw how much of every objective each axis explains, and its best level."""
    names = [axis_name(axis) for axis in rows.result.axes]
    columns = [c for c in range(shares.shape[1]) if shares[:, c].any()]
    wide = min(len(columns), MOST_PANELS)
    deep = -(-len(columns) // wide)
    size = deep * (0.8 + 0.26 * len(names))
    figure, grid = blank(DOUBLE_COLUMN, size, deep, wide, sharey=True)
    for axes, column in zip(grid.ravel(), columns, strict=False):
        _explained_bars(axes, rows, shares, column, room=1.5 + 0.4 * wide)
        axes.set_yticks(range(len(names)), names)
    for axes in grid.ravel()[len(columns) :]:
        axes.set_visible(False)
    return Picture("sensitivity", "What each axis does", _explanation(rows, shares), figure)


def _explained_bars(axes: Axes, rows: SweepRows, shares: Floats, column: int, room: float) -> None:
    """Draw the shares of one objective; ``room`` times the longest bar holds it and its words."""
    for place, share in enumerate(shares[:, column]):
        axes.barh(place, 100 * share, height=0.72, **bar_style(BAR_FILL))
        best = level_names(rows.result.axes[place])[_best_level(rows, place, column)]
        # The best of levels that hardly differ would say something about the others only.
        words = f", best at {best}" if share >= SMALLEST else ""
        beside(axes, 100 * share, place, percent(share) + words)
    axes.set_title(column_label(rows.result.objectives[column][0]).partition(" (")[0])
    longest = max(100 * float(shares[:, column].max()), 1)
    axes.set_xlim(0, longest * room)
    step = next(step for step in (0.5, 1, 2, 5, 10, 20, 25) if longest < 3 * step or step == 25)
    axes.set_xticks(np.arange(0, min(1.2 * longest, 100) + step / 2, step))
    axes.set_xlabel("variance explained (%)")
    axes.set_ylim(len(rows.result.axes) - 0.4, -0.6)
    quiet(axes)


def _explanation(rows: SweepRows, shares: Floats) -> str:
    label = column_label(rows.result.objectives[0][0]).partition(" (")[0]
    first = int(shares[:, 0].argmax())
    most = f"{axis_name(rows.result.axes[first])} ({percent(float(shares[first, 0]))})"
    lead = f"Of {label} most follows from {most}. " if shares[:, 0].any() else ""
    rest = (
        "What is missing to 100 % lies in combinations of axes."
        if rows.result.feasible == rows.result.points
        else "Designs that were left out tie axes to each other: shares then overlap, or miss what "
        "lies in combinations, and need not add up to 100 %."
    )
    return (
        f"{lead}Each bar is the share of an objective's variance over all designs that the means "
        f"of one axis' levels explain. {rest} Beside it, from 1 % on, the level with the best mean."
    )


def _best_level(rows: SweepRows, axis: int, objective: int) -> int:
    values = rows.objectives[:, objective]
    there = np.isfinite(values)
    levels = rows.levels[there, axis]
    counts = np.bincount(levels)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(levels, weights=values[there]) / counts
    return int(np.nanargmin(means) if rows.result.objectives[objective][1] == "min"
               else np.nanargmax(means))  # fmt: skip


def two_axes(rows: SweepRows, shares: Floats) -> tuple[int, int] | None:
    """Return the two axes that explain the most of the first objective, None with fewer than two.

    The one with fewer levels stands upright.
    """
    several = [a for a, axis in enumerate(rows.result.axes) if len(axis.values) > 1]
    if len(several) < 2:
        return None
    first, second = sorted(several, key=lambda axis: -shares[axis, 0])[:2]
    few, many = sorted((first, second), key=lambda axis: len(rows.result.axes[axis].values))
    return few, many


def map_figure(rows: SweepRows, chosen: tuple[int, int]) -> Picture:
    """Draw the best of the first objective over two axes as a map."""
    cells = best_of_cells(rows, chosen, 0)
    down, across = (rows.result.axes[axis] for axis in chosen)
    figure, grid = blank(DOUBLE_COLUMN, 1.0 + 0.28 * cells.shape[0])
    axes = grid[0, 0]
    name, goal = rows.result.objectives[0]
    cells, label = measured(cells, column_label(name))
    norm = (LogNorm if logarithmic(cells.ravel()) else Normalize)(
        float(np.nanmin(cells)), float(np.nanmax(cells))
    )
    colours = [P5, P4, P3, P2, P1, P0]
    shades = LinearSegmentedColormap.from_list("best", colours, SHADES)
    axes.set_facecolor(GRID)
    mesh = axes.pcolormesh(cells, cmap=shades, norm=norm, edgecolors=ON_DARK, linewidth=0.6)
    if max(cells.shape) <= NUMBERED:
        for line, column in np.argwhere(np.isfinite(cells)):
            dark = float(norm(cells[line, column])) > 0.5
            axes.text(column + 0.5, line + 0.5, digits(cells[line, column]), ha="center",
                      va="center", fontsize=7, color=ON_DARK if dark else ON_LIGHT)  # fmt: skip
    _name_levels(axes, level_names(across), level_names(down))
    axes.set_xlabel(axis_name(across))
    axes.set_ylabel(axis_name(down))
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=12)
    bar.set_label(label)
    if isinstance(norm, LogNorm):
        _spell_log(bar.ax.yaxis, float(norm.vmin or 1), float(norm.vmax or 1))
    bar.outline.set_linewidth(0.6)
    plain = label.partition(" (")[0]
    least = goal == "min"
    best = np.nanargmin(cells) if least else np.nanargmax(cells)
    line, column = np.unravel_index(int(best), cells.shape)
    caption = (
        f"The {'least' if least else 'most'} {plain} that any design reaches at each pair of "
        "levels, over all other axes; the two axes that explain the most of it. Best: "
        f"{digits(cells[line, column])} at {axis_name(across)} {level_names(across)[column]}, "
        f"{axis_name(down)} {level_names(down)[line]}."
    )
    if np.isnan(cells).any():
        caption += " Grey cells hold no design that meets all constraints."
    return Picture("map", f"Best {plain} by two axes", caption, figure)


def _name_levels(axes: Axes, across: list[str], down: list[str]) -> None:
    """Name columns and rows, at most some twelve of each."""
    for names, put in ((across, axes.set_xticks), (down, axes.set_yticks)):
        step = -(-len(names) // 12)
        places = range(0, len(names), step)
        put([place + 0.5 for place in places], [names[place] for place in places])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def energy_figure(rows: SweepRows) -> Picture:
    """Stack the energy of designs along the front by component."""
    chosen = np.unique(np.linspace(0, len(rows.front) - 1, BARS).round().astype(np.int64))
    if rows.knee is not None:
        chosen = np.union1d(chosen, np.flatnonzero(rows.front == rows.knee))
    members, energy = rows.front[chosen], rows.energy[chosen]
    totals = energy.sum(axis=1)
    step, prefix = scale(totals)
    figure, grid = blank(DOUBLE_COLUMN, 1.3 + 0.24 * len(members))
    axes = grid[0, 0]
    handles = _stack(axes, energy / step, totals / step)
    for place, (member, total) in enumerate(zip(members, totals, strict=True)):
        words = [quantity(total, "J"), *spelt_objectives(rows, member)]
        beside(axes, total / step, place, ", ".join(dict.fromkeys(words[:2])))
    axes.set_yticks(range(len(members)), [_design_label(rows, member) for member in members])
    axes.set_ylim(len(members) - 0.4, -0.6)
    axes.set_xlim(0, float(totals.max() / step) * 1.4)
    axes.set_xlabel(f"energy of the workload ({prefix}J)")
    quiet(axes)
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    name, goal = rows.result.objectives[0]
    of_all = energy.sum(axis=0) / energy.sum()
    most = int(of_all.argmax())
    caption = (
        "Where the energy of both phases goes along the front, from the "
        f"{'lowest' if goal == 'min' else 'highest'} {column_label(name).partition(' (')[0]} at "
        f"the top: {percent(float(of_all[most]))} is {plain_name(COMPONENTS[most])}. "
        "Components below 1 % of every bar are merged."
    )
    return Picture("energy_along_front", "Energy along the front", caption, figure)


def _stack(axes: Axes, energy: Floats, totals: Floats) -> list[Patch]:
    """Draw bars of components, the small ones merged; return the keys."""
    small = np.all(energy < SMALLEST * totals[:, np.newaxis], axis=0)
    parts = [(name, energy[:, c]) for c, name in enumerate(COMPONENTS) if not small[c]]
    parts.append(("other", energy[:, small].sum(axis=1)))
    left, handles = np.zeros(len(energy)), []
    for name, values in parts:
        fill = COMPONENT_FILLS[name]
        axes.barh(range(len(energy)), values, left=left, height=0.72, **bar_style(fill))
        left = left + values
        handles.append(legend_patch(fill, plain_name(name)))
    return handles


def _design_label(rows: SweepRows, member: int) -> str:
    text = f"row {rows.index[member]}"
    return f"{text} (knee)" if member == rows.knee else text
