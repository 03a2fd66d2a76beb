"""Cycle, energy and area of ternary, integer and FMAC hardware on real ternary networks."""

__version__ = "0.1.0"
