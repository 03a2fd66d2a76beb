"""One self-contained page on a checkpoint: figures with what to see in them, and every table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from accelsim.report.anatomy import (
    ENTROPY,
    beside_linears,
    by_kind,
    dead_note,
    file_note,
    narrow_note,
    over_entropy,
    shape_of,
    weights_of,
)
from accelsim.report.render import render

Context = dict[str, Any]
WORDS = (
    ("linear", "A matrix that every token is multiplied by: q, k, v, o, gate, up, down."),
    ("entropy", "Bits a weight takes at least where weights are coded one by one."),
    ("dead row", "An output whose weights are all zero: it is always 0."),
    ("dead column", "An input that no output reads."),
    ("worst bits", "Of a signed accumulator that no int8 codes overflow, in any order."),
    ("running sum", "A sum on its way, added in ascending k."),
    ("k", "The place along the inputs, which a product adds up over."),
)


def inspection_page(inspected: Mapping[str, Any], pictures: Iterable[Context]) -> str:
    """Return the page on what `inspect` found.

    Args:
        inspected: Its plain rows.
        pictures: name, title, caption and svg (an element, from ``style.inline``) of each figure.
    """
    footprint = inspected["footprint"]
    packed = [row for row in footprint if row["decoder"] and row["lossless"]]
    config = {key: value for key, value in inspected["config"].items() if value is not None}
    context = {
        "inspected": inspected,
        "chips": [f"{key.replace('_', ' ')} {value}" for key, value in config.items()],
        "pictures": {p["name"]: {**p, "svg": Markup(p["svg"])} for p in pictures},
        "kinds": by_kind(inspected["tensors"]),
        "tensors": [
            {**row, "spelt": shape_of(row), "weights": weights_of(row)}
            for row in inspected["tensors"]
        ],
        "footprint": [
            {**row, "over": over_entropy(row, footprint), "file": file_note(row)}
            for row in footprint
        ],
        "least": footprint[-1] if footprint else None,
        "best": min(packed, key=lambda row: row["bytes"]) if packed else None,
        "entropy": ENTROPY,
        "beside": beside_linears(inspected["dense"]),
        "dead": dead_note(inspected["tensors"]) if footprint else "",
        "narrow": narrow_note(inspected["tensors"]),
        "words": WORDS,
        "marked_hows": (),
        "footer": "accelsim inspect. Numbers: inspect.json and tensors.csv beside this page.",
    }
    return render("inspect.html.j2", context)
