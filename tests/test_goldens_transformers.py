"""Every code, accumulator, logit and token against those that transformers computed.

tests/golden/README.md says what the folders hold and how they were made.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.dump import write_dump
from accelsim.functional.linear import build_linear
from accelsim.functional.network import Network
from accelsim.functional.operators import Quantised
from accelsim.functional.threads import Threads

FOLDER = Path(__file__).parent / "golden"
ALL = sorted(
    path.parent.name for path in FOLDER.glob("*/golden.npz") if path.parent.name != "bitnet_tiny"
)
PLAIN = ["llama_tied_bf16", "llama_untied", "llama_wide_heads", "mistral_bf16"]
TERNARY = [name for name in ALL if name not in PLAIN]
SHARED = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}

# Of the largest logit; the two sum in different orders.
LOGIT_TOLERANCE = 1e-5


@cache
def golden(name):
    with np.load(FOLDER / name / "golden.npz") as file:
        return dict(file)


def entering(arrays, linear, key):
    """Return what enters a linear; those that read the same tensor store it once."""
    head, _, last = linear.rpartition(".")
    return arrays[f"{head}.{SHARED.get(last, last)}.{key}"]


def linears_of(arrays):
    return [key.removesuffix(".acc") for key in arrays if key.endswith(".acc")]


def sums_of(layer, quantised):
    """Return the accumulators that a ternary linear reports."""
    reports = []
    layer(quantised, lambda *report: reports.append(report))
    return reports[0][2]


def assert_logits_equal(ours, theirs):
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"logits differ by {error:.1e} of the largest")
    assert error < LOGIT_TOLERANCE


def test_the_folders_hold_what_they_should():
    assert set(PLAIN) < set(ALL)
    for name in TERNARY:
        assert len(linears_of(golden(name))) == 2 * 7
    for name in PLAIN:
        assert not linears_of(golden(name))


@pytest.mark.parametrize("name", TERNARY)
def test_codes_and_accumulators_of_each_linear_follow_from_its_golden_input(name):
    arrays, checkpoint = golden(name), read_checkpoint(FOLDER / name)
    threads = Threads(1)
    assert set(linears_of(arrays)) == set(checkpoint.linears)
    for linear, weight in checkpoint.linears.items():
        layer = build_linear(linear, weight, True, threads)
        codes = entering(arrays, linear, "q")
        entered = layer.enter(entering(arrays, linear, "x"))
        np.testing.assert_array_equal(entered.codes, codes, err_msg=linear)
        sums = sums_of(layer, Quantised(codes, entered.scales))
        assert sums.dtype == arrays[f"{linear}.acc"].dtype == np.int32
        np.testing.assert_array_equal(sums, arrays[f"{linear}.acc"], err_msg=linear)


@pytest.mark.parametrize("name", ALL)
def test_a_whole_run_equals_the_golden(name, tmp_path):
    arrays, network = golden(name), Network(read_checkpoint(FOLDER / name), threads=1)
    write_dump(network, arrays["input_ids"], len(arrays["greedy"]), tmp_path / "dump.npz")
    dump = np.load(tmp_path / "dump.npz")
    for linear in linears_of(arrays):
        codes = entering(arrays, linear, "q")
        np.testing.assert_array_equal(dump[f"{linear}.q"], codes, err_msg=linear)
        np.testing.assert_array_equal(dump[f"{linear}.acc"], arrays[f"{linear}.acc"], linear)
    assert_logits_equal(dump["logits"], arrays["logits"])
    np.testing.assert_array_equal(dump["tokens"], arrays["greedy"])
    np.testing.assert_array_equal(dump["input_ids"], arrays["input_ids"])
