"""Measures an operand profile: the rates of a recorded network, and their range over layers."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.opportunities import Opportunities, opportunities
from accelsim.functional.profile import RATES, FormProfile, ProfileSource
from accelsim.functional.tracer import Recording
from accelsim.trace import COUNT_COLUMNS, Kind, steps

DIGITS = 6
# What each rate is a share of: opportunities, or another count.
_SHARE_OF = {
    "weight_nonzero": "weights",
    "weight_plus": "weight_nonzero",
    "activation_zero": "activations",
    "activation_hamming_k": "activation_pairs_k",
    "activation_hamming_m": "activation_pairs_m",
} | {
    f"weight_{change}_{axis}": f"weight_pairs_{axis}"
    for change in ("zero_plus", "zero_minus", "plus_minus", "hamming")
    for axis in ("k", "n")
}


def measure_form(recording: Recording, text: str) -> FormProfile:
    """Return the rates of every matrix product of ``recording``, both phases together.

    Args:
        recording: A network with its counts per layer.
        text: What the network read, in words.
    """
    trace = recording.trace
    chances = opportunities(trace.operators)
    operators = list(
        dict.fromkeys(
            name.partition("/")[2]
            for name, row in zip(trace.names, trace.operators, strict=True)
            if row["kind"] >= Kind.GEMM
        )
    )
    rates = {}
    for operator in operators:
        mine = np.array([name.partition("/")[2] == operator for name in trace.names])
        whole = _totals(trace.operators[mine], chances, mine, 1)
        parts = [whole]
        if trace.operators["in_layer"][mine].all():
            parts = [_totals(r[mine], chances, mine, trace.layers) for r in recording.layers]
        rates[operator] = {rate: _range(rate, whole, parts) for rate in RATES}
    source = ProfileSource(
        network=trace.network,
        sha256=trace.source.sha256,
        text=text,
        prefill=trace.workload.prefill,
        decode=trace.workload.decode,
        batch=trace.workload.batch,
    )
    return FormProfile.model_validate({"source": source, "rates": rates})


def _totals(
    rows: NDArray[np.void], chances: Opportunities, mine: NDArray[np.bool_], share: int
) -> dict[str, float]:
    """Return counts of ``rows`` and one of ``share`` equal parts of their opportunities."""
    totals = {column: float(rows[column].sum()) for column in COUNT_COLUMNS}
    for field in fields(Opportunities):
        totals[field.name] = float(getattr(chances, field.name)[mine].sum()) / share
    totals["steps"] = float(steps(rows).sum()) / share
    return totals


def _range(rate: str, whole: dict[str, float], parts: list[dict[str, float]]) -> dict[str, float]:
    layers = [_rate(rate, part) for part in parts]
    value = _rate(rate, whole)
    ends = {"value": value, "low": min(*layers, value), "high": max(*layers, value)}
    return {name: round(number, DIGITS) for name, number in ends.items()}


def _rate(rate: str, totals: dict[str, float]) -> float:
    if rate != "both_nonzero":
        whole = totals[_SHARE_OF[rate]]
        return totals[rate] / whole if whole else 0.0
    moving = totals["activations"] - totals["activation_zero"]
    independent = totals["weight_nonzero"] / totals["weights"] * moving / totals["activations"]
    return totals["both_nonzero"] / (totals["steps"] * independent) if independent else 1.0
