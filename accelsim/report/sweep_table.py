"""What the terminal shows of a sweep: how many designs, why others were left out, the front."""

from __future__ import annotations

import json

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from accelsim.report.quantities import digits
from accelsim.report.terminal import add_row, spaced, titled_table
from accelsim.result import FrontRow, SweepBound, SweepResult

MOST_REASONS, MOST_ROWS = 8, 16


def sweep_tables(result: SweepResult) -> RenderableType:
    """Return counts, reasons and the front; a long front is thinned evenly."""
    parts: list[RenderableType] = [_counts(result)]
    if result.refused or any(bound.failed for bound in result.constraints):
        parts.append(_reasons(result))
    if result.front:
        parts.append(_front(result))
    return spaced(parts)


def _counts(result: SweepResult) -> RenderableType:
    head = Table.grid(padding=(0, 2))
    head.add_row("sweep", escape(result.name))
    head.add_row("points", f"{result.points:,} by {result.method['kind']}")
    head.add_row("designs", f"{result.designs:,} can run, {result.feasible:,} meet all constraints")
    head.add_row("front", f"{len(result.front):,}, knee {result.knee}")
    return head


def _reasons(result: SweepResult) -> RenderableType:
    table = titled_table("left out", ("reason", "designs"))
    failed = [(_bounds(bound), bound.failed) for bound in result.constraints if bound.failed]
    reasons = sorted([*result.refused.items(), *failed], key=lambda pair: -pair[1])
    for reason, count in reasons[:MOST_REASONS]:
        add_row(table, (reason, f"{count:,}"))
    if len(reasons) > MOST_REASONS:
        rest = sum(count for _, count in reasons[MOST_REASONS:])
        add_row(table, (f"{len(reasons) - MOST_REASONS} other reasons", f"{rest:,}"))
    return table


def _bounds(bound: SweepBound) -> str:
    low = "" if bound.at_least is None else f" below {bound.at_least:g}"
    high = "" if bound.at_most is None else f" above {bound.at_most:g}"
    return bound.quantity + " or".join(part for part in (low, high) if part)


def _front(result: SweepResult) -> RenderableType:
    paths = [path for axis in result.axes for path in axis.paths]
    names = [f"{goal} {name}" for name, goal in result.objectives]
    table = titled_table("Pareto front", ("row", *paths, *names))
    for row in _thinned(result.front, result.knee):
        cells = [
            value if isinstance(value, str) else json.dumps(value)
            for axis, level in zip(result.axes, row.levels, strict=True)
            for value in axis.values[level]
        ]
        mark = f"{row.index} (knee)" if row.index == result.knee else str(row.index)
        add_row(table, (mark, *cells, *(digits(value) for value in row.objectives)))
    return table


def _thinned(front: tuple[FrontRow, ...], knee: int | None) -> list[FrontRow]:
    if len(front) <= MOST_ROWS:
        return list(front)
    step = (len(front) - 1) / (MOST_ROWS - 1)
    chosen = {round(place * step) for place in range(MOST_ROWS)}
    return [row for place, row in enumerate(front) if place in chosen or row.index == knee]
