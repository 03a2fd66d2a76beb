"""Colours and hatches of every category, for figures and page alike.

Colours are ordered by lightness and neighbours differ in hatch, so a greyscale print reads.
"""

from __future__ import annotations

from dataclasses import dataclass

# Name of a CSS variable: its colour on paper. From dark to light.
PALETTE = {
    "p0": "#14284b",
    "p1": "#2b5c8a",
    "p2": "#4b9197",
    "p3": "#8fbf9f",
    "p4": "#e6cf8b",
    "p5": "#f3ead0",
}
COLOURS = {
    **PALETTE,
    "accent": "#d98f2e",
    "ink": "#1a1a1b",
    "edge": "#1c1c20",
    "muted": "#6a6a6c",
    "grid": "#dcdce0",
    "on-dark": "#fffffe",
    "on-light": "#1a1a1d",
}
P0, P1, P2, P3, P4, P5 = PALETTE.values()
ACCENT, INK, MUTED, GRID = (COLOURS[name] for name in ("accent", "ink", "muted", "grid"))
EDGE = COLOURS["edge"]  # outlines and hatches
ON_DARK, ON_LIGHT = COLOURS["on-dark"], COLOURS["on-light"]
DARK_FILLS = (P0, P1, P2)


@dataclass(frozen=True)
class Fill:
    """How one category is drawn: a colour and, to tell neighbours apart in grey, a hatch."""

    colour: str
    hatch: str = ""

    @property
    def label_colour(self) -> str:
        """Colour of text on top of the fill."""
        return ON_DARK if self.colour in DARK_FILLS else ON_LIGHT


COMPONENT_FILLS = {
    "array": Fill(P1),
    "accumulator": Fill(P1, "////"),
    "operand_registers": Fill(P2, "----"),
    "decoder": Fill(P3, "\\\\\\\\"),
    "reduction": Fill(P2, "\\\\\\\\"),
    "cast": Fill(P3, "----"),
    "vector": Fill(P4),
    "attention": Fill(P3),
    "lm_head": Fill(P4, "////"),
    "sram": Fill(P2),
    "dram": Fill(P0),
    "clock": Fill(P5),
    "interconnect": Fill(P5, "////"),
    "control": Fill(P5, "----"),
    "leakage": Fill(P5, "xxxx"),
    "other": Fill(GRID),
}
CAUSE_FILLS = {
    "ideal": Fill(P1),
    "spatial_stall": Fill(P3, "////"),
    "temporal_stall": Fill(P4),
    "memory_stall": Fill(P0),
    "vector": Fill(P5, "----"),
}
GROUP_FILLS = {
    "arithmetic": Fill(P1),
    "SRAM": Fill(P3, "////"),
    "DRAM": Fill(P0),
    "clock, wires, control, leakage": Fill(P5, "----"),
}
GROUPS = {"sram": "SRAM", "dram": "DRAM"} | dict.fromkeys(
    ("clock", "interconnect", "control", "leakage"), "clock, wires, control, leakage"
)
# From the best evidence to the weakest.
HOW_FILLS = {
    "synthesised": Fill(P0),
    "measured": Fill(P1),
    "published": Fill(P2),
    "modelled": Fill(P3),
    "composed": Fill(P4),
    "extrapolated": Fill(P4, "////"),
    "unverified": Fill(P5, "xxxx"),
}
