"""Synthetic traces: consistent, reproducible, and with the moments of their profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config import NetworkConfig, load_network_config
from accelsim.errors import UserError
from accelsim.functional.opportunities import opportunities
from accelsim.functional.profile import OperandProfile, load_profile
from accelsim.functional.synthetic import _draw, _draws, synthetic_trace
from accelsim.trace import COUNT_COLUMNS, EXTREME_COLUMNS, Kind, Stationary, Workload, steps

MODELS = Path(__file__).parent.parent / "models"


def profile() -> OperandProfile:
    return load_profile(MODELS / "profiles" / "austen-12m.yaml")


def bitnet_2b4t() -> NetworkConfig:
    return load_network_config(MODELS / "bitnet-b1.58-2b-4t.yaml")


@given(
    layers=st.integers(1, 4),
    group=st.integers(1, 3),
    kv_heads=st.integers(1, 2),
    width=st.integers(1, 40),
    prefill=st.integers(1, 7),
    decode=st.integers(0, 5),
    batch=st.integers(1, 3),
    form=st.sampled_from(["ternary", "fp16_twin"]),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=60)
def test_counts_are_consistent(
    layers: int,
    group: int,
    kv_heads: int,
    width: int,
    prefill: int,
    decode: int,
    batch: int,
    form: str,
    seed: int,
) -> None:
    config = NetworkConfig(
        name="drawn",
        source="drawn",
        ternary=True,
        vocab_size=width + 3,
        hidden_size=width,
        intermediate_size=2 * width,
        layers=layers,
        heads=group * kv_heads,
        kv_heads=kv_heads,
        head_dim=2,
        max_positions=4,
    )
    trace = synthetic_trace(config, Workload(prefill, decode, batch), form, profile(), seed)
    rows, chances = trace.operators, opportunities(trace.operators)
    assert (rows["both_nonzero"] <= steps(rows)).all()
    assert (rows["activation_zero"] <= chances.activations).all()
    assert (rows["weight_nonzero"] <= chances.weights).all()
    ternary = rows["stationary"] == Stationary.TERNARY
    assert (
        (rows["weight_plus"] + rows["weight_minus"])[ternary] == rows["weight_nonzero"][ternary]
    ).all()
    for axis, pairs in (("k", chances.weight_pairs_k), ("n", chances.weight_pairs_n)):
        changes = [rows[f"weight_{c}_{axis}"] for c in ("zero_plus", "zero_minus", "plus_minus")]
        assert (sum(changes) <= pairs).all()
        assert (rows[f"weight_hamming_{axis}"] <= 16 * pairs).all()
    for column in COUNT_COLUMNS:
        assert (rows[column] >= 0).all()
        assert (rows[column][rows["kind"] < Kind.GEMM] == 0).all()
    for column in EXTREME_COLUMNS:
        assert (rows[column] == -1).all()
    assert trace.source.extrapolated == (prefill + decode > 4)


def test_seed_and_name_alone_decide_the_bytes() -> None:
    workload = Workload(64, 16)
    first = synthetic_trace(bitnet_2b4t(), workload, "ternary", profile(), 7)
    again = synthetic_trace(bitnet_2b4t(), workload, "ternary", profile(), 7)
    other = synthetic_trace(bitnet_2b4t(), workload, "ternary", profile(), 8)
    assert first.operators.tobytes() == again.operators.tobytes()
    assert first.operators.tobytes() != other.operators.tobytes()


def test_decode_reads_the_weights_that_prefill_read() -> None:
    trace = synthetic_trace(bitnet_2b4t(), Workload(8, 5), "ternary", profile())
    rows = dict(zip(trace.names, trace.operators, strict=True))
    for column in ("weight_nonzero", "weight_plus", "weight_zero_plus_k", "weight_plus_minus_n"):
        assert rows["decode/up_proj"][column] == 5 * rows["prefill/up_proj"][column] > 0


def test_linears_that_read_one_vector_see_the_same_zeros() -> None:
    trace = synthetic_trace(bitnet_2b4t(), Workload(8, 5), "ternary", profile())
    rows = dict(zip(trace.names, trace.operators, strict=True))
    for phase in ("prefill", "decode"):
        for column in ("activation_zero", "activation_hamming_k", "activation_hamming_m"):
            q, k, v = (rows[f"{phase}/{name}_proj"][column] for name in "qkv")
            assert q == k == v
            assert rows[f"{phase}/gate_proj"][column] == rows[f"{phase}/up_proj"][column]


def test_rates_of_a_large_network_are_those_of_the_profile() -> None:
    trace = synthetic_trace(bitnet_2b4t(), Workload(512, 0), "ternary", profile())
    row = trace.operators[trace.names.index("prefill/down_proj")]
    weights, codes = 30 * 2560 * 6912, 30 * 512 * 6912
    rates = profile().of_operator("ternary", "down_proj")
    assert row["weight_nonzero"] / weights == pytest.approx(rates.weight_nonzero.value, rel=1e-3)
    assert row["activation_zero"] / codes == pytest.approx(rates.activation_zero.value, rel=1e-3)
    density = row["both_nonzero"] / (512 * weights)
    independent = rates.weight_nonzero.value * (1 - rates.activation_zero.value)
    assert density == pytest.approx(independent * rates.both_nonzero.value, rel=1e-3)
    sizes = {"q": 2560 * 2560, "k": 2560 * 640, "v": 2560 * 640, "o": 2560 * 2560}
    sizes |= dict.fromkeys(("gate", "up", "down"), 2560 * 6912)
    nonzero = sum(
        size * profile().of_operator("ternary", f"{name}_proj").weight_nonzero.value
        for name, size in sizes.items()
    )
    zeros = 1 - nonzero / sum(sizes.values())
    assert trace.source.zero_fraction == pytest.approx(zeros, rel=1e-3)


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.87])
def test_draws_have_the_moments_of_a_binomial(rate: float) -> None:
    trials = 10_000
    drawn = np.array([_draw(_draws(0, f"draw {i}"), trials, rate) for i in range(4000)])
    spread = np.sqrt(trials * rate * (1 - rate))
    assert abs(drawn.mean() - trials * rate) < 4 * spread / np.sqrt(4000)
    assert drawn.std() == pytest.approx(spread, rel=0.05)


def test_profile_without_the_form_or_the_operator_is_refused() -> None:
    one_form = {"ternary": profile().forms["ternary"].model_copy(update={"rates": {}})}
    partial = profile().model_copy(update={"forms": one_form})
    with pytest.raises(UserError, match="no rates of this form"):
        synthetic_trace(bitnet_2b4t(), Workload(1, 0), "fp16_twin", partial)
    with pytest.raises(UserError, match="lacks an operator"):
        synthetic_trace(bitnet_2b4t(), Workload(1, 0), "ternary", partial)
