"""Figures of measured PEs: area and energy of an operation, and what moves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from accelsim.report.bars import beside
from accelsim.report.palette import INK, P0, P1, P2, P3, P4, P5, Fill
from accelsim.report.quantities import digits
from accelsim.report.style import (
    DOUBLE_COLUMN,
    Picture,
    bar_style,
    blank,
    drawing,
    legend_patch,
    quiet,
)

Comparison = Mapping[str, Any]  # see `circuits.picture`

PART_FILLS = {
    "multiplier or selector": Fill(P0),
    "adder": Fill(P1, "////"),
    "accumulator": Fill(P2),
    "drain word": Fill(P3, "----"),
    "operand registers": Fill(P4),
    "pipeline registers": Fill(P5, "\\\\\\\\"),
    "control": Fill("#ffffff"),
}
_LINES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))


def pe_figures(comparison: Comparison) -> Iterator[Picture]:
    """Draw the PEs of every library side by side, then what width, sharing and zeros do."""
    with drawing():
        sizes = _operations_figure(comparison)
    yield sizes
    with drawing():
        effects = _effects_figure(comparison)
    yield effects


def _operations_figure(comparison: Comparison) -> Picture:
    libraries = comparison["libraries"]
    longest = max(len(library["shown"]) for library in libraries)
    height = len(libraries) * (0.75 + 0.17 * longest) + 0.5
    figure, grid = blank(DOUBLE_COLUMN, height, rows=len(libraries), cols=3)
    for (sizes, energy, area), library in zip(grid, libraries, strict=True):
        rows = library["shown"]
        _energy_panel(sizes, rows)
        sizes.set_title(library["label"])
        sizes.set_xlabel("energy (pJ)")
        for axes, shares in ((energy, "energy_share"), (area, "area_share")):
            _share_panel(axes, rows, shares)
        for place, row in enumerate(rows):
            beside(energy, 1, place, digits(row["ternary_pj"]))
            beside(area, 1, place, digits(row["area_um2"]))
        energy.set_xlabel("energy by part (pJ)")
        area.set_xlabel("cell area by part (µm²)")
    handles: list[Any] = [legend_patch(fill, name) for name, fill in PART_FILLS.items()]
    for face, word in ((INK, "ternary weights"), ("white", "dense weights")):
        handles.append(
            Line2D([], [], color=INK, marker="o", markersize=3.5, markerfacecolor=face, label=word)
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    caption = (
        "One multiply-add of each PE as it stands in an array, with all its registers and its "
        "control; dot-product units per lane. Left, on a logarithmic axis: from gates without to "
        "gates with delays. Middle and right: what it goes to, with ternary weights of a real "
        "network. L: cycles of an accumulate. What a sum needs is most of a ternary adder, and "
        "lanes that share it gain more than any adder does."
    )
    return Picture("pes", "Area and energy of a multiply-add", caption, figure)


def _energy_panel(axes: Axes, rows: Sequence[Comparison]) -> None:
    for kind, face, shift in (("ternary", INK, -0.12), ("dense", "white", 0.2)):
        for place, row in enumerate(rows):
            low, high = row[f"{kind}_low_pj"], row[f"{kind}_high_pj"]
            if low is not None:
                where = [place + shift] * 2
                axes.plot([low, high], where, color=INK, linewidth=0.9)
                axes.plot(
                    (low + high) / 2, where[0], color=INK, marker="o", markersize=3.5,
                    markerfacecolor=face, markeredgewidth=0.8,
                )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=6.5)
    axes.set_yticks(range(len(rows)), [_title(row) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    quiet(axes)


def _title(row: Comparison) -> str:
    """Return a PE's name with the width of its sum, and its latency where it is pipelined."""
    name = row["name"].removesuffix(f"_{row['accumulator_bits']}").replace("_", " ")
    stages = f", L={row['latency']}" if row["latency"] > 1 else ""
    return f"{name} ({row['accumulator_bits']} b{stages})"


def _share_panel(axes: Axes, rows: Sequence[Comparison], shares: str) -> None:
    """Draw a bar of length 1 per row, stacked by the parts of the PE."""
    places, left = np.arange(len(rows)), np.zeros(len(rows))
    for part, fill in PART_FILLS.items():
        width = np.array([row[shares][part] for row in rows])
        axes.barh(places, width, left=left, height=0.72, **bar_style(fill))
        left = left + width
    axes.set_yticks(places, [""] * len(rows))
    axes.set_xlim(0, 1.3)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    quiet(axes)


def _effects_figure(comparison: Comparison) -> Picture:
    figure, grid = blank(DOUBLE_COLUMN, 2.7, cols=3)
    width, sharing, zeros = grid[0]
    library = comparison["libraries"][0]
    for (style, marker), each in zip(_LINES, comparison["libraries"], strict=False):
        points = each["widths"]
        bits = [row["accumulator_bits"] for row in points]
        for key, face, word in (("times_energy", INK, "energy"), ("times_area", "white", "area")):
            width.plot(
                bits, [row[key] for row in points], color=INK, linestyle=style, marker=marker,
                linewidth=1.1, markersize=3.5, markerfacecolor=face,
                label=f"{each['label']} {word}",
            )  # fmt: skip
    width.set_xticks(sorted({row["accumulator_bits"] for row in library["widths"]}))
    width.set_xlabel("bits of the sum")
    width.set_ylabel("ternary adder, times 24 bits")
    for (style, marker), (name, points) in zip(_LINES, library["lanes"].items(), strict=False):
        lanes = [row["products"] for row in points]
        energies = [row["ternary_pj"] for row in points]
        sharing.plot(
            lanes,
            energies,
            color=INK,
            linestyle=style,
            marker=marker,
            linewidth=1.1,
            markersize=3.5,
            label=name,
        )
    sharing.set_xscale("log", base=2)
    sharing.set_yscale("log")
    sharing.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    sharing.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    sharing.yaxis.set_minor_formatter(NullFormatter())
    sharing.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    sharing.set_xlabel("products of a sum")
    sharing.set_ylabel(f"energy of a product, {library['label']} (pJ)")
    for (style, _), (name, curve) in zip(_LINES, library["zeros"].items(), strict=False):
        axis = np.linspace(0, 1, len(curve))
        zeros.plot(axis, np.array(curve) / curve[0], color=INK, linestyle=style, label=name)
    zeros.set_xlabel("zero weights, share")
    zeros.set_ylabel(f"energy, times no zeros, {library['label']}")
    zeros.set_ylim(0, 1.05)
    for axes, title in ((width, "width"), (sharing, "sharing"), (zeros, "zeros")):
        axes.set_title(title)
        axes.grid()
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=6, loc="best", handlelength=4.5)
    caption = (
        "Left: a ternary adder grows with its sum, bit for bit. Middle: products that share one "
        "sum cost less each, floats most of all, since they then round once. Right: zero weights "
        "save what operands cause, but no clock: a PE that sees nothing but zeros still pays it."
    )
    return Picture("pe_effects", "What moves the energy of a multiply-add", caption, figure)
