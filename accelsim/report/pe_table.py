"""The table of measured PEs: for the terminal, as CSV and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelsim.report.quantities import digits, percent
from accelsim.report.tables import csv_text

Row = Mapping[str, Any]  # see `rtl.pe_rows.pe_rows`

COLUMNS = (
    "PE", "sum, bits", "latency", "best MHz", "um2", "pJ, ternary weights", "pJ, dense weights",
    "x area", "x energy", "sum, of area", "sum, of energy", "clock, of energy",
    "gated: idle, busy",
    "fit error, mean (worst)",
)  # fmt: skip
_SPLIT = ("area_share", "energy_share")


def cells(row: Row) -> list[str]:
    """Return a row as it is read, one cell per column."""
    return [
        row["name"],
        str(row["accumulator_bits"]),
        str(row["latency"]),
        f"{row['best_clock_mhz']:.0f}",
        digits(row["area_um2"]),
        _between(row["ternary_low_pj"], row["ternary_high_pj"]),
        _between(row["dense_low_pj"], row["dense_high_pj"]),
        _times(row["times_area"]),
        _times(row["times_energy"]),
        percent(row["accumulator_area"]),
        percent(row["accumulator_energy"]),
        percent(row["clock_energy"]),
        "-" if row["gated_idle"] is None else f"{row['gated_idle']:.2f}, {row['gated_busy']:.2f}",
        f"{percent(row['fit_mean'])} ({percent(row['fit_worst'])})",
    ]


def markdown(comparison: Row) -> str:
    """Return a table per library."""
    blocks = []
    for library in comparison["libraries"]:
        lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "--:|" * (len(COLUMNS) - 1)]
        lines += [f"| {' | '.join(cells(row))} |" for row in library["rows"]]
        blocks.append("\n".join([f"### {library['label']}", "", *lines]))
    return "\n\n".join(blocks) + "\n"


def pes_csv(comparison: Row) -> str:
    """Return all numbers of all libraries; shares of parts have a column each."""
    rows = [_flat(row) for library in comparison["libraries"] for row in library["rows"]]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text(columns, ([row.get(key) for key in columns] for row in rows))


def _flat(row: Row) -> dict[str, Any]:
    whole = {key: value for key, value in row.items() if key not in _SPLIT}
    parts = {
        f"{key}.{part.replace(' ', '_')}": share
        for key in _SPLIT
        for part, share in row[key].items()
    }
    return whole | parts


def _between(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{digits(low)} to {digits(high)}"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"
