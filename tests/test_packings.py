"""Packings, against loops over single weights written from their layouts and the gguf package."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.formats import PACKINGS
from accelsim.functional import packing_tiles
from accelsim.functional.footprint import ENTROPY, Tensor, entropy_bits, footprint_table
from accelsim.functional.packing_codec import Codec
from accelsim.functional.packing_tiles import Tiles, tl1, tl2
from accelsim.functional.packings import CODECS

SCALE = 0.7502
# Small matrices that use every loop of the tiles: several tiles of rows and inputs, a rest.
TILED = {
    "tl1": {(64, 64): Tiles(32, 32, 32), (128, 32): Tiles(64, 16, 64), (96, 24): Tiles(32, 8, 32)},
    "tl2": {
        (64, 320): Tiles(32, 96, 32),
        (32, 384): Tiles(32, 192, 32),
        (96, 288): Tiles(96, 24, 32),
    },
}
SHAPES = {
    "hf": [(8, 5), (5, 3), (1, 1), (7, 2)],
    "base3": [(8, 5), (3, 7), (1, 1), (11, 13)],
    "i2_s": [(3, 128), (8, 384), (6, 64), (128, 5), (10, 192)],
    "i2_s_arm": [(3, 64), (8, 192), (6, 32), (64, 3)],
    "tq1_0": [(3, 256), (4, 512)],
    "tq2_0": [(3, 256), (4, 512)],
    "tl1": list(TILED["tl1"]),
    "tl2": list(TILED["tl2"]),
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]


def codec_of(name: str) -> Codec:
    """Return the codec; of TL1 and TL2 one that knows the small shapes of this page."""
    made: dict[str, Callable[..., Codec]] = {"tl1": tl1, "tl2": tl2}
    return made[name](TILED[name]) if name in made else CODECS[name]


def drawn(outputs: int, inputs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (outputs, inputs)).astype(np.int8)


def canonical(weights: np.ndarray) -> np.ndarray:
    outputs, inputs = weights.shape
    quarter = -(-outputs // 4)
    packed = np.zeros((quarter, inputs), np.uint8)
    for row in range(4 * quarter):
        for k in range(inputs):
            code = int(weights[row, k]) + 1 if row < outputs else 1
            packed[row % quarter, k] |= code << 2 * (row // quarter)
    return packed


def trits(weights: list[int], count: int = 5) -> int:
    """Return the base-3 number of up to five weights plus one, missing digits 0."""
    value = 0
    for index in range(count):
        value = 3 * value + (weights[index] + 1 if index < len(weights) else 0)
    return value


def by_hand(name: str, w: list[list[int]], scale: float) -> bytes:
    """Return the bytes of a tensor, a weight at a time."""
    n, k = len(w), len(w[0])
    flat = [weight for row in w for weight in row]
    if name == "hf":
        quarter = -(-n // 4)
        out = bytearray(quarter * k)
        for row in range(n):
            for column in range(k):
                out[row % quarter * k + column] |= (w[row][column] + 1) << 2 * (row // quarter)
        return bytes(out)
    if name == "base3":
        flat += [0] * (-len(flat) % 5)
        return bytes(trits(flat[at : at + 5]) for at in range(0, len(flat), 5))
    if name.startswith("i2_s"):
        run = 64 if name.endswith("arm") else 128
        out = bytearray()
        for at in range(0, len(flat), run):
            for j in range(run // 4):
                fours = [flat[at + j + lane * run // 4] + 1 for lane in range(4)]
                out.append(fours[0] << 6 | fours[1] << 4 | fours[2] << 2 | fours[3])
        return bytes(out) + struct.pack("<f28x", scale)
    if name.startswith("tq"):
        return b"".join(block(name, flat[at : at + 256], scale) for at in range(0, len(flat), 256))
    return tiled(name, w) + struct.pack("<f28x", scale)


def block(name: str, w: list[int], scale: float) -> bytes:
    """Return 256 weights as ggml-common.h lays out block_tq1_0 and block_tq2_0."""
    if name == "tq2_0":
        codes = bytes(
            sum((w[half + j + 32 * lane] + 1) << 2 * lane for lane in range(4))
            for half in (0, 128)
            for j in range(32)
        )
    else:
        words = [[w[j + 32 * n] for n in range(5)] for j in range(32)]
        words += [[w[160 + j + 16 * n] for n in range(5)] for j in range(16)]
        words += [[w[240 + j + 4 * n] for n in range(4)] for j in range(4)]
        codes = bytes(math.ceil(trits(word) * 256 / 243) for word in words)
    return codes + struct.pack("<e", scale if any(w) else 0)


def tiled(name: str, w: list[list[int]]) -> bytes:
    """Return the codes of TL1 and TL2 in the order in which the kernels of bitnet.cpp read them."""
    n, k = len(w), len(w[0])
    rows, columns, lanes = TILED[name][n, k]
    if name == "tl1":
        out = bytearray()
        for tile in range(0, n, rows):
            for first in range(0, k, columns):
                for group in range(tile, tile + rows, lanes):
                    for step in range(first, first + columns, 256 // lanes):
                        for sixteen in range(group, group + lanes, 16):
                            for four in range(step, step + 256 // lanes, 4):
                                for row in range(sixteen, sixteen + 16):
                                    out.append(two_pairs(w[row][four : four + 4]))
        return bytes(out)
    # AVX2 unpacks the low eights of both halves of a register, then the high ones.
    order = [*range(8), *range(16, 24), *range(8, 16), *range(24, 32)]
    whole = k // columns * columns
    indices, signs, pairs = bytearray(), bytearray(), bytearray()
    for tile in range(0, n, rows):
        for first in range(0, whole, columns):
            for group in range(tile, tile + rows, 32):
                for six in range(first, first + columns, 6):
                    for row in order:
                        v = [triple(w[group + row][at : at + 3]) for at in (six, six + 3)]
                        indices.append(abs(v[0]) << 4 | abs(v[1]))
                for at in range(first, first + columns, 24):
                    for row in range(group, group + 16):
                        word = 0
                        for t in range(at, at + 24, 3):
                            for r in (row, row + 16):
                                word = 2 * word + (triple(w[r][t : t + 3]) < 0)
                        signs += word.to_bytes(2, "little")
        for first in range(whole, k, 32):
            for group in range(tile, tile + rows, 32):
                for four in range(first, first + 32, 4):
                    pairs += bytes(two_pairs(w[group + row][four : four + 4]) for row in order)
    counted = (k - 256) * n // 3 * 5 // 8 + 256 * n // 2 * 4 // 8
    codes = bytes(indices + signs + pairs)
    return codes.ljust(-(-counted // 32) * 32, b"\0")


def two_pairs(w: list[int]) -> int:
    return (3 * w[0] + w[1] + 4) << 4 | (3 * w[2] + w[3] + 4)


def triple(w: list[int]) -> int:
    return 9 * w[0] + 3 * w[1] + w[2]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_bytes_are_those_of_the_layout(name: str, shape: tuple[int, int]) -> None:
    weights = drawn(*shape)
    stored = codec_of(name).encode(canonical(weights), shape[0], SCALE)
    assert stored.tobytes() == by_hand(name, weights.tolist(), SCALE)
    assert stored.size == codec_of(name).nbytes(*shape)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_decoding_gives_back_weights_and_scale(name: str, shape: tuple[int, int]) -> None:
    weights = drawn(*shape, seed=1)
    stored = np.frombuffer(by_hand(name, weights.tolist(), SCALE), np.uint8)
    packed, scale = codec_of(name).decode(stored, *shape)
    assert packed.tobytes() == canonical(weights).tobytes()
    assert not packed.flags.writeable
    given = None if name in ("hf", "base3") else np.float32(SCALE)
    assert scale == (np.float32(np.float16(SCALE)) if name.startswith("tq") else given)


@given(
    name=st.sampled_from(["hf", "base3", "i2_s", "i2_s_arm", "tq1_0", "tq2_0"]),
    outputs=st.integers(1, 40),
    blocks=st.integers(1, 3),
    seed=st.integers(0, 99),
    zeros=st.booleans(),
)
def test_every_shape_comes_back(
    name: str, outputs: int, blocks: int, seed: int, zeros: bool
) -> None:
    codec = CODECS[name]
    inputs = blocks * {"hf": 11, "base3": 11, "i2_s": 64, "i2_s_arm": 16}.get(name, 256)
    outputs *= {"i2_s": 2, "i2_s_arm": 4}.get(name, 1)
    weights = drawn(outputs, inputs, seed) * (not zeros)
    packed = canonical(weights)
    found, _ = codec.decode(codec.encode(packed, outputs, 2.0), outputs, inputs)
    assert found.tobytes() == packed.tobytes()


@pytest.mark.parametrize("name", ["tl1", "tl2"])
def test_tiles_of_published_shapes_come_back(name: str) -> None:
    outputs, inputs = 1536, 1536
    packed = canonical(np.tile(drawn(64, 64), (24, 24)))
    packed[:, 7] = np.random.default_rng(3).permutation(packed[:, 7])
    found, scale = CODECS[name].decode(CODECS[name].encode(packed, outputs, SCALE), outputs, inputs)
    assert found.tobytes() == packed.tobytes()
    assert scale == np.float32(SCALE)


def test_every_published_shape_fits_its_tiles() -> None:
    for name, presets in (
        ("tl1", packing_tiles.PRESETS_TL1),
        ("tl2", packing_tiles.PRESETS_TL2),
    ):
        for shape in presets:
            assert CODECS[name].nbytes(*shape) > 0


@pytest.mark.parametrize("name", ["tq1_0", "tq2_0"])
def test_tq_is_what_the_gguf_package_writes_and_reads(name: str) -> None:
    gguf = pytest.importorskip("gguf")
    kind = gguf.GGMLQuantizationType[name.upper()]
    weights = drawn(6, 768)
    weights[2], weights[3, 256:512] = 0, 0
    floats = weights.astype(np.float32) * np.float32(SCALE)
    expected = gguf.quants.quantize(floats, kind)
    stored = CODECS[name].encode(canonical(weights), 6, SCALE)
    assert stored.tobytes() == expected.tobytes()
    scale = CODECS[name].decode(stored, 6, 768)[1]
    assert (gguf.quants.dequantize(expected, kind) == weights * scale).all()


@pytest.mark.parametrize("byte", range(256))
def test_tq1_reads_every_byte_as_the_gguf_package_does(byte: int) -> None:
    gguf = pytest.importorskip("gguf")
    stored = np.full(54, byte, np.uint8)
    stored[52:] = np.array([1.0], np.float16).view(np.uint8)
    expected = gguf.quants.dequantize(stored[None], gguf.GGMLQuantizationType.TQ1_0)
    packed, scale = CODECS["tq1_0"].decode(stored, 1, 256)
    assert scale == 1
    assert packed.tobytes() == canonical(expected.astype(np.int8)).tobytes()


def test_hf_stays_where_it_lies_and_rows_past_the_outputs_become_zero_weights() -> None:
    stored = CODECS["hf"].encode(canonical(drawn(8, 6)), 8)
    assert np.shares_memory(CODECS["hf"].decode(stored, 8, 6)[0], stored)
    ragged = CODECS["hf"].encode(canonical(drawn(5, 6)), 5)
    assert (ragged[6:] >> 6 == 0).all()  # as transformers' pack_weights leaves them
    assert (CODECS["hf"].decode(ragged, 5, 6)[0][1] >> 6 == 1).all()


def refusal(name: str, stored: np.ndarray, shape: tuple[int, int]) -> str:
    with pytest.raises(UserError) as caught:
        codec_of(name).decode(stored, *shape, file="w.gguf", key="blk.0.ffn_up.weight")
    line = str(caught.value)
    assert line.startswith("w.gguf:blk.0.ffn_up.weight: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("name", "at", "byte"),
    [
        ("hf", 3, 0b11010101),
        ("i2_s", 40, 0b01110101),
        ("i2_s_arm", 40, 0b01011101),
        ("tq2_0", 70, 0b01010111),
        ("base3", 2, 243),
        ("tl1", 9, 0x94),
        ("tl1", 9, 0x4F),
        ("tl2", 9, 0xE0),
        ("tl2", 9, 0x0F),
        ("tl2", 64 * 288 // 6 + 64 * 288 // 24 + 5, 0x94),
    ],
)
def test_a_code_that_is_no_weight_is_refused(name: str, at: int, byte: int) -> None:
    shape = SHAPES[name][0]
    stored = codec_of(name).encode(canonical(drawn(*shape)), shape[0], SCALE)
    stored[at] = byte
    assert "no weight" in refusal(name, stored, shape)


@pytest.mark.parametrize("name", ["i2_s", "i2_s_arm", "tl1", "tl2", "tq1_0", "tq2_0"])
@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_finite_and_positive_is_refused(name: str, scale: float) -> None:
    shape = SHAPES[name][0]
    stored = codec_of(name).encode(canonical(drawn(*shape)), shape[0], SCALE)
    if name.startswith("tq"):
        size = 54 if name == "tq1_0" else 66
        stored.reshape(-1, size)[:, -2:] = np.array([scale], np.float16).view(np.uint8)
    else:
        stored[-32:-28] = np.array([scale], np.float32).view(np.uint8)
    assert "scale" in refusal(name, stored, shape)
    with pytest.raises(UserError, match="scale"):
        codec_of(name).encode(canonical(drawn(*shape)), shape[0], scale)


def test_a_tq_tensor_has_one_scale() -> None:
    stored = CODECS["tq2_0"].encode(canonical(drawn(2, 512)), 2, SCALE)
    stored[-2:] = np.array([0.5], np.float16).view(np.uint8)
    assert "differ in scale" in refusal("tq2_0", stored, (2, 512))
    stored[-2:] = 0
    assert "scale of a block with weights is 0" in refusal("tq2_0", stored, (2, 512))


def test_a_scale_that_float16_cannot_hold_is_refused() -> None:
    for scale in (1e-9, 1e6):
        with pytest.raises(UserError, match="finite and positive"):
            CODECS["tq1_0"].encode(canonical(drawn(1, 256)), 1, scale)
    with pytest.raises(UserError, match="stores a scale"):
        CODECS["i2_s"].encode(canonical(drawn(1, 128)), 1)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("i2_s", (3, 64), "multiples of 128"),
        ("tq1_0", (4, 100), "multiples of 256"),
        ("hf", (0, 4), "no shape"),
        ("hf", (4, 1 << 41), "no shape"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    name: str, shape: tuple[int, int], words: str
) -> None:
    assert words in refusal(name, np.zeros(1, np.uint8), shape)
    with pytest.raises(UserError, match=words):
        CODECS[name].nbytes(*shape)


def test_unknown_tiles_and_tiles_that_do_not_fit_are_refused() -> None:
    for name in ("tl1", "tl2"):
        with pytest.raises(UserError, match="not known for this shape") as caught:
            CODECS[name].nbytes(2560, 2560)
        assert "3200x8640" in str(caught.value)
    for make, inputs, tiles in (
        (tl1, 64, Tiles(48, 32, 32)),
        (tl1, 64, Tiles(32, 32, 16)),
        (tl1, 64, Tiles(32, 48, 32)),
        (tl2, 320, Tiles(32, 100, 32)),
        (tl2, 320, Tiles(64, 96, 64)),
        (tl2, 192, Tiles(32, 96, 32)),
    ):
        with pytest.raises(UserError, match="not fit"):
            make({(64, inputs): tiles}).nbytes(64, inputs)


def test_a_wrong_number_of_bytes_is_refused() -> None:
    assert "takes 288 bytes" in refusal("i2_s", np.zeros(287, np.uint8), (8, 128))


@given(outputs=st.integers(1, 300), inputs=st.integers(1, 4000))
def test_packings_of_the_simulator_take_the_bytes_of_the_codecs(outputs: int, inputs: int) -> None:
    pairs = (("ternary2", "hf"), *((name, name) for name in ("base3", "tq1_0", "tq2_0", "i2_s")))
    for name, codec in pairs:
        step = {"tq1_0": 256, "tq2_0": 256, "i2_s": 128}.get(name, 1)
        n, k = (4 * outputs if codec == "hf" else outputs), -(-inputs // step) * step
        assert -(-PACKINGS[name].bits(n, k) // 8) == CODECS[codec].nbytes(n, k)


def test_tl_takes_the_bytes_of_its_codecs_but_for_padding_of_the_file() -> None:
    for (n, k), tiles in packing_tiles.PRESETS_TL2.items():
        assert PACKINGS["tl1"].bits(n, k) == 8 * CODECS["tl1"].nbytes(n, k)
        if tiles.inputs == PACKINGS["tl2"].block:
            # ggml_nbytes counts 256 inputs in pairs, the packing only those past whole tiles.
            padding = n * (k % 96) * 2 + n * (k - k % 96) * 5 // 3 + 256
            assert PACKINGS["tl2"].bits(n, k) == padding
            assert 0 <= CODECS["tl2"].nbytes(n, k) - padding // 8 < 64 * n


def test_bits_a_weight_are_the_published_ones() -> None:
    # bitnet.cpp (arXiv 2502.11880) for TL2; ggml-common.h for TQ.
    published = {"tq1_0": 1.6875, "tq2_0": 2.0625, "base3": 1.6, "ternary2": 2.0}
    for name, bits in published.items():
        assert PACKINGS[name].bits(2560, 6400) == bits * 2560 * 6400
    assert PACKINGS["tl2"].bits(2560, 9600) == 2560 * 9600 * 5 // 3 + 256
    assert PACKINGS["tl2"].bits(1, 2560) - 256 == pytest.approx(1.675 * 2560)


def test_entropy_is_that_of_equal_shares_and_of_a_coin() -> None:
    assert entropy_bits(7, 7, 7) == pytest.approx(21 * math.log2(3))
    assert entropy_bits(8, 0, 8) == 16
    assert entropy_bits(2, 4, 2) == 12  # codes 10, 0, 11
    assert entropy_bits(0, 9, 0) == 0
    assert entropy_bits(0, 0, 0) == 0


@given(st.tuples(*[st.integers(0, 500)] * 3).filter(any))
def test_nothing_that_stores_any_weights_beats_their_entropy(counts: tuple[int, int, int]) -> None:
    tensor = Tensor("w", 1, sum(counts), *counts)
    rows = {row.packing: row for row in footprint_table([tensor, tensor])}
    assert [*rows] == [*PACKINGS, ENTROPY]
    for row in rows.values():
        assert row.bytes >= rows[ENTROPY].bytes
        assert row.bits_per_weight >= rows[ENTROPY].bits_per_weight


def test_a_footprint_adds_tensors_in_whole_bytes() -> None:
    rows = footprint_table([Tensor("a", 3, 7, 7, 7, 7), Tensor("b", 4, 256, 256, 512, 256)])
    found = {row.packing: row for row in rows}
    assert found["ternary2"].bytes == 6 + 256
    assert found["base3"].bytes == 5 + 205
    assert found["tq1_0"].bytes == 3 * 54 + 4 * 54
    assert found["i2_s"].bytes == 6 + 256 + 2 * 32
    assert found[ENTROPY].bytes == math.ceil(21 * math.log2(3) / 8) + 1024 * 3 // 2 // 8
    assert found["int8"].bits_per_weight == 8
    assert [name for name, row in found.items() if not row.lossless] == [
        "tq1_0",
        "tq2_0",
        "fp16",
        "bf16",
    ]
    assert found["tl2"].decoder == "decoder.tl2"
