"""How often each counted event could have happened: what a count is divided by to give a rate.

Causal probabilities count inside the triangle only: row ``i`` has ``i + 1`` entries, neighbours
along k are two of one row, neighbours along m two of one column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.trace import Kind, Series, Stationary

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Opportunities:
    """Totals over all instances of every row, each int64 [O]; zero for rows that are no GEMM."""

    weights: Int64
    activations: Int64
    weight_pairs_k: Int64
    weight_pairs_n: Int64
    activation_pairs_k: Int64
    activation_pairs_m: Int64


def opportunities(operators: npt.NDArray[np.void]) -> Opportunities:
    """Return elements and neighbour pairs of both operands of every row."""
    o = operators
    count = o["series_count"]
    grown = o["series_step"] * (count * (count - 1) // 2)
    k = o["k"] * count + np.where(o["series"] == Series.K, grown, 0)  # summed over the series
    n = o["n"] * count + np.where(o["series"] == Series.N, grown, 0)
    grows_n = o["series"] == Series.N
    times = np.where(o["kind"] >= Kind.GEMM, o["repeat"], 0)

    def product(k_less: int, n_less: int) -> Int64:
        """Return the sum over instances of (k - k_less) * (n - n_less)."""
        sum_k = (o["k"] - k_less) * (n - n_less * count)
        sum_n = (k - k_less * count) * (o["n"] - n_less)
        return np.asarray(np.where(grows_n, sum_k, sum_n) * times, dtype=np.int64)

    triangle = (o["causal"] == 1) & (o["kind"] == Kind.ATTENTION_AV)
    m = o["m"]
    inside = m * (m - 1) // 2 * times

    def moving(full: Int64, causal: Int64) -> Int64:
        return np.asarray(np.where(triangle, causal, full * times), dtype=np.int64)

    return Opportunities(
        weights=product(0, 0),
        activations=moving(m * k, m * (m + 1) // 2 * times),
        weight_pairs_k=product(1, 0),
        weight_pairs_n=product(0, 1),
        activation_pairs_k=moving(m * (k - count), inside),
        activation_pairs_m=moving((m - 1) * k, inside),
    )


def zero_fraction(rows: npt.NDArray[np.void]) -> float:
    """Return the share of zeros among the ternary weights of a trace, 0.0 where it has none."""
    ternary = rows["stationary"] == Stationary.TERNARY
    weights = int(opportunities(rows).weights[ternary].sum())
    return 1 - int(rows["weight_nonzero"][ternary].sum()) / weights if weights else 0.0
