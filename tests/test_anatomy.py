"""What `inspect` counts, against numpy on unpacked weights and exhaustive choices of codes."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkpoint_factory import Recipe, pack, write_checkpoint
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.functional import anatomy
from accelsim.functional.anatomy_kernels import count_rows
from accelsim.functional.checkpoint import (
    DenseWeight,
    TernaryWeight,
    read_checkpoint,
)
from accelsim.functional.network import Network
from accelsim.functional.packings import CODECS


def ternary(weights: np.ndarray) -> TernaryWeight:
    return TernaryWeight(pack(weights), np.float32(1), len(weights))


def quiet(_: str) -> None:
    pass


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    rows, columns = 4 * draw(st.integers(1, 70)), draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    zero = draw(st.floats(0, 1))
    weights = rng.choice([-1, 0, 1], (rows, columns), p=[(1 - zero) / 2, zero, (1 - zero) / 2])
    weights[rng.random(rows) < 0.2] = 0
    weights[:, rng.random(columns) < 0.2] = 0
    return weights


@given(matrices())
def test_counts_are_those_of_the_unpacked_matrix(weights: np.ndarray) -> None:
    found = anatomy.dissect_ternary("a", ternary(weights))
    assert (found.outputs, found.inputs) == weights.shape
    assert (found.minus, found.zero, found.plus) == tuple(
        int((weights == value).sum()) for value in (-1, 0, 1)
    )
    assert found.dead_outputs == sum(not row.any() for row in weights)
    assert found.dead_inputs == sum(not column.any() for column in weights.T)
    assert found.most_nonzero == max(np.count_nonzero(row) for row in weights)
    live = weights[weights.any(axis=1)][:, weights.any(axis=0)]
    assert found.dead_weights == weights.size - live.size


def test_blocks_of_rows_count_what_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(3).integers(-1, 2, (4 * 37, 50))
    whole = anatomy.dissect_ternary("a", ternary(weights))
    monkeypatch.setattr(anatomy, "_BLOCK_BYTES", 50 * 5 + 7)
    assert anatomy.dissect_ternary("a", ternary(weights)) == whole


@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 10, 41])
def test_rows_past_the_outputs_count_for_nothing(outputs: int) -> None:
    weights = np.random.default_rng(outputs).integers(-1, 2, (outputs, 19))
    weights[:, 4] = 0
    padded = np.zeros((-(-outputs // 4) * 4, 19), np.int64)
    padded[:outputs] = weights
    # Whatever holds packed bytes and a shape will do.
    weight: Any = SimpleNamespace(packed=pack(padded), shape=weights.shape)
    found = anatomy.dissect_ternary("a", weight)
    assert found.zero == (weights == 0).sum()
    assert (found.minus, found.plus) == ((weights == -1).sum(), (weights == 1).sum())
    assert found.dead_outputs == (~weights.any(axis=1)).sum()
    assert found.dead_inputs == (~weights.any(axis=0)).sum()


def test_long_rows_do_not_overflow_the_marks_of_the_kernel() -> None:
    packed = np.full((130, 255 * 8 * 3 + 5), 0b01010101, np.uint8)
    packed[1::2] = 0b10101010
    zeros, pluses = np.empty((130, 4), np.int32), np.empty((130, 4), np.int32)
    columns = np.zeros(packed.shape[1], np.int32)
    count_rows(packed, zeros, pluses, columns)
    assert (zeros[::2] == packed.shape[1]).all()
    assert (pluses[1::2] == packed.shape[1]).all()
    assert not zeros[1::2].any()
    assert not pluses[::2].any()
    assert (columns == 65 * 4).all()


@given(matrices())
def test_entropy_is_that_of_the_shares(weights: np.ndarray) -> None:
    shares = [float((weights == value).mean()) for value in (-1, 0, 1)]
    expected = -sum(p * math.log2(p) for p in shares if p)
    assert anatomy.dissect_ternary("a", ternary(weights)).entropy == pytest.approx(expected)


def test_the_widest_sum_is_reached_by_some_codes_and_exceeded_by_none() -> None:
    rng = np.random.default_rng(7)
    codes = np.array(list(itertools.product((-127, -126, -1, 0, 1, 126, 127), repeat=5)))
    for _ in range(6):
        weights = rng.integers(-1, 2, (4, 5))
        found = anatomy.dissect_ternary("a", ternary(weights))
        running = np.cumsum(codes[:, None, :] * weights[None], axis=2)
        assert found.widest_sum == np.abs(running).max()


@pytest.mark.parametrize("widest", [0, 1, 2, 127, 128, 32767, 32768, 127 * 2560, 127 * 6912])
def test_signed_bits_are_the_fewest_that_hold_both_signs(widest: int) -> None:
    bits = anatomy.signed_bits(widest)
    assert -(2 ** (bits - 1)) <= -widest <= widest <= 2 ** (bits - 1) - 1
    assert widest == 0 or widest > 2 ** (bits - 2) - 1


def test_layer_and_kind_come_from_the_name() -> None:
    assert anatomy.place("model.layers.12.self_attn.q_proj") == (12, "q")
    assert anatomy.place("model.layers.0.mlp.down_proj") == (0, "down")


@pytest.mark.parametrize("storage", ["F32", "F16", "BF16"])
def test_zeros_of_floats_are_counted_with_either_sign(storage: str) -> None:
    values = np.array([[0.0, -0.0, 1.0], [2.0**-14, -3.0, 0.0]], np.float32)
    stored = values.astype(np.float16 if storage == "F16" else np.float32)
    if storage == "BF16":
        stored = (values.view(np.uint32) >> 16).astype(np.uint16)
    found = anatomy.dissect_dense("a", DenseWeight(stored, storage))
    assert (found.zero, found.storage, found.outputs, found.inputs) == (3, storage, 2, 3)


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(hidden=48, ffn=20, layers=3, seed=5)])
def test_every_linear_of_a_checkpoint_is_counted_in_order(tmp_path: Path, recipe: Recipe) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, recipe))
    told: list[str] = []
    found = anatomy.dissect(checkpoint, told.append)
    assert [linear.name for linear in found] == list(checkpoint.linears)
    for linear in found:
        assert linear.zero == (checkpoint.linears[linear.name].unpack() == 0).sum()
    assert len(told) == len(found)


class _Sums:
    """Adds up every product of a pass in ascending k, one step at a time."""

    def __init__(self, checkpoint: Any) -> None:
        self.widths: dict[str, tuple[int, int, int]] = {}
        self._linears = checkpoint.linears

    def __call__(self, name: str, layer: int, kind: str, *operands: np.ndarray) -> None:
        if kind == "gemm":
            weights = self._linears[name].unpack().astype(np.int64)
            products = operands[0].astype(np.int64)[:, None, :] * weights[None]
            running = np.abs(np.cumsum(products, axis=2))
            magnitudes = np.abs(products).sum(axis=2)
            self.widths[name] = (running[:, :, -1].max(), running.max(), magnitudes.max())


@pytest.mark.parametrize("at_once", [256, 5])
def test_sums_on_a_text_are_those_of_adding_one_step_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(anatomy, "PASS_TOKENS", at_once)
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, Recipe(seed=2)))
    network = Network(checkpoint, 2)
    ids = [int(t) for t in np.random.default_rng(1).integers(0, 61, 23)]
    sums = _Sums(checkpoint)
    network.forward([ids], network.new_cache(1, len(ids)), observer=sums)
    assert anatomy.widths_on_text(network, ids, quiet) == sums.widths


def test_every_width_on_a_text_is_within_the_worst_case(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, Recipe(seed=4)))
    widths = anatomy.widths_on_text(Network(checkpoint, 1), [3, 1, 4, 1, 5, 9], quiet)
    for linear in anatomy.dissect(checkpoint, quiet):
        found = widths[linear.name]
        assert found.sum <= found.prefix <= found.magnitude <= linear.widest_sum
        assert linear.widest_sum <= 127 * linear.inputs


def test_a_network_of_floats_has_no_integer_sums(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, Recipe(linear_class=None)))
    assert anatomy.footprint_rows(anatomy.dissect(checkpoint, quiet)) == []
    with pytest.raises(UserError, match="no linear is ternary"):
        anatomy.widths_on_text(Network(checkpoint, 1), [1], quiet)


def test_bytes_of_a_file_are_those_that_the_codecs_write(tmp_path: Path) -> None:
    recipe = Recipe(hidden=256, ffn=512, layers=1)
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, recipe))
    rows = {
        row["packing"]: row for row in anatomy.footprint_rows(anatomy.dissect(checkpoint, quiet))
    }
    for packing, codec in (("ternary2", "hf"), ("base3",) * 2, ("i2_s",) * 2, ("tq1_0",) * 2):
        written = sum(
            CODECS[codec].encode(np.asarray(w.packed), w.shape[0], 0.5).size
            for w in checkpoint.linears.values()
        )
        assert rows[packing]["file_bytes"] == written
        assert rows[packing]["refused"] is None
    assert rows["tl2"]["file_bytes"] is None
    assert "tiles of tl2 are not known" in rows["tl2"]["refused"]


def test_no_packing_beats_the_entropy_and_float32_is_sixteen_times_two_bits(
    tmp_path: Path,
) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path, Recipe()))
    *rows, least = anatomy.footprint_rows(anatomy.dissect(checkpoint, quiet))
    assert least["packing"] == "entropy"
    assert all(row["bits_per_weight"] >= least["bits_per_weight"] for row in rows)
    sizes = {row["packing"]: row["bytes"] for row in rows}
    assert sizes["fp32"] == 2 * sizes["fp16"] == 16 * sizes["ternary2"]
    refused = {row["packing"] for row in rows if row["refused"]}
    assert {"tq1_0", "tq2_0", "tl1", "tl2"} <= refused  # 32 inputs are no block of 256
