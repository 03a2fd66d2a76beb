"""How figures look, and how they become PNG and SVG with the same bytes every time.

Colours are ordered by lightness and neighbours differ in hatch, so a greyscale print reads. The
page replaces every colour by a CSS variable, so a figure follows the reader's light or dark scheme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from accelsim.report.palette import COLOURS, EDGE, GRID, INK, MUTED, Fill

SINGLE_COLUMN, DOUBLE_COLUMN = 3.4, 7.0  # inches
PNG_DPI = 220

_RC: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "white",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "patch.linewidth": 0.4,
    "savefig.transparent": False,
    # a dollar sign in a name is no formula
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "accelsim",
}
_FONTS = "'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Picture:
    """A figure with what a reader needs beside it."""

    name: str  # file name without suffix
    title: str
    caption: str  # what to see
    figure: Figure


@contextmanager
def drawing() -> Iterator[None]:
    """Apply the style to everything drawn or saved inside."""
    with matplotlib.rc_context(_RC):
        yield


def blank(
    width: float, height: float, rows: int = 1, cols: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure of ``width`` x ``height`` inches and its axes, an array [rows, cols]."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, cols, squeeze=False, **options)


def bar_style(fill: Fill) -> dict[str, Any]:
    """Return the arguments of a bar filled with ``fill``."""
    return {"color": fill.colour, "hatch": fill.hatch, "edgecolor": EDGE}


def area_style(fill: Fill) -> dict[str, Any]:
    """Return the arguments of an area filled with ``fill``."""
    return {"facecolor": fill.colour, "hatch": fill.hatch, "edgecolor": EDGE, "linewidth": 0.4}


def legend_patch(fill: Fill, label: str) -> Patch:
    """Return the key of a legend for ``fill``."""
    return Patch(facecolor=fill.colour, hatch=fill.hatch, edgecolor=EDGE, label=label)


def quiet(axes: Axes) -> None:
    """Leave an axis of names without marks, and give the other a light grid."""
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _settle(figure: Figure) -> None:
    """Lay a figure out once; otherwise each format would find the same places again."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def png(picture: Picture) -> bytes:
    """Return the figure as PNG at ``PNG_DPI``, without a date."""
    out = io.BytesIO()
    with drawing():
        _settle(picture.figure)
        picture.figure.savefig(out, format="png", dpi=PNG_DPI, metadata={"Software": "accelsim"})
    return out.getvalue()


def svg(picture: Picture) -> bytes:
    """Return the figure as SVG whose text stays text, without a date."""
    out = io.StringIO()
    with drawing():
        _settle(picture.figure)
        picture.figure.savefig(out, format="svg", metadata={"Date": None, "Creator": "accelsim"})
    return re.sub(r"'DejaVu Sans'[^;\"]*", _FONTS, out.getvalue()).encode("utf-8")


def inline(content: bytes) -> str:
    """Return an SVG file as an element of a page that takes its colours from CSS variables.

    The outer size, the ids that repeat between figures and the white background are dropped.
    """
    text = content.decode("utf-8")
    text = text[text.index("<svg") :]
    head, _, body = text.partition(">")
    box = re.search(r'viewBox="([^"]+)"', head)
    if box is None:
        raise ValueError("the SVG has no viewBox")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="patch_1">.*?</g>', "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'<g id="[A-Za-z0-9.]+_\d+">', "<g>", body)
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    body = body.replace(_FONTS, "var(--sans)")
    return f'<svg viewBox="{box.group(1)}" aria-hidden="true" focusable="false">{body}'
