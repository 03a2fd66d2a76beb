"""What the terminal shows of the hardware itself: simulated, synthesised, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from accelsim.report.pe_table import COLUMNS, cells
from accelsim.report.terminal import add_row, spaced, titled_table


def rtl_table(result: Mapping[str, Any]) -> RenderableType:
    """Return a co-simulation, as ``rtl simulate --json`` holds it: a row per GEMM."""
    columns = ("operands", "m x k x n", "cycles, RTL", "cycles, engine", "sums", "that differ")
    table = titled_table(f"{result['design']}, array in SystemVerilog", columns)
    for case in result["cases"]:
        shape = " x ".join(str(case[name]) for name in "mkn")
        names = ("cycles_rtl", "cycles_engine", "sums", "sums_different")
        add_row(table, (case["operands"], shape, *(f"{case[name]:,}" for name in names)))
    cycles = sum(case["cycles_difference"] != 0 for case in result["cases"])
    sums = sum(case["sums_different"] for case in result["cases"])
    verdict = f"{len(result['cases'])} GEMMs: {cycles} differ in cycles, {sums:,} sums differ"
    return spaced([table, verdict])


def synthesis_table(result: Mapping[str, Any]) -> RenderableType:
    """Return what synthesis found, as ``rtl synthesise --json`` holds it: a row per module."""
    columns = ("module", "latency", "um2", "ps", "ternary, pJ", "dense, pJ", "fit error, mean")
    table = titled_table(f"{result['library']} at {result['clock_mhz']:g} MHz", columns)
    for row in result["rows"]:
        ranges = [
            f"{row[f'{kind}_low_pj']:.3g} to {row[f'{kind}_high_pj']:.3g}"
            if f"{kind}_low_pj" in row
            else "-"
            for kind in ("ternary", "dense")
        ]
        errors = [row[key] for key in row if key.endswith("fit_mean_error")]
        fit = f"{max(errors):.1%}" if errors else "-"
        size = (f"{row['area_um2']:.4g}", f"{row['critical_ps']:.4g}")
        add_row(table, (row["name"], str(row["latency"]), *size, *ranges, fit))
    slow = [row["name"] for row in result["rows"] if row["critical_ps"] * result["clock_mhz"] > 1e6]
    missed = [f"miss the clock at every latency tried: {', '.join(slow)}"] if slow else []
    return spaced([table, *missed, "written: " + ", ".join(result["files"])])


def pes_table(comparison: Mapping[str, Any]) -> RenderableType:
    """Return measured PEs, a table per library, as ``rtl picture --json`` holds them."""
    tables: list[RenderableType] = []
    for library in comparison["libraries"]:
        places = [place for place, name in enumerate(COLUMNS) if name not in _ON_PAPER_ONLY]
        table = titled_table(library["label"], [COLUMNS[place] for place in places])
        for row in library["rows"]:
            line = cells(row)
            add_row(table, tuple(line[place] for place in places))
        tables.append(table)
    return spaced([*tables, "one multiply-add; x: times ternary_add; low: gates without delays"])


_ON_PAPER_ONLY = (
    "best MHz", "sum, of area", "clock, of energy", "gated: idle, busy", "fit error, mean (worst)",
)  # fmt: skip
