"""Small designs, networks and traces for the tests of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig, NetworkConfig, override, validate
from accelsim.functional.profile import load_profile
from accelsim.functional.synthetic import synthetic_trace
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
)

PROFILE = Path(__file__).parent.parent / "models" / "profiles" / "austen-12m.yaml"

_BASE: dict[str, Any] = {
    "name": "ternary",
    "description": "a ternary array with multipliers beside it",
    "technology": "7nm",
    "clock_mhz": 500,
    "array": {"pe": "ternary_add", "rows": 8, "cols": 8, "accumulator": {"bits": 24}},
    "mac": {
        "pe": "bf16_fused",
        "organisation": "dot_product",
        "rows": 4,
        "cols": 2,
        "lanes": 4,
        "accumulator": {"bits": 32},
    },
    "vector": {"lanes": 8},
    "placement": {"attention": "mac", "lm_head": "mac"},
    "weights": {"packing": "ternary2"},
    "sram": {
        "activation": {"capacity_kib": 64, "stream_kib": 64, "width_bits": 256},
        "weight": {"capacity_kib": 64, "stream_kib": 32, "width_bits": 64},
        "output": {"capacity_kib": 64, "stream_kib": 64, "width_bits": 256},
    },
    "dram": {"kind": "lpddr5", "bandwidth_gb_per_s": 12.8, "sustained": 0.8, "capacity_gib": 8},
}


def design(*assignments: str, base: dict[str, Any] | None = None) -> DesignConfig:
    """Return the ternary design with ``path.to.key=value`` overrides."""
    return validate(DesignConfig, override(base or _BASE, assignments), "test")


def network(**changes: Any) -> NetworkConfig:
    shape: dict[str, Any] = {
        "name": "small",
        "source": "made up",
        "ternary": True,
        "vocab_size": 130,
        "hidden_size": 48,
        "intermediate_size": 100,
        "layers": 3,
        "heads": 6,
        "kv_heads": 2,
        "head_dim": 8,
        "sub_norms": True,
        "max_positions": 64,
    }
    return NetworkConfig.model_validate(shape | changes)


def network_trace(
    prefill: int = 13, decode: int = 3, batch: int = 1, form: str = "ternary", **changes: Any
) -> Trace:
    workload = Workload(prefill, decode, batch)
    return synthetic_trace(network(**changes), workload, form, load_profile(PROFILE), 0)


def gemm_trace(codes: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> Trace:
    """Return a trace of one ternary GEMM with the counts of int8 codes [m, k], weights [k, n]."""
    (m, k), n = codes.shape, weights.shape[1]
    row = np.zeros(1, OPERATOR_DTYPE)
    shape = {
        "kind": Kind.GEMM,
        "phase": Phase.DECODE,
        "m": m,
        "k": k,
        "n": n,
        "repeat": 1,
        "series_count": 1,
        "distinct": 1,
        "stationary": Stationary.TERNARY,
        "activation_bits": 8,
        "weight_bits": 2,
        "weight_nonzero": np.count_nonzero(weights),
        "both_nonzero": int(((codes != 0).sum(axis=0) * (weights != 0).sum(axis=1)).sum()),
        "activation_hamming_k": hamming(codes[:, 1:], codes[:, :-1]),
        "activation_hamming_m": hamming(codes[1:], codes[:-1]),
    }
    for name, first, second in (
        ("k", weights[1:], weights[:-1]),
        ("n", weights[:, 1:], weights[:, :-1]),
    ):
        pair = np.stack([np.minimum(first, second), np.maximum(first, second)])
        for event, (low, high) in (
            ("zero_plus", (0, 1)),
            ("zero_minus", (-1, 0)),
            ("plus_minus", (-1, 1)),
        ):
            shape[f"weight_{event}_{name}"] = int(((pair[0] == low) & (pair[1] == high)).sum())
    for column, value in (*shape.items(), *((c, -1) for c in EXTREME_COLUMNS)):
        row[column] = value
    return Trace(
        network="gemm",
        form="ternary",
        layers=1,
        workload=Workload(1, 1, 1),
        source=WeightSource("synthetic", "gemm", "", 0.0, ""),
        footprint=Footprint(ternary=k * n, dense=0, head=0, norm=0, cache=0),
        names=("decode/gemm",),
        operators=row,
    )


def hamming(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> int:
    """Return how many of eight two's-complement bits differ, over all pairs."""
    changed = (first.astype(np.int8) ^ second.astype(np.int8)).view(np.uint8)
    return int(np.unpackbits(changed).sum())
