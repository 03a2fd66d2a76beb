"""``accelsim rtl simulate``: what it runs, what it says, how it ends."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rtl_needed import need_simulator

from accelsim.cli import main
from accelsim.engine.timing import ArrayTiming
from accelsim.hardware.design import Organisation
from accelsim.rtl import cosimulate

need_simulator()

SMALL = ("--set", "array.rows=2", "--set", "array.cols=3")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rtl", "simulate", *arguments], prog_name="accelsim")


def test_a_design_agrees_with_the_engine_on_operands_of_the_shipped_network() -> None:
    done = call("ternary_os_32x32", *SMALL, "--json")
    assert done.exit_code == 0
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["equal"]
    assert result["network"] == "austen-12m"
    assert len(result["cases"]) == cosimulate.DEFAULT_CASES
    assert result["cases"][0]["m"] == 1
    for case in result["cases"]:
        assert case["cycles_rtl"] == case["cycles_engine"] > 0
        assert (case["sums"], case["sums_different"]) == (case["m"] * case["n"], 0)


def test_a_shape_is_run_on_as_many_operands_as_asked_for() -> None:
    done = call("bf16_ws_32x32", "3", "5", "4", *SMALL, "--cases", "2", "--seed", "7")
    assert done.exit_code == 0
    assert done.stdout.count("3 x 5 x 4") == 2
    assert "2 GEMMs: 0 differ in cycles, 0 sums differ" in done.stdout


def test_a_difference_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_more(array: ArrayTiming, shapes: np.ndarray) -> np.ndarray:
        return engine(array, shapes) + 1

    engine = cosimulate.cycles_of_gemms
    monkeypatch.setattr(cosimulate, "cycles_of_gemms", one_more)
    done = call("ternary_os_32x32", "2", "3", "4", *SMALL)
    assert done.exit_code == 1
    assert "1 GEMMs: 1 differ in cycles, 0 sums differ" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fp16_dot_8x8x16_discrete"], ["array.pe", "fp16_fmac", "fp16_fused"]),
        (["ternary_ws_128x128_hbm"], ["too large to build", "128 x 128", "--set array.rows=16"]),
        (["bf16_os_32x32", "--set", "array.latency=9"], ["array.latency", "1 to 6"]),
        (["ternary_os_32x32", "3", "4"], ["M, K and N"]),
        (["ternary_os_32x32", "0", "4", "2"], ["m: not a whole number in range (0)"]),
        (["ternary_os_32x32", str(10**20), "4", "2"], ["m: not a whole number in range (1000"]),
        (["ternary_os_32x32", "--cases", "0"], ["--cases", "1 to"]),
        (["ternary_os_32x32", "--seed", "-1"], ["--seed: out of range (-1)", "0 to 2**64 - 1"]),
        (["ternary_os_32x32", *SMALL, "1048576", "64", "64"], ["too large to simulate"]),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_a_missing_tool_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("accelsim.rtl.tools.BACKENDS", ())
    monkeypatch.delenv("ACCELSIM_RTL_BACKEND", raising=False)
    done = call("ternary_os_32x32", *SMALL, "2", "3", "4")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install" in done.stderr


@pytest.mark.parametrize("organisation", Organisation)
def test_telling_shapes_hold_one_token_a_whole_tile_and_several_folds(
    organisation: Organisation,
) -> None:
    timing = ArrayTiming(organisation, 4, 3, 5 if organisation is Organisation.DOT else 1)
    shapes = cosimulate.telling_shapes(timing, 9, np.random.default_rng(0))
    assert len(shapes) == 9
    assert shapes[0][0] == 1
    assert any(m > 4 and n > 3 and k > 4 for m, k, n in shapes)
    assert all(min(shape) >= 1 for shape in shapes)
