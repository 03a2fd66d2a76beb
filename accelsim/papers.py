"""The papers' own accounting: a closed formula over shapes, arithmetic of matrix products only.

It reproduces the energy tables of BitNet (arXiv 2310.11453, Table 1) and of the BitNet b1.58 2B4T
report (arXiv 2504.12285, Table 1), both for 512 tokens. With S tokens, over all linear layers n x p
and all layers:

    linear    = sum of S n p
    attention = 2 S^2 heads head_dim            (the full square, not its causal half)
    rescale   = sum of S (n + p)
    FMAC      : ADD = (linear + attention) E_add           MUL = (linear + attention) E_mul
    BitNet    : ADD = linear E_int8_add + attention E_fp16_add
                MUL = (attention + rescale) E_fp16_mul

Embedding, lm_head, norms, softmax, casts, accumulator width and every memory are left out: that is
what the formula is, and why ``full`` accounting exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.trace import Kind, Phase, steps

if TYPE_CHECKING:
    from accelsim.config import NetworkConfig
    from accelsim.hardware.technology import Technology
    from accelsim.trace import Workload

TERNARY_BITS = 1.585  # log2(3), as the 2B4T report rounds it
JOULES_PER_PJ = 1e-12


@dataclass(frozen=True)
class PaperCounts:
    """Operations that the formula multiplies with prices."""

    linear: int
    attention: int
    rescale: int
    linear_weights: int


@dataclass(frozen=True)
class PaperEnergy:
    """Energy of one arithmetic in joules."""

    mul_j: float
    add_j: float

    @property
    def total_j(self) -> float:
        """Return the sum of multiplies and adds, in joules."""
        return self.mul_j + self.add_j


def paper_counts(operators: npt.NDArray[np.void]) -> PaperCounts:
    """Count the operations of trace rows, of one phase as the papers do, or of several."""
    full = operators.copy()
    full["causal"] = 0
    pairs = steps(full)
    linear = full["kind"] == Kind.GEMM
    attention = np.isin(full["kind"], (Kind.ATTENTION_QK, Kind.ATTENTION_AV))
    scaled = full["m"] * (full["k"] + full["n"]) * full["repeat"]
    weights = full["k"] * full["n"] * full["distinct"]
    first = linear & (full["phase"] == Phase.PREFILL)
    return PaperCounts(
        linear=int(pairs[linear].sum()),
        attention=int(pairs[attention].sum()),
        rescale=int(scaled[linear].sum()),
        linear_weights=int(weights[first].sum()),
    )


def paper_energy(counts: PaperCounts, prices: Mapping[str, float]) -> dict[str, PaperEnergy]:
    """Return the energy in FP32, in FP16 and as BitNet.

    Args:
        counts: Operations, by ``paper_counts``.
        prices: Energy in pJ of ``fp32_add``, ``fp32_mul``, ``fp16_add``, ``fp16_mul``,
            ``int8_add``.

    Raises:
        UserError: a price is missing.
    """
    missing = {"fp32_add", "fp32_mul", "fp16_add", "fp16_mul", "int8_add"} - set(prices)
    if missing:
        raise UserError("missing published energy", key="primitives", value=sorted(missing)[0])
    products = (counts.linear + counts.attention) * JOULES_PER_PJ
    energy = {
        form: PaperEnergy(products * prices[f"{form}_mul"], products * prices[f"{form}_add"])
        for form in ("fp32", "fp16")
    }
    energy["bitnet"] = PaperEnergy(
        (counts.attention + counts.rescale) * prices["fp16_mul"] * JOULES_PER_PJ,
        (counts.linear * prices["int8_add"] + counts.attention * prices["fp16_add"])
        * JOULES_PER_PJ,
    )
    return energy


def matmul_ratio(prices: Mapping[str, float], accumulate: str = "int8_add") -> float:
    """Return the papers' headline: an FP16 multiply and add over one integer add."""
    return (prices["fp16_add"] + prices["fp16_mul"]) / prices[accumulate]


def paper_memory_gb(linear_weights: int, bits: float) -> float:
    """Return the papers' memory column, in GB of 1e9 bytes: linear weights, nothing else."""
    return linear_weights * bits / 8 / 1e9


def paper_table(
    config: NetworkConfig, workload: Workload, design: str, technology: Technology
) -> dict[str, Any]:
    """Return what ``--accounting paper`` prints: energies by phase and arithmetic, and ratios.

    Only shapes are used: nothing runs.

    Raises:
        UserError: the technology has no published energies of arithmetic.
    """
    from accelsim.functional.operator_rows import operator_rows

    prices = technology.primitives()
    _, rows = operator_rows(config, workload, "fp16_twin")
    weights = paper_counts(rows).linear_weights
    phases = {
        phase.name.lower(): _phase_table(rows[rows["phase"] == phase], prices)
        | {"tokens": workload.tokens(phase)}
        for phase in Phase
    }
    return {
        "schema_version": 1,
        "accounting": "paper",
        "design": design,
        "network": config.name,
        "technology": technology.name,
        "phases": phases,
        "matmul_ratio": {
            "int8_add": matmul_ratio(prices),
            "int32_add": matmul_ratio(prices, "int32_add"),
        },
        "memory_gb": {
            "fp16": paper_memory_gb(weights, 16),
            "ternary": paper_memory_gb(weights, TERNARY_BITS),
        },
    }


def paper_quote(
    config: NetworkConfig, workload: Workload, technology: Technology
) -> dict[str, Any] | None:
    """Return the papers' own figures of a workload, to stand beside the waterfall.

    None where the technology has no published energies of arithmetic.
    """
    if technology.published is None:
        return None
    table = paper_table(config, workload, "", technology)
    joules = {
        f"{phase}, J": {form: row[form]["energy_j"] for form in ("fp16", "bitnet")}
        for phase, row in table["phases"].items()
    }
    ratios = table["matmul_ratio"]
    return {
        "source": "formula of arXiv 2310.11453 and 2504.12285",
        "FP16 multiply and add over": {
            "an int8 add": ratios["int8_add"],
            "an int32 add": ratios["int32_add"],
        },
        **joules,
    }


def _phase_table(rows: npt.NDArray[np.void], prices: Mapping[str, float]) -> dict[str, Any]:
    return {
        form: {"mul_j": energy.mul_j, "add_j": energy.add_j, "energy_j": energy.total_j}
        for form, energy in paper_energy(paper_counts(rows), prices).items()
    }
