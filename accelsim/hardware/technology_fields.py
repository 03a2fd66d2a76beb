"""The head of a technology file, and the table of papers in it: its keys and their types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelsim.errors import UserError, did_you_mean

PRIMITIVES = tuple(
    f"{kind}_{operation}"
    for kind in ("fp32", "fp16", "int8", "int32")
    for operation in ("add", "mul")
)
KEYS = {
    "name": str,
    "description": str,
    "node_nm": int,
    "voltage_v": float,
    "corner": str,
    "temperature_c": int,
    "sram_table_node_nm": int,
    "prices": dict,
}


def fields_of(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the values of ``KEYS``; raise UserError for one that is missing, unknown or wrong."""
    known = (*KEYS, "primitives", "shared_prices")
    for key in content:
        if key not in known:
            raise UserError("unknown key", file=file, key=key, allowed=did_you_mean(key, known))
    fields: dict[str, Any] = {}
    for key, kind in KEYS.items():
        if key not in content:
            raise UserError("is missing", file=file, key=key)
        value = float(content[key]) if _is_whole(content[key], kind) else content[key]
        if type(value) is not kind:
            raise UserError(f"must be {kind.__name__}", file=file, key=key, value=content[key])
        fields[key] = value
    return fields


def _is_whole(value: Any, kind: type) -> bool:
    return kind is float and type(value) is int


def published_energies(content: Any, file: Path) -> dict[str, float] | None:
    """Return the papers' table, all eight operations or none."""
    if content is None:
        return None
    if not isinstance(content, Mapping) or set(content) != {"source", *PRIMITIVES}:
        raise UserError(
            "must hold source and the eight energies in pJ",
            file=file,
            key="primitives",
            allowed="allowed: source, " + ", ".join(PRIMITIVES),
        )
    for name in PRIMITIVES:
        if type(content[name]) not in (int, float) or not content[name] > 0:
            raise UserError(
                "must be a positive energy in pJ",
                file=file,
                key=f"primitives.{name}",
                value=content[name],
            )
    if not isinstance(content["source"], str) or not content["source"].strip():
        raise UserError("must be a text", file=file, key="primitives.source")
    return {name: float(content[name]) for name in PRIMITIVES}
