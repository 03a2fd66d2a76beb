"""Operand profiles: measured rates are quotients of counts, and files are read strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import UserError
from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.measure import measure_form
from accelsim.functional.network import Network
from accelsim.functional.network_config import shape_of
from accelsim.functional.profile import RATES, OperandProfile, load_profile, save_profile
from accelsim.functional.synthetic import synthetic_trace
from accelsim.functional.tracer import Recording, record_network
from accelsim.trace import Kind, Workload

HERE = Path(__file__).parent
WORKLOAD = Workload(24, 6)


def recording() -> Recording:
    network = Network(read_checkpoint(HERE / "golden" / "bitnet_tiny"), threads=1)
    tokens = np.random.default_rng(5).integers(0, 256, (1, WORKLOAD.prefill))
    return record_network(network, tokens, WORKLOAD, name="tiny")


def measured() -> OperandProfile:
    form = measure_form(recording(), "random tokens")
    return OperandProfile(name="tiny", description="", forms={"ternary": form})


def test_weight_rates_are_those_of_the_checkpoint() -> None:
    found = measured().of_operator("ternary", "q_proj")
    checkpoint = read_checkpoint(HERE / "golden" / "bitnet_tiny")
    weights = [
        checkpoint.linears[f"model.layers.{layer}.self_attn.q_proj"].unpack()  # type: ignore[union-attr]
        for layer in range(2)
    ]
    shares = [(w != 0).mean() for w in weights]
    assert found.weight_nonzero.value == pytest.approx(np.mean(shares), abs=1e-6)
    assert found.weight_nonzero.low == pytest.approx(min(shares), abs=1e-6)
    assert found.weight_nonzero.high == pytest.approx(max(shares), abs=1e-6)
    changes = [(np.abs(w[:, 1:] - w[:, :-1]) == 2).mean() for w in weights]
    assert found.weight_plus_minus_k.value == pytest.approx(np.mean(changes), abs=1e-6)


def test_squared_relu_empties_the_down_projection() -> None:
    profile = measured()
    down = profile.of_operator("ternary", "down_proj").activation_zero
    assert down.value > 0.4 > 0.1 > profile.of_operator("ternary", "q_proj").activation_zero.value


def test_every_rate_lies_in_its_range() -> None:
    for operator in measured().forms["ternary"].rates.values():
        for name in RATES:
            rate = getattr(operator, name)
            assert rate.low <= rate.value <= rate.high


def test_synthetic_trace_of_the_measured_shape_repeats_what_was_measured() -> None:
    real = recording().trace
    shape = shape_of(read_checkpoint(HERE / "golden" / "bitnet_tiny").config, "tiny")
    drawn = synthetic_trace(shape, WORKLOAD, "ternary", measured())
    assert drawn.names == real.names
    products = real.operators["kind"] >= Kind.GEMM
    # Rates are means over both phases, so phases may differ; the whole must not.
    for column in ("weight_nonzero", "weight_zero_plus_k", "both_nonzero", "activation_hamming_k"):
        wanted = real.operators[column][products].sum()
        assert drawn.operators[column][products].sum() == pytest.approx(wanted, rel=0.03)


def test_profile_survives_its_file(tmp_path: Path) -> None:
    profile = measured()
    save_profile(profile, tmp_path / "tiny.yaml")
    assert load_profile(tmp_path / "tiny.yaml") == profile
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize("path", sorted((HERE.parent / "models/profiles").glob("*.yaml")))
def test_shipped_profile_is_complete(path: Path) -> None:
    profile = load_profile(path)
    assert profile.name == path.stem
    linears = {f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")}
    for form in profile.forms.values():
        assert set(form.rates) == linears | {"attention_qk", "attention_av", "lm_head"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weight_plus:", "weight_pluss:", "weight_plus: is missing"),
        ("forms:", "extra: 1\nforms:", "unknown key"),
        ("value: 1.0, low: 1.0", "value: 0.5, low: 1.0", "outside its range"),
        ("high: ", "high: -", "greater than or equal to 0"),
        ("  ternary:", "  binary:", "'ternary' or 'fp16_twin'"),
        ("rates:", "rates: 3\nrest:", "valid dict"),
    ],
)
def test_broken_profile_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "broken.yaml"
    save_profile(measured(), file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        load_profile(file)
