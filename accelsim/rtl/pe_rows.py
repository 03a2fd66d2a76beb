"""Measured PEs side by side: area and energy of one operation, and what they are spent on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelsim.errors import UserError
from accelsim.rtl.netlist_parts import ACCUMULATOR, DRAIN, PIPELINE
from accelsim.rtl.price_shares import components
from accelsim.rtl.record_form import check_form

Record = Mapping[str, Any]  # what a run of synthesis wrote as JSON
Row = dict[str, Any]

# Zero weights of the curves, and what else a stream of them is like: share of activations that are
# not zero and bits that change from one to the next, mean over the linears of the shipped network.
ZEROS = tuple(number / 20 for number in range(21))
_NONZERO_ACTIVATIONS, _ACTIVATION_TOGGLES = 0.861, 3.54


def read_record(path: Path, allowed: str = "NAME.json of rtl synthesise") -> Record:
    """Return a record of synthesis.

    Args:
        path: Where it stands.
        allowed: What a reader of the error may do.

    Raises:
        UserError: There is none, or the file is something else.
    """
    try:
        record: Record = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError("cannot be read", file=str(path), value=error.strerror) from error
    except ValueError as error:
        raise UserError("is no record of synthesis", file=str(path), allowed=allowed) from error
    check_form(record, str(path), allowed)
    return record


def pe_rows(record: Record, label: str) -> list[Row]:
    """Return a row per measured PE.

    Args:
        record: Of one library.
        label: What the library is called in the rows.

    Returns:
        Rows with keys library, name, products, accumulator_bits, latency, best_clock_mhz; of one
        product area_um2, area_share by part, ternary_pj, energy_share by part, ternary_low_pj,
        ternary_high_pj, dense_low_pj and dense_high_pj, clock cycles of all registers included,
        None where a PE takes no such weights; times_area and times_energy (of ternary_add, with
        ternary weights); accumulator_area and accumulator_energy (share of what a sum needs);
        clock_energy (share of an idle cycle); gated_area, gated_idle and gated_busy (with gating
        cells, times without; None where nothing was gated); fit_mean and fit_worst (error of the
        fit on streams that it never saw, of the worse kind of weights).
    """
    base = next((pe for pe in record["pes"] if pe["name"] == "ternary_add"), None)
    return [_row(pe, base, label) for pe in record["pes"]]


def _row(pe: Mapping[str, Any], base: Mapping[str, Any] | None, label: str) -> Row:
    energy, products = pe["energy"], products_of(pe)
    fits = [weighed["fits"]["mean"] for weighed in energy.values()]
    low, high = (energy["ternary"]["per_step_pj"][bound] for bound in ("low", "high"))
    middle = (low + high) / 2
    return {
        "library": label,
        "name": pe["name"],
        "products": products,
        "accumulator_bits": pe["parameters"]["ACC"],
        "latency": pe["latency"],
        "best_clock_mhz": pe["best_clock_mhz"],
        "area_um2": pe["area_um2"] / products,
        "area_share": pe["area_share"],
        "ternary_pj": middle,
        "energy_share": energy["ternary"]["share"],
        **{
            f"{kind}_{bound}_pj": energy[kind]["per_step_pj"][bound] if kind in energy else None
            for kind in ("ternary", "dense")
            for bound in ("low", "high")
        },
        "times_area": base and pe["area_um2"] / products / base["area_um2"],
        "times_energy": base and middle / middle_pj(base),
        "accumulator_area": accumulator_share(pe, pe["area_share"]),
        "accumulator_energy": accumulator_share(pe, energy["ternary"]["share"]),
        "clock_energy": fits[0]["idle_pj"] / products / middle,
        **_gated(pe, fits[0]["idle_pj"]),
        "fit_mean": max(fit["mean_error"] for fit in fits),
        "fit_worst": max(fit["worst_error"] for fit in fits),
    }


def _gated(pe: Mapping[str, Any], idle_pj: float) -> dict[str, float | None]:
    gated = pe["gated"]
    if gated is None:
        return dict.fromkeys(("gated_area", "gated_idle", "gated_busy"))
    return {
        "gated_area": gated["area_um2"] / pe["area_um2"],
        "gated_idle": gated["idle_pj"] / idle_pj,
        "gated_busy": gated["busy_over_ungated"],
    }


def products_of(pe: Mapping[str, Any]) -> int:
    """Return the products of a cycle."""
    lanes: int = pe["parameters"].get("LANES", 1)
    return lanes


def middle_pj(pe: Mapping[str, Any], kind: str = "ternary") -> float:
    """Return the energy of one product in the middle between its bounds, pJ."""
    bounds = pe["energy"][kind]["per_step_pj"]
    return float(bounds["low"] + bounds["high"]) / 2


def accumulator_share(pe: Mapping[str, Any], parts: Mapping[str, float]) -> float:
    """Return the share of all that a sum needs: its registers, and adder bits above a product."""
    registers = parts[ACCUMULATOR] + parts[DRAIN]
    # What `components` books to the accumulator, less the pipeline of multiplier and adder.
    return max(registers, components(pe, parts)["accumulator"] - parts[PIPELINE])


def energy_by_zeros(pe: Mapping[str, Any], kind: str = "ternary") -> list[float]:
    """Return pJ of a product at each share of zero weights in ``ZEROS``, as the fit says.

    Weights follow each other independently, 1 and -1 equally often. Bits of a weight's code that
    change: one between 0 and 1 and between 1 and -1, two between 0 and -1.
    """
    fit = pe["energy"][kind]["fits"]["mean"]
    pj = fit["pj"]
    return [
        fit["idle_pj"] / products_of(pe)
        + pj["step"]
        + (1 - z) * (pj["weight_nonzero"] + _NONZERO_ACTIVATIONS * pj["both_nonzero"])
        + _ACTIVATION_TOGGLES * pj["activation_toggle"]
        + (3 * z * (1 - z) + (1 - z) ** 2 / 2) * pj["weight_toggle"]
        for z in ZEROS
    ]


# What the figures show: bars, and the curves of width, sharing and zeros.
SHOWN = (
    "ternary_add", "int8_int4_mac", "int8_mac_24", "int8_mac", "fp16_fmac", "bf16_fmac",
    "fp32_fmac", "ternary_add_held", "int8_mac_held_24", "fp16_fmac_held", "bf16_fmac_held",
    "ternary_dot16", "int8_dot16", "fp16_fused", "bf16_fused",
)  # fmt: skip
_WIDTHS = ("ternary_add_16", "ternary_add_20", "ternary_add", "ternary_add_32")
_LANES = {
    "ternary": ("ternary_add", "ternary_dot4", "ternary_dot16"),
    "int8": ("int8_mac_24", "int8_dot4", "int8_dot16"),
    "fp16": ("fp16_fmac", "fp16_fused4", "fp16_fused"),
    "bf16": ("bf16_fmac", "bf16_fused4", "bf16_fused"),
}
_ZEROS = {"ternary": "ternary_add", "int8": "int8_mac_24", "fp16": "fp16_fmac"}


def compared(record: Record, label: str) -> dict[str, Any]:
    """Return what the figures of one library show.

    Returns:
        Keys label, rows (all of ``pe_rows``), shown and widths (some of them), lanes (by kind of
        operand), zeros (pJ at each of ``ZEROS``, by kind of operand).
    """
    rows = {row["name"]: row for row in pe_rows(record, label)}
    pes = {pe["name"]: pe for pe in record["pes"]}
    lanes = {kind: [rows[name] for name in names if name in rows] for kind, names in _LANES.items()}
    return {
        "label": label,
        "rows": list(rows.values()),
        "shown": [rows[name] for name in SHOWN if name in rows],
        "widths": [rows[name] for name in _WIDTHS if name in rows],
        "lanes": {kind: found for kind, found in lanes.items() if found},
        "zeros": {kind: energy_by_zeros(pes[name]) for kind, name in _ZEROS.items() if name in pes},
    }
