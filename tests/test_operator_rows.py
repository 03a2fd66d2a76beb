"""Rows of a workload against loops over every instance, and against published totals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config import NetworkConfig, load_network_config
from accelsim.errors import UserError
from accelsim.functional.operator_rows import footprint, operator_rows, operator_shapes
from accelsim.functional.opportunities import opportunities
from accelsim.hardware.vector import RECIPES, Primitive
from accelsim.trace import Kind, Phase, Series, Workload, instances, steps

MODELS = Path(__file__).parent.parent / "models"


def bitnet_2b4t() -> NetworkConfig:
    return load_network_config(MODELS / "bitnet-b1.58-2b-4t.yaml")


def small(**changes: object) -> NetworkConfig:
    shape: dict[str, object] = {
        "name": "small",
        "source": "made up",
        "ternary": True,
        "vocab_size": 11,
        "hidden_size": 12,
        "intermediate_size": 20,
        "layers": 3,
        "heads": 6,
        "kv_heads": 2,
        "head_dim": 2,
        "sub_norms": True,
        "max_positions": 64,
    }
    return NetworkConfig.model_validate(shape | changes)


def brute_steps(config: NetworkConfig, workload: Workload, decode: bool) -> dict[str, int]:
    """Count weight-activation pairs one token, one head and one key at a time."""
    total = dict.fromkeys(("linear", "attention_qk", "attention_av", "lm_head"), 0)
    hidden, ffn, dim = config.hidden_size, config.intermediate_size, config.head_dim
    q, kv = config.heads * dim, config.kv_heads * dim
    linears = [(hidden, q), (hidden, kv), (hidden, kv), (q, hidden), (ffn, hidden), (hidden, ffn)]
    linears += [(hidden, ffn)] if config.gated else []
    start = workload.prefill if decode else 0
    positions = workload.decode if decode else workload.prefill
    for _ in range(workload.batch):
        for position in range(start, start + positions):
            for _ in range(config.layers):
                total["linear"] += sum(k * n for k, n in linears)
                for _ in range(config.heads):
                    total["attention_qk"] += dim * (position + 1)
                    total["attention_av"] += dim * (position + 1)
        total["lm_head"] += hidden * config.vocab_size * (positions if decode else 1)
    return total


@given(
    prefill=st.integers(1, 9),
    decode=st.integers(0, 6),
    batch=st.integers(1, 3),
    gated=st.booleans(),
)
@settings(max_examples=40)
def test_steps_are_those_of_a_loop_over_tokens_heads_and_keys(
    prefill: int, decode: int, batch: int, gated: bool
) -> None:
    config, workload = small(gated=gated), Workload(prefill, decode, batch)
    names, rows = operator_rows(config, workload, "ternary")
    counted = steps(rows)
    for phase in Phase:
        wanted = brute_steps(config, workload, phase == Phase.DECODE)
        mine = rows["phase"] == phase
        assert counted[mine & (rows["kind"] == Kind.GEMM)].sum() == wanted["linear"]
        for name in ("attention_qk", "attention_av", "lm_head"):
            named = np.array([n.endswith("/" + name) for n in names])
            assert counted[mine & named].sum() == wanted[name]


@given(prefill=st.integers(1, 6), decode=st.integers(0, 4), batch=st.integers(1, 2))
@settings(max_examples=20)
def test_opportunities_are_those_of_every_instance(prefill: int, decode: int, batch: int) -> None:
    _, rows = operator_rows(small(), Workload(prefill, decode, batch), "ternary")
    found = opportunities(rows)
    for index, row in enumerate(rows):
        wanted = np.zeros(6, np.int64)
        for member in range(int(row["series_count"])):
            grown = int(row["series_step"]) * member
            k = int(row["k"]) + grown * (row["series"] == Series.K)
            n = int(row["n"]) + grown * (row["series"] == Series.N)
            seen = np.ones((int(row["m"]), k), bool)
            if row["causal"] and row["kind"] == Kind.ATTENTION_AV:
                seen = np.tri(int(row["m"]), k, dtype=bool)
            wanted += [
                n * k,
                seen.sum(),
                n * (k - 1),
                (n - 1) * k,
                (seen[:, 1:] & seen[:, :-1]).sum(),
                (seen[1:] & seen[:-1]).sum(),
            ]
        wanted *= int(row["repeat"]) * (row["kind"] >= Kind.GEMM)
        assert [int(column[index]) for column in vars(found).values()] == wanted.tolist()


def test_2b4t_has_its_published_parameters_and_steps() -> None:
    config, workload = bitnet_2b4t(), Workload(512, 128)
    stored = footprint(config, workload, "ternary")
    assert (stored.ternary, stored.dense) == (2_084_044_800, 0)
    assert (stored.head, stored.norm) == (328_335_360, 440_320)
    assert stored.cache * 2 == 76_800 * (512 + 128)  # bytes of bf16
    _, rows = operator_rows(config, workload, "ternary")
    decode = rows["phase"] == Phase.DECODE
    linear = steps(rows)[decode & (rows["kind"] == Kind.GEMM)].sum()
    head = steps(rows)[decode & (rows["kind"] == Kind.LM_HEAD)].sum()
    assert (linear, head) == (128 * 2_084_044_800, 128 * 328_335_360)


def test_twin_drops_the_casts_and_keeps_every_product() -> None:
    config, workload = small(), Workload(5, 2)
    _, ternary = operator_rows(config, workload, "ternary")
    _, twin = operator_rows(config, workload, "fp16_twin")
    casts = (Kind.ABSMAX, Kind.QUANTISE, Kind.DEQUANTISE)
    assert not np.isin(twin["kind"], casts).any()
    kept = ternary[~np.isin(ternary["kind"], casts)]
    for column in ("kind", "m", "k", "n", "repeat"):
        assert (kept[column] == twin[column]).all()
    assert set(twin["weight_bits"][twin["kind"] == Kind.GEMM]) == {16}
    assert footprint(config, workload, "fp16_twin").ternary == 0


def test_unquantised_network_has_one_form() -> None:
    plain = small(ternary=False, sub_norms=False)
    _, asked_ternary = operator_rows(plain, Workload(4, 1), "ternary")
    _, asked_twin = operator_rows(plain, Workload(4, 1), "fp16_twin")
    assert (asked_ternary == asked_twin).all()


def test_order_is_that_of_the_decoder_layer() -> None:
    names = [shape.name for shape in operator_shapes(small(), "fp16_twin")]
    assert names == [
        *("embedding", "input_norm", "q_proj", "k_proj", "v_proj", "rope", "kv_append"),
        *("attention_qk", "softmax", "attention_av", "attn_sub_norm", "o_proj"),
        *("attention_residual", "post_norm", "gate_proj", "up_proj", "relu2_gate"),
        *("ffn_sub_norm", "down_proj", "ffn_residual", "final_norm", "lm_head"),
    ]
    ungated = [shape.name for shape in operator_shapes(small(gated=False), "ternary")]
    assert "gate_proj" not in ungated
    assert ungated[ungated.index("up_dequantise") + 1] == "activation"


def test_the_gate_is_named_after_its_activation() -> None:
    relu2 = operator_shapes(small(), "ternary")
    silu = operator_shapes(small(activation="silu"), "ternary")
    (changed,) = [pair for pair in zip(relu2, silu, strict=True) if pair[0] != pair[1]]
    assert [(gate.name, gate.kind, gate.n) for gate in changed] == [
        ("relu2_gate", Kind.RELU2_GATE, 20),
        ("silu_gate", Kind.SILU_GATE, 20),
    ]
    ungated = operator_shapes(small(gated=False, activation="silu"), "ternary")
    assert ungated == operator_shapes(small(gated=False), "ternary")


def test_layer_rows_run_once_per_layer_and_pass() -> None:
    config, workload = small(), Workload(5, 4, 2)
    names, rows = operator_rows(config, workload, "ternary")
    by_name = dict(zip(names, instances(rows).tolist(), strict=True))
    assert by_name["prefill/q_proj"] == config.layers
    assert by_name["decode/q_proj"] == config.layers * 4
    assert by_name["prefill/softmax"] == config.layers * config.heads * 2
    assert by_name["decode/softmax"] == config.layers * config.kv_heads * 2 * 4
    assert by_name["decode/lm_head"] == 4


def test_without_new_tokens_there_is_no_decode() -> None:
    names, _ = operator_rows(small(), Workload(5, 0), "ternary")
    assert all(name.startswith("prefill/") for name in names)


def test_workload_past_int64_is_refused() -> None:
    with pytest.raises(UserError, match="too large to count"):
        operator_rows(bitnet_2b4t(), Workload(1 << 20, 0, 1 << 16), "ternary")


def test_unknown_form_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown network form \(ternry\); did you mean"):
        operator_rows(small(), Workload(1, 0), "ternry")


def test_a_silu_gate_takes_an_exponential_and_a_division_more_than_its_products() -> None:
    recipe = RECIPES[Kind.SILU_GATE]
    assert recipe.element == {
        Primitive.EXP: 1,
        Primitive.ADD: 1,
        Primitive.RECIPROCAL: 1,
        Primitive.MUL: 2,
    }
    squared = RECIPES[Kind.RELU2_GATE]
    moved = [(gate.passes, gate.reads, gate.writes) for gate in (recipe, squared)]
    assert moved[0] == moved[1]
