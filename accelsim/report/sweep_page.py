"""One self-contained page on a sweep: its front, figures, and designs to filter and hover."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from accelsim.report.render import render
from accelsim.report.sweep_rows import SweepRows, axis_name, column_label, level_names
from accelsim.result import SweepBound, SweepResult

Context = dict[str, Any]
DRAWN = 3000  # designs a reader can filter and hover on the page, and as many of the front
LISTED = 200  # designs of the front in its table
WORDS = (
    ("point", "A combination of levels, one of each axis."),
    ("design", "A point that a machine can be built for and that can run the workload."),
    ("axis, level", "What a sweep varies, and each of its values; linked fields are one axis."),
    ("objective", "A result to be made as small or as large as possible."),
    (
        "Pareto front",
        "The designs that no other design matches in every objective and beats in one.",
    ),
    (
        "knee",
        "The design of the front nearest to the best of every objective, each scaled to its span "
        "on the front.",
    ),
    ("row", "The number of a point; `accelsim run RESULT#ROW` runs its design again."),
)


def sweep_page(rows: SweepRows, pictures: Iterable[Context], place: str) -> str:
    """Return the page of a sweep.

    Args:
        rows: What it found.
        pictures: name, title, caption and svg (an element, from ``style.inline``) of each figure.
        place: The sweep's folder, as a reader writes it in front of ``#ROW``.
    """
    result = rows.result
    shown = rows.spread(DRAWN)
    context = {
        "result": result,
        "chips": _chips(result),
        "knee": _knee(rows),
        "axes": [
            {"name": axis_name(axis), "levels": level_names(axis), "paths": axis.paths}
            for axis in result.axes
        ],
        "objectives": [(column_label(name), goal) for name, goal in result.objectives],
        "bounds": [(bound.quantity, _limits(bound), bound.failed) for bound in result.constraints],
        "refused": sorted(result.refused.items(), key=lambda pair: -pair[1]),
        "pictures": {p["name"]: {**p, "svg": Markup(p["svg"])} for p in pictures},
        "front": _front(rows),
        "listed": LISTED,
        "shown": len(shown),
        "front_shown": len(np.intersect1d(shown, rows.front)),
        "made_of": len(rows),
        "place": place,
        # "</" would end the script element that holds it.
        "points": Markup(json.dumps(_points(rows, shown, place)).replace("</", "<\\/")),
        "words": WORDS,
        "marked_hows": (),
        "footer": "accelsim sweep. Numbers: sweep.json and the table beside this page.",
    }
    return render("sweep.html.j2", context)


def _chips(result: SweepResult) -> list[str]:
    chips = [f"{result.method['kind']}", *result.bases]
    for workload in result.workloads:
        tokens = f"prefill {workload['prefill']}, decode {workload['decode']}"
        chips.append(f"{workload['name']}: {tokens}, batch {workload['batch']}")
    return chips


def _limits(bound: SweepBound) -> str:
    low = "" if bound.at_least is None else f"at least {bound.at_least:g}"
    high = "" if bound.at_most is None else f"at most {bound.at_most:g}"
    return ", ".join(part for part in (low, high) if part)


def _knee(rows: SweepRows) -> Context | None:
    if rows.knee is None:
        return None
    return {
        "row": int(rows.index[rows.knee]),
        "levels": _levels(rows, rows.knee),
        "objectives": [
            (column_label(name), value)
            for (name, _), value in zip(
                rows.result.objectives, rows.objectives[rows.knee].tolist(), strict=True
            )
        ],
    }


def _levels(rows: SweepRows, member: int) -> list[tuple[str, str]]:
    return [
        (axis_name(axis), level_names(axis)[level])
        for axis, level in zip(rows.result.axes, rows.levels[member].tolist(), strict=True)
    ]


def _front(rows: SweepRows) -> list[Context]:
    names = [level_names(axis) for axis in rows.result.axes]
    return [
        {
            "row": row.index,
            "levels": [names[a][level] for a, level in enumerate(row.levels)],
            "objectives": row.objectives,
        }
        for row in rows.result.front[:LISTED]
    ]


def _points(rows: SweepRows, shown: Any, place: str) -> Mapping[str, Any]:
    """Return what the page's own script draws: columns of the designs that are shown."""
    result = rows.result
    on_front = set(rows.front.tolist())
    return {
        "place": place,
        "axes": [{"name": axis_name(axis), "levels": level_names(axis)} for axis in result.axes],
        "objectives": [
            {"name": column_label(name), "goal": goal} for name, goal in result.objectives
        ],
        "index": rows.index[shown].tolist(),
        "levels": rows.levels[shown].T.tolist(),
        # Three digits are what the page shows; the table holds them all.
        "values": [
            [None if value != value else float(f"{value:.4g}") for value in column.tolist()]
            for column in rows.objectives[shown].T
        ],
        "front": [int(member in on_front) for member in shown.tolist()],
        "knee": None if rows.knee is None else int(rows.index[rows.knee]),
    }
