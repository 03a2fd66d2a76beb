"""What joins network, engine and report: workloads, hybrids, notes, the shipped twin."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.engine.compare import WHOLE

TINY = str(Path(__file__).resolve().parent / "golden" / "bitnet_tiny")
SMALL = {"network": "bitnet-b1.58-700m", "prefill": 16, "decode": 2}


def test_token_ids_are_the_prompt_of_a_network_without_a_tokenizer() -> None:
    result = accelsim.run("ternary_os_32x32", checkpoint=TINY, token_ids="1,17,99", decode=2)
    assert [phase.tokens for phase in result.phases] == [3, 2]
    assert result.weights["kind"] == "checkpoint"


@pytest.mark.parametrize("more", [{"prompt": "x"}, {"batch": 2}])
def test_token_ids_go_with_nothing_else(more: dict[str, object]) -> None:
    with pytest.raises(accelsim.UserError, match=r"^--token-ids"):
        accelsim.run("ternary_os_32x32", checkpoint=TINY, token_ids="1,17", **more)


def test_a_narrow_accumulator_that_may_overflow_says_so() -> None:
    narrow = ["array.accumulator.bits=10", "array.accumulator.overflow=saturate"]
    notes = accelsim.run("ternary_os_32x32", assignments=narrow, **SMALL).notes
    assert any("saturate at 10" in note and "--emulate saturate:10" in note for note in notes)
    notes = accelsim.run("ternary_os_32x32", **SMALL).notes
    assert not any("--emulate" in note for note in notes)


def test_an_assumed_clock_is_noted_and_a_known_delay_is_not() -> None:
    unknown = accelsim.run("fp16_os_32x32", assignments=["technology=7nm"], **SMALL)
    assert any("no delay of" in note for note in unknown.notes)
    slow = ["technology=45nm", "clock_mhz=500"]
    notes = accelsim.run("fp16_os_32x32", assignments=slow, **SMALL).notes
    assert not any("no delay of" in note for note in notes)


def test_storing_weights_as_they_are_computed_is_format_and_not_arithmetic() -> None:
    """Both machines have the same PE; the packing is all they differ in."""
    comparison = accelsim.compare(["fp16_ws_32x32_packed", "fp16_ws_32x32_fp16weights"], **SMALL)
    gain = comparison.gain["fp16_ws_32x32_fp16weights"]
    assert gain.arithmetic[WHOLE] == pytest.approx(1, abs=1e-12)
    assert gain.format[WHOLE] == pytest.approx(gain.total[WHOLE], abs=1e-12)
    assert gain.format[WHOLE] < 0.9


def test_gain_is_the_product_of_format_and_arithmetic() -> None:
    comparison = accelsim.compare(["fp16_ws_32x32_fp16weights", "ternary_ws_32x32"], **SMALL)
    gain = comparison.gain["ternary_ws_32x32"]
    for key in (WHOLE, "prefill", "decode"):
        assert gain.total[key] == pytest.approx(gain.format[key] * gain.arithmetic[key], rel=1e-12)


def test_the_twin_runs_on_its_recorded_operands_in_the_default_workload_alone() -> None:
    assert accelsim.run("fp16_ws_32x32_twin").weights["kind"] == "checkpoint"
    other = accelsim.run("fp16_ws_32x32_twin", prefill=32, decode=2)
    assert other.weights["kind"] == "synthetic"
    assert any("synthetic" in note for note in other.notes)
