"""What a checkpoint is made of, for a reader: `inspect`'s plain rows, summed up and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.report.quantities import percent, quantity, times
from accelsim.report.terminal import (
    add_row,
    listing_table,
    mapping_table,
    spaced,
    titled_table,
)

Row = Mapping[str, Any]
ENTROPY = "entropy"
NARROW_BITS = 16  # the accumulator that many kernels and machines have


def inspect_table(result: Row) -> RenderableType:
    """Return a checkpoint: its shape, its weights by kind and layer, sums and footprint."""
    config = {key: value for key, value in result["config"].items() if value is not None}
    head = {
        "checkpoint": result["checkpoint"],
        "sha256": result["sha256"],
        **config,
        "linear weights": result["linear_weights"],
        "zero fraction": result["zero_fraction"],
    }
    parts = [mapping_table(head)]
    kinds = by_kind(result["tensors"])
    if kinds:
        parts += [
            _weights(kinds, result["tensors"]),
            _layers(result["tensors"]),
            _sums(kinds, result),
        ]
        parts += [_footprint(result["footprint"])]
    others = [row for row in result["tensors"] if not is_ternary(row)]
    if others:
        parts.append(listing_table([{**row, "shape": shape_of(row)} for row in others]))
    return spaced([*parts, Text(beside_linears(result["dense"]))])


def is_ternary(row: Row) -> bool:
    """Return whether a tensor holds ternary weights."""
    return bool(row["format"] == "ternary")


def ternary_rows(tensors: Sequence[Row]) -> list[Row]:
    """Return the ternary tensors."""
    return [row for row in tensors if is_ternary(row)]


def shape_of(row: Row) -> str:
    """Return ``outputs x inputs``."""
    return " x ".join(map(str, row["shape"]))


def weights_of(row: Row) -> int:
    """Return how many weights a tensor has."""
    outputs, inputs = row["shape"]
    return int(outputs * inputs)


def by_kind(tensors: Sequence[Row]) -> list[dict[str, Any]]:
    """Sum the ternary tensors of each kind up over the layers, kinds in the order they run.

    Keys: kind, shape, tensors, minus, zero and plus (shares of 1), zero_low and zero_high (over
    layers), entropy_bits (mean over weights), dead_outputs, dead_inputs, dead_weights, and the
    largest of worst_bits, any_weights_bits and, where a text was run, text_bits and text_magnitude.
    """
    groups: dict[str, list[Row]] = {}
    for row in ternary_rows(tensors):
        groups.setdefault(row["kind"], []).append(row)
    return [_kind(kind, rows) for kind, rows in groups.items()]


def _kind(kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    weights = sum(map(weights_of, rows))
    zeros = [row["zeros"] / weights_of(row) for row in rows]
    entropy = sum(row["entropy_bits"] * weights_of(row) for row in rows)
    summed = {
        "kind": kind,
        "shape": ", ".join(dict.fromkeys(map(shape_of, rows))),
        "tensors": len(rows),
        "minus": sum(row["minus"] for row in rows) / weights,
        "zero": sum(row["zeros"] for row in rows) / weights,
        "plus": sum(row["plus"] for row in rows) / weights,
        "zero_low": min(zeros),
        "zero_high": max(zeros),
        "entropy_bits": entropy / weights,
        "dead_outputs": sum(row["dead_outputs"] for row in rows),
        "dead_inputs": sum(row["dead_inputs"] for row in rows),
        "dead_weights": sum(row["dead_weights"] for row in rows),
    }
    for key in ("any_weights_bits", "worst_bits", "text_bits", "text_magnitude"):
        if all(key in row for row in rows):
            summed[key] = max(row[key] for row in rows)
    return summed


def beside_linears(dense: Sequence[Row]) -> str:
    """Return one line on the tensors that are no linears, largest first."""
    matrices = [row for row in dense if len(row["shape"]) > 1]
    vectors = [row for row in dense if len(row["shape"]) == 1]
    words = [
        f"{row['name']} {shape_of(row)} {row['format']}, {quantity(row['bytes'], 'B')}"
        for row in sorted(matrices, key=lambda row: -row["bytes"])
    ]
    if vectors:
        size = quantity(sum(row["bytes"] for row in vectors), "B")
        words.append(f"{len(vectors)} vectors, {size}")
    return f"beside the linears: {'; '.join(words)}"


def dead_note(tensors: Sequence[Row]) -> str:
    """Return how many weights lie in dead rows and columns, as one sentence."""
    rows = ternary_rows(tensors)
    dead = sum(row["dead_weights"] for row in rows)
    share = percent(dead / sum(map(weights_of, rows)))
    return (
        f"{dead:,} weights ({share}) lie in dead rows (outputs without a weight) or dead columns "
        "(inputs that no output reads)."
    )


def narrow_note(tensors: Sequence[Row]) -> str:
    """Return how many ternary linears a 16-bit accumulator serves, as one sentence."""
    rows = ternary_rows(tensors)
    worst = sum(row["worst_bits"] <= NARROW_BITS for row in rows)
    text = f"{NARROW_BITS} bits hold any sum of {worst} of {len(rows)} ternary linears"
    if any("text_bits" in row for row in rows):
        found = sum(row["text_bits"] <= NARROW_BITS for row in rows)
        text += f", and every running sum of {found} of them on the text"
    return f"{text}."


def file_note(row: Row) -> str:
    """Return what the tensors take in a file of this packing, or why there is none."""
    if row["refused"] is not None:
        return f"no file: {row['refused']}"
    return "" if row["file_bytes"] is None else quantity(row["file_bytes"], "B")


def over_entropy(row: Row, footprint: Sequence[Row]) -> str:
    """Return a packing's size over the entropy limit, ``1.05x``."""
    limit = footprint[-1]["bits_per_weight"]
    return times(row["bits_per_weight"] / limit) if limit else ""


def _weights(kinds: Sequence[Row], tensors: Sequence[Row]) -> RenderableType:
    columns = ("kind", "outputs x inputs", "-1", "0", "+1", "0 by layer", "entropy", "dead rows")
    table = titled_table("weights by kind (entropy: bits a weight)", (*columns, "dead columns"))
    for row in kinds:
        shares = [percent(row[key]) for key in ("minus", "zero", "plus")]
        layers = f"{100 * row['zero_low']:.1f}–{percent(row['zero_high'])}"
        dead = [f"{row[key]:,}" for key in ("dead_outputs", "dead_inputs")]
        cells = (row["shape"], *shares, layers, f"{row['entropy_bits']:.3f}", *dead)
        add_row(table, (row["kind"], *cells))
    return Group(table, Text(dead_note(tensors)))


def _layers(tensors: Sequence[Row]) -> RenderableType:
    rows = ternary_rows(tensors)
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    title = "share of zero weights by layer"
    table = titled_table(title, ("layer", *kinds, "dead rows", "dead columns"))
    layers: dict[int, dict[str, Row]] = {}
    for row in rows:
        layers.setdefault(row["layer"], {})[row["kind"]] = row
    for layer, found in layers.items():
        shares = [
            percent(found[kind]["zeros"] / weights_of(found[kind])) if kind in found else ""
            for kind in kinds
        ]
        dead = [sum(row[key] for row in found.values()) for key in ("dead_outputs", "dead_inputs")]
        add_row(table, (f"{layer}", *shares, *(f"{count:,}" for count in dead)))
    return table


def _sums(kinds: Sequence[Row], result: Row) -> RenderableType:
    """Return signed accumulator bits by kind: the widest over its layers."""
    text = result["text"]
    columns = ["kind", "any weights", "these weights"]
    if text:
        columns += ["text, ascending k", "text, any order"]
    table = titled_table("signed accumulator bits, the widest layer of each kind", columns)
    for row in kinds:
        cells = [f"{row['any_weights_bits']}", f"{row['worst_bits']}"]
        if text:
            cells += [f"{row['text_bits']}", f"{int(row['text_magnitude']).bit_length() + 1}"]
        add_row(table, (row["kind"], *cells))
    notes = narrow_note(result["tensors"])
    if text:
        notes += f"\nThe text: {text['tokens']:,} tokens of {text['source']}."
    return Group(table, Text(notes))


def _footprint(footprint: Sequence[Row]) -> RenderableType:
    columns = ("packing", "bytes", "bits a weight", "over entropy", "lossless", "file", "decoder")
    table = titled_table("all ternary weights in every packing", columns)
    for row in footprint:
        entropy = row["packing"] == ENTROPY
        size = "" if entropy else over_entropy(row, footprint)
        lossless = "yes" if row["lossless"] else "no"
        file = "" if row["file_bytes"] is None else quantity(row["file_bytes"], "B")
        cells = (f"{row['bytes']:,}", f"{row['bits_per_weight']:.4f}", size, lossless)
        name = "entropy limit" if entropy else row["packing"]
        add_row(table, (name, *cells, "refused" if row["refused"] else file, row["decoder"]))
    refused = [f"{row['packing']}: {file_note(row)}" for row in footprint if row["refused"]]
    return Group(table, *map(Text, refused))
