"""Figures of a checkpoint: weights by value and layer, footprint, and how wide sums get."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from accelsim.report.anatomy import ENTROPY, NARROW_BITS, ternary_rows, weights_of
from accelsim.report.bars import beside
from accelsim.report.palette import (
    ACCENT,
    GRID,
    INK,
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
from accelsim.report.quantities import quantity
from accelsim.report.style import (
    DOUBLE_COLUMN,
    Picture,
    area_style,
    bar_style,
    blank,
    drawing,
    legend_patch,
    quiet,
)

Row = Mapping[str, Any]
Grid = dict[str, list[Row]]  # rows of a kind, by layer

PANELS = 4  # side by side
SPARSE_LAYERS = 16  # up to here, cells have room for their number and bars for a gap
SHARE_FILLS = {"−1": Fill(P1), "0": Fill(P5), "+1": Fill(P3, "////")}
PACKING_FILLS = {"lossless": Fill(P2), "scale rounded to 16 bits": Fill(P4, "////")}
LIMIT_FILL = Fill(GRID)
SHADES = 24  # of the heat map: few enough that its scale is drawn as vectors


def inspection_figures(inspected: Row) -> Iterator[Picture]:
    """Draw every figure of what `inspect` found, one at a time; none without ternary weights."""
    kinds: Grid = {}
    for row in ternary_rows(inspected["tensors"]):
        kinds.setdefault(row["kind"], []).append(row)
    if not kinds:
        return
    with drawing():
        shares = shares_by_layer(kinds)
    yield shares
    with drawing():
        heat = zeros_by_layer(kinds)
    yield heat
    with drawing():
        footprint = footprint_by_packing(inspected["footprint"])
    yield footprint
    with drawing():
        widths = bits_by_layer(kinds)
    yield widths


def shares_by_layer(kinds: Grid) -> Picture:
    """Stack the shares of -1, 0 and +1 by layer, one panel per kind."""

    def panel(axes: Axes, rows: Sequence[Row]) -> None:
        layers = np.array([row["layer"] for row in rows])
        base = np.zeros(len(rows))
        for key, fill in zip(("minus", "zeros", "plus"), SHARE_FILLS.values(), strict=True):
            top = base + [100 * row[key] / weights_of(row) for row in rows]
            if len(rows) <= SPARSE_LAYERS:
                axes.bar(layers, top - base, bottom=base, width=0.8, **bar_style(fill))
            else:
                axes.fill_between(layers, base, top, step="mid", **area_style(fill))
            base = top

    figure = _panels(kinds, "share of weights (%)", (0, 100), panel)
    handles = [legend_patch(fill, f"weight {name}") for name, fill in SHARE_FILLS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    caption = (
        "Shares of the weights -1, 0 and +1 in every linear layer, one panel per kind. The band in "
        "the middle is work that a machine may skip; -1 and +1 in equal parts mean that sums "
        "cancel rather than grow."
    )
    return Picture("weights_by_layer", "Weights by value and layer", caption, figure)


def zeros_by_layer(kinds: Grid) -> Picture:
    """Draw the share of zero weights as a heat map, layers by kinds."""
    layers = sorted({row["layer"] for rows in kinds.values() for row in rows})
    cells = np.full((len(kinds), len(layers)), np.nan)
    for line, rows in enumerate(kinds.values()):
        for row in rows:
            cells[line, layers.index(row["layer"])] = 100 * row["zeros"] / weights_of(row)
    low, high = 5 * math.floor(np.nanmin(cells) / 5), 5 * math.ceil(np.nanmax(cells) / 5)
    high = max(high, low + 5)
    figure, grid = blank(DOUBLE_COLUMN, 0.9 + 0.24 * len(kinds))
    axes = grid[0, 0]
    shades = LinearSegmentedColormap.from_list("zeros", [P5, P4, P3, P2, P1, P0], SHADES)
    mesh = axes.pcolormesh(
        layers, range(len(kinds)), cells, cmap=shades, vmin=low, vmax=high,
        edgecolors=ON_DARK, linewidth=0.6 if len(layers) <= SPARSE_LAYERS else 0.2,
    )  # fmt: skip
    if len(layers) <= SPARSE_LAYERS:
        _number_cells(axes, layers, cells, (low, high))
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    scale = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=12)
    scale.set_label("zero weights (%)")
    scale.outline.set_linewidth(0.6)
    caption = (
        "Zero weights in every linear layer, layers from left to right; darker is sparser. A "
        "machine that skips zeros gains where it is dark, and waits for its lightest layer where "
        "lanes are bound together."
    )
    return Picture("zeros_by_layer", "Zero weights by layer and kind", caption, figure)


def _number_cells(
    axes: Axes, layers: Sequence[int], cells: NDArray[np.float64], ends: tuple[int, int]
) -> None:
    """Write each cell's number, light on dark shades."""
    low, high = ends
    for line, column in np.argwhere(np.isfinite(cells)):
        value = cells[line, column]
        colour = ON_DARK if (value - low) / (high - low) > 0.55 else ON_LIGHT
        axes.text(layers[column], line, f"{value:.1f}", ha="center", va="center", fontsize=7,
                  color=colour)  # fmt: skip


def footprint_by_packing(footprint: Sequence[Row]) -> Picture:
    """Draw bits a weight of every ternary packing, and of a few beside wider formats."""
    *rows, limit = footprint
    packed = sorted((r for r in rows if r["decoder"]), key=lambda row: row["bits_per_weight"])
    wide = {row["bits_per_weight"]: row for row in reversed(rows) if not row["decoder"]}
    best = next(row for row in packed if row["lossless"])
    figure, grid = blank(
        DOUBLE_COLUMN, 1.1 + 0.24 * len(packed), cols=2, gridspec_kw={"width_ratios": (3, 2)}
    )
    _packing_panel(grid[0, 0], packed, 1.45, limit["bits_per_weight"])
    grid[0, 0].set_title("ternary packings")
    _packing_panel(grid[0, 1], [limit, best, *sorted(wide.values(), key=_size)], 1.7)
    grid[0, 1].set_title("beside wider formats")
    handles: list[Any] = [legend_patch(fill, name) for name, fill in PACKING_FILLS.items()]
    line = Line2D([], [], color=INK, linestyle="--", label="entropy limit of these weights")
    figure.legend(handles=[*handles, line], loc="outside lower center", ncols=3)
    caption = (
        "All ternary weights in every packing: bits a weight, and bytes at the end of each bar. "
        "No code that takes weights one by one gets below the dashed line. * marks packings of "
        "which no file holds these shapes; the bar is what a machine would move."
    )
    return Picture("footprint_by_packing", "Footprint by packing", caption, figure)


def _size(row: Row) -> float:
    return float(row["bits_per_weight"])


def _packing_panel(
    axes: Axes, rows: Sequence[Row], room: float, limit: float | None = None
) -> None:
    """Draw one bar per row, the axis ``room`` times the longest; ``limit`` is marked by a line."""
    lossless, rounded = PACKING_FILLS.values()
    for line, row in enumerate(rows):
        fill = lossless if row["lossless"] else rounded
        style = bar_style(LIMIT_FILL if row["packing"] == ENTROPY else fill)
        axes.barh(line, _size(row), height=0.72, **style)
        beside(axes, _size(row), line, f"{_size(row):.3f}, {quantity(row['bytes'], 'B')}")
    names = [f"{row['packing']}{'*' if row['refused'] else ''}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(map(_size, rows)) * room)
    axes.set_xlabel("bits a weight")
    quiet(axes)
    if limit is not None:
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1)


def bits_by_layer(kinds: Grid) -> Picture:
    """Draw how wide the sums of every linear can get, in bits of a signed accumulator."""
    measured = all("text_prefix" in row for rows in kinds.values() for row in rows)
    lines: list[tuple[str, str, dict[str, Any]]] = [
        ("any text", "widest_sum", {"color": P0, "marker": "o"})
    ]
    if measured:
        lines += [
            ("on the text, any order", "text_magnitude", {"color": ACCENT, "marker": "^"}),
            ("on the text, ascending k", "text_prefix", {"color": P2, "marker": "s"}),
        ]

    def panel(axes: Axes, rows: Sequence[Row]) -> None:
        layers = [row["layer"] for row in rows]
        every = -(-len(rows) // SPARSE_LAYERS)
        for _, key, style in lines:
            bits = [math.log2(row[key] + 1) + 1 for row in rows]
            axes.plot(
                layers,
                bits,
                linewidth=1,
                markersize=3.5,
                markeredgewidth=0,
                markevery=every,
                **style,
            )
        axes.axhline(NARROW_BITS, color=INK, linestyle="--", linewidth=1)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))

    values = [
        math.log2(r[key] + 1) + 1 for rows in kinds.values() for r in rows for _, key, _ in lines
    ]
    ends = (
        math.floor(min([*values, NARROW_BITS])) - 0.5,
        math.ceil(max([*values, NARROW_BITS])) + 0.5,
    )
    figure = _panels(kinds, "signed bits", ends, panel)
    handles = [Line2D([], [], linewidth=1, label=name, **style) for name, _, style in lines]
    handles.append(Line2D([], [], color=INK, linestyle="--", label=f"{NARROW_BITS} bits"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    caption = (
        "What an accumulator must hold, by layer and kind: the largest sum that int8 codes can "
        "reach on these weights"
        + (
            ", and on the text the largest running sum in ascending k and the largest sum of "
            "|code x weight|, which no order of addition exceeds"
            if measured
            else ""
        )
        + ". An accumulator needs the next whole number of bits; above the dashed line, 16 bits "
        "overflow."
    )
    return Picture("accumulator_bits", "Accumulator bits by layer and kind", caption, figure)


def _panels(
    kinds: Grid,
    label: str,
    ends: tuple[float, float],
    draw: Callable[[Axes, Sequence[Row]], None],
) -> Figure:
    """Return a figure with one small panel per kind, all of the same axes."""
    cols = min(PANELS, len(kinds))
    rows = -(-len(kinds) // cols)
    figure, grid = blank(
        DOUBLE_COLUMN, 0.6 + 1.45 * rows, rows=rows, cols=cols, sharex=True, sharey=True
    )
    panels = list(grid.flat)
    for axes, (kind, found) in zip(panels, kinds.items(), strict=False):
        draw(axes, found)
        axes.set_title(kind)
        axes.set_ylim(*ends)
        axes.tick_params(labelbottom=True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    for place, axes in enumerate(panels[: len(kinds)]):
        if place + cols >= len(kinds):
            axes.set_xlabel("layer")
        if place % cols == 0:
            axes.set_ylabel(label)
    return figure
