"""Prices that say how a measured PE is built: its registers, and which part takes which share.

The engine books a PE's energy and area to components of a report. Parts of a netlist become these
components here. Energy above an idle cycle is what events are priced at, so the clock of each
part's flops is taken off first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelsim.rtl.netlist_parts import (
    ACCUMULATOR,
    ADDER,
    CONTROL,
    DRAIN,
    MULTIPLIER,
    OPERANDS,
    PARTS,
    PIPELINE,
)

Measured = Mapping[str, Any]  # a PE as the JSON has it

FIRST_FLOAT_KIND = 3


def shape_prices(pe: Measured) -> dict[str, Any]:
    """Return ``pe.NAME.shape.*``: flops, latency, accumulator bits and lanes as measured."""
    parameters = pe["parameters"]
    numbers = {
        "flops": pe["flops"],
        "latency": pe["latency"],
        "accumulator_bits": parameters["ACC"],
        "lanes": parameters.get("LANES", 1),
    }
    stem = f"pe.{pe['name']}"
    source = f"the synthesis that {stem}.area tells of"
    return {f"{stem}.shape.{key}": _one(number, "area", source) for key, number in numbers.items()}


def share_prices(pe: Measured, clock_pj: float) -> dict[str, Any]:
    """Return ``pe.NAME.area.share.*`` and ``pe.NAME.KIND.share.*``; each family adds up to 1.

    Args:
        pe: A PE of the JSON.
        clock_pj: Energy of one clocked flop and cycle.
    """
    stem = f"pe.{pe['name']}"
    source = f"the synthesis that {stem}.area tells of, its hierarchy kept"
    shares = {f"{stem}.area.share.{name}": _one(share, "area", source)
              for name, share in components(pe, pe["area_share"]).items()}  # fmt: skip
    for kind in pe["energy"]:
        for name, share in components(pe, energy_above_idle(pe, kind, clock_pj)).items():
            shares[f"{stem}.{kind}.share.{name}"] = _one(share, "arithmetic", source)
    return shares


def energy_above_idle(pe: Measured, kind: str, clock_pj: float) -> dict[str, float]:
    """Return each part's share of what operands add to an idle cycle."""
    energy = pe["energy"][kind]
    cycle_pj = energy["per_step_pj"]["low"] * pe["parameters"].get("LANES", 1)
    cycle_pj *= pe["hierarchy_kept_over_flat"]["energy"]
    flops = flops_by_part(pe)
    above = {
        part: max(0.0, share * cycle_pj - flops.get(part, 0) * clock_pj)
        for part, share in energy["share"].items()
    }
    whole = sum(above.values())
    return {part: each / whole for part, each in above.items()}


def flops_by_part(pe: Measured) -> dict[str, int]:
    """Return the flops of each part; what no register of the source explains is pipeline."""
    p, latency = pe["parameters"], pe["latency"]
    lanes = p.get("LANES", 1)
    if "HELD" in p:
        copies = 2 if latency == 1 else latency
        found = {
            OPERANDS: p["STREAM"] + copies * p["HELD"],
            ACCUMULATOR: p["ACC"],
            CONTROL: 3 if latency == 1 else 2,
        }
    else:
        own = lanes if "LANES" in p else 6 + p["INDEX"]
        found = {
            OPERANDS: lanes * (p["A"] + p["W"]),
            ACCUMULATOR: p["ACC"] * p["SUMS"],
            DRAIN: p["ACC"],
            CONTROL: own + 1 + (latency - 1) * (2 + p["INDEX"]),
        }
    return found | {PIPELINE: pe["flops"] - sum(found.values())}


def components(pe: Measured, parts: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each component of a report, from shares of parts of the netlist.

    An adder's bits up to the width of a product belong to the array, those above to the
    accumulator; of a dot-product unit's adders the tree takes as much as it has of all bits.
    """
    p = pe["parameters"]
    lanes, product = p.get("LANES", 1), _product_bits(p)
    tree = (lanes - 1) * product / ((lanes - 1) * product + p["ACC"])
    narrow = min(1.0, product / p["ACC"])
    last = parts[ADDER] * (1 - tree)
    found = {
        "array": parts[MULTIPLIER] + last * narrow,
        "reduction": parts[ADDER] * tree,
        "accumulator": last * (1 - narrow) + parts[ACCUMULATOR] + parts[PIPELINE] + parts[DRAIN],
        "operand_registers": parts[OPERANDS],
        "control": parts[CONTROL],
    }
    whole = sum(parts[part] for part in PARTS)
    return {name: share / whole for name, share in found.items()}


def _product_bits(parameters: Mapping[str, int]) -> int:
    """Return the bits of a product as an adder of its own width would take it.

    A ternary product is an activation; that of floats counts in the operands' format.
    """
    multiplies_integers = 0 < parameters["KIND"] < FIRST_FLOAT_KIND
    return parameters["A"] + (parameters["W"] if multiplies_integers else 0)


def _one(value: float, because: str, source: str) -> dict[str, Any]:
    numbers = {"value": value, "low": value, "high": value}
    return {**numbers, "how": "synthesised", "unit": "1", "because": because, "source": source}
