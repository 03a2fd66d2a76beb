"""Traces of networks whose weights are not at hand: every count is a seeded draw.

A draw of N opportunities at rate p has the mean and variance of a binomial, N p and N p (1 - p).
Its randomness is the sum of twelve 32-bit halves of Philox words (Irwin-Hall), mapped by this
module, so a count depends on the seed, the operator's name and N and p alone. No weight is
materialised: the time does not depend on the size of the network.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from accelsim.config import NetworkConfig
from accelsim.errors import UserError
from accelsim.functional.operator_rows import MAX_STEPS, footprint, operator_rows, trace_form
from accelsim.functional.opportunities import Opportunities, opportunities, zero_fraction
from accelsim.functional.profile import OperandProfile, OperandRates
from accelsim.trace import (
    EXTREME_COLUMNS,
    OPERATOR_DTYPE,
    Footprint,
    Kind,
    Phase,
    Stationary,
    Trace,
    WeightSource,
    Workload,
    instances,
    steps,
)

_WORDS = 6  # a draw sums both halves of each
_DRAWS = 16  # at most, from one stream
MAX_DIMENSION = 1 << 20
# Linears that read the same vector as another: their activations are drawn once.
_READS_WITH = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
GEMM_LIKE = "q_proj"  # whose operands a GEMM on its own is given


def synthetic_trace(
    config: NetworkConfig,
    workload: Workload,
    form: str,
    profile: OperandProfile,
    seed: int = 0,
) -> Trace:
    """Return a trace of ``config`` whose operands behave as ``profile`` says.

    A weight that prefill and decode share has one draw. Positions past the network's maximum are
    allowed and marked ``extrapolated``. Widths of accumulators are not drawn: they stay -1.

    Raises:
        UserError: the profile lacks the form or an operator, or the totals pass int64.
    """
    form = trace_form(config, form)
    names, rows = operator_rows(config, workload, form)
    _fill_counts(names, rows, form, profile, seed)
    return Trace(
        network=config.name,
        form=form,
        layers=config.layers,
        workload=workload,
        source=WeightSource(
            kind="synthetic",
            source=config.name,
            sha256="",
            zero_fraction=zero_fraction(rows),
            profile=profile.name,
            extrapolated=workload.prefill + workload.decode > config.max_positions,
        ),
        footprint=footprint(config, workload, form),
        names=names,
        operators=rows,
    )


def synthetic_gemm(
    m: int, k: int, n: int, form: str, profile: OperandProfile, seed: int = 0
) -> Trace:
    """Return a trace of one linear layer of m tokens, reduction k and n outputs.

    Its operands behave as those of ``GEMM_LIKE``, and it runs as a decode pass does: with what
    stays in SRAM already there.

    Raises:
        UserError: a size out of range, or more steps than int64 counts can hold.
    """
    for key, value in (("M", m), ("K", k), ("N", n)):
        if not 1 <= value <= MAX_DIMENSION:
            raise UserError(
                "out of range", file="gemm", key=key, value=value, allowed=f"1 to {MAX_DIMENSION}"
            )
    if m * k * n >= MAX_STEPS:
        raise UserError("has too many steps", file="gemm", value=f"{m} {k} {n}")
    ternary = form == "ternary"
    rows = np.zeros(1, OPERATOR_DTYPE)
    shape = {
        "kind": Kind.GEMM,
        "phase": Phase.DECODE,
        "m": m,
        "k": k,
        "n": n,
        "repeat": 1,
        "series_count": 1,
        "distinct": 1,
        "stationary": Stationary.TERNARY if ternary else Stationary.DENSE,
        "activation_bits": 8 if ternary else 16,
        "weight_bits": 2 if ternary else 16,
    }
    for column, value in (*shape.items(), *((c, -1) for c in EXTREME_COLUMNS)):
        rows[column] = value
    names = (f"decode/{GEMM_LIKE}",)
    _fill_counts(names, rows, form, profile, seed)
    weights = {"ternary": k * n, "dense": 0} if ternary else {"ternary": 0, "dense": k * n}
    return Trace(
        network=f"gemm {m} {k} {n}",
        form=form,
        layers=1,
        workload=Workload(1, 1, 1),
        source=WeightSource("synthetic", "gemm", "", zero_fraction(rows), profile.name),
        footprint=Footprint(**weights, head=0, norm=0, cache=0),
        names=names,
        operators=rows,
    )


def _fill_counts(
    names: tuple[str, ...],
    rows: npt.NDArray[np.void],
    form: str,
    profile: OperandProfile,
    seed: int,
) -> None:
    """Draw the counts of every matrix product in ``rows``, in place."""
    chances = opportunities(rows)
    pairs = steps(rows)
    copies = _copies(rows)
    for index in np.flatnonzero(rows["kind"] >= Kind.GEMM).tolist():
        operator = names[index].partition("/")[2]
        rates = profile.of_operator(form, operator)
        row = {name: int(rows[name][index]) for name in ("m", "n", "activation_bits")}
        row |= {"weight_bits": int(rows["weight_bits"][index]), "steps": int(pairs[index])}
        row["n"] += int(rows["series_step"][index] * (rows["series_count"][index] - 1))
        counts = _weight_counts(
            _draws(seed, operator), rates, chances, index, int(copies[index]), row["weight_bits"]
        )
        phase = names[index].partition("/")[0]
        draws = _draws(seed, f"{phase}/{_READS_WITH.get(operator, operator)}/activations")
        counts |= _activation_counts(draws, rates, chances, index, row["activation_bits"])
        counts["both_nonzero"] = _both_nonzero(
            _draws(seed, names[index]), rates, chances, index, row, counts
        )
        for column, count in counts.items():
            rows[column][index] = count


def _copies(rows: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return how many instances read the same weight; caches count as read once each."""
    shared = np.isin(rows["stationary"], (Stationary.TERNARY, Stationary.DENSE, Stationary.HEAD))
    return np.where(shared, instances(rows) // np.maximum(rows["distinct"], 1), 1)


def _draws(seed: int, name: str) -> Iterator[float]:
    """Yield near-normal numbers, mean 0 and variance 1, of the stream that ``name`` owns."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    words = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(_DRAWS * _WORDS)
    halves = (words & 0xFFFFFFFF).astype(np.int64) + (words >> np.uint64(32)).astype(np.int64)
    sums: list[int] = halves.reshape(_DRAWS, _WORDS).sum(axis=1).tolist()
    return ((total - _WORDS * (1 << 32)) / (1 << 32) for total in sums)


def _draw(draws: Iterator[float], trials: int, rate: float) -> int:
    """Return a count of ``trials`` events at ``rate``, within 0 and ``trials``."""
    rate = min(max(rate, 0.0), 1.0)
    noise = next(draws) * math.sqrt(trials * rate * (1 - rate))
    return min(max(math.floor(trials * rate + noise + 0.5), 0), trials)


def _weight_counts(
    draws: Iterator[float],
    rates: OperandRates,
    chances: Opportunities,
    index: int,
    copies: int,
    bits: int,
) -> dict[str, int]:
    """Return counts of the second operand: drawn once, read ``copies`` times."""
    elements = int(chances.weights[index]) // copies
    counts = {"weight_nonzero": _draw(draws, elements, rates.weight_nonzero.value)}
    ternary = bits == 2
    if ternary:
        plus = _draw(draws, counts["weight_nonzero"], rates.weight_plus.value)
        counts |= {"weight_plus": plus, "weight_minus": counts["weight_nonzero"] - plus}
    for axis, total in (("k", chances.weight_pairs_k), ("n", chances.weight_pairs_n)):
        pairs = int(total[index]) // copies
        if ternary:
            counts |= _transitions(draws, rates, pairs, axis)
        else:
            name = f"weight_hamming_{axis}"
            counts[name] = _draw(draws, pairs * bits, getattr(rates, name).value / bits)
    return {name: count * copies for name, count in counts.items()}


def _transitions(
    draws: Iterator[float], rates: OperandRates, pairs: int, axis: str
) -> dict[str, int]:
    """Return the three kinds of ternary change among ``pairs`` neighbours, never more in all."""
    counts = {}
    left, share = pairs, 1.0
    for change in ("zero_plus", "zero_minus", "plus_minus"):
        name = f"weight_{change}_{axis}"
        rate = getattr(rates, name).value
        counts[name] = _draw(draws, left, rate / share if share > 0 else 0.0)
        left, share = left - counts[name], share - rate
    return counts


def _activation_counts(
    draws: Iterator[float], rates: OperandRates, chances: Opportunities, index: int, bits: int
) -> dict[str, int]:
    elements = int(chances.activations[index])
    counts = {"activation_zero": _draw(draws, elements, rates.activation_zero.value)}
    for axis, total in (("k", chances.activation_pairs_k), ("m", chances.activation_pairs_m)):
        name = f"activation_hamming_{axis}"
        rate = getattr(rates, name).value / bits
        counts[name] = _draw(draws, int(total[index]) * bits, rate)
    return counts


def _both_nonzero(
    draws: Iterator[float],
    rates: OperandRates,
    chances: Opportunities,
    index: int,
    row: dict[str, int],
    counts: dict[str, int],
) -> int:
    """Return steps with neither operand zero, from the densities that were drawn.

    An activation meets at most n weights and a weight at most m activations.
    """
    moving = int(chances.activations[index])
    nonzero = moving - counts["activation_zero"]
    density = nonzero / moving * (counts["weight_nonzero"] / int(chances.weights[index]))
    count = _draw(draws, row["steps"], density * rates.both_nonzero.value)
    return min(count, nonzero * row["n"], counts["weight_nonzero"] * row["m"])
