"""Mappings in the words of a report."""

from __future__ import annotations

from accelsim.report.quantities import operator_name, times
from accelsim.result import MappingRow, Result

GOALS = {"latency": "cycles", "energy": "energy", "edp": "the product of energy and cycles"}


def mapping_text(mapping: MappingRow | None) -> str:
    """Return a mapping in one line, empty for what no array does."""
    if mapping is None:
        return ""
    tile = f"{mapping.m_tile:,} × {mapping.k_tile:,} × {mapping.n_tile:,}"
    text = f"{mapping.dataflow}, {tile}, {mapping.stays} stay"
    if mapping.split > 1:
        text += f", k in {mapping.split} parts"
    if mapping.chunk:
        text += f", streams {mapping.chunk:,}"
    return text + (f", causal {mapping.causal}" if mapping.causal else "")


def mapping_note(result: Result) -> str:
    """Return how mappings were chosen and what that saved most, in a sentence or two."""
    rows = [row for row in result.operators if row.mapping is not None]
    if result.mapping == "fixed":
        return "Every matrix product has the fixed mapping; --mapping searches for a better one."
    looked = sum(row.looked for row in rows)
    text = (
        f"Of {looked:,} mappings of {len(rows)} matrix products, those with the least "
        f"{GOALS[result.mapping]} were chosen."
    )
    changed = [row for row in rows if row.fixed_cycles and row.fixed_cycles > row.total_cycles]
    if not changed:
        return text + " None takes fewer cycles than the fixed mapping."
    best = max(changed, key=lambda row: (row.fixed_cycles or 0) - row.total_cycles)
    factor = times((best.fixed_cycles or 0) / best.total_cycles)
    return text + (
        f" {len(changed)} take fewer cycles than with the fixed mapping; most is saved in "
        f"{operator_name(best.name)}, {factor} as fast."
    )
