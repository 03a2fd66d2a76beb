"""Weight decoders in SystemVerilog against the codecs of the functional model, and formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rtl_many import Instance, build_many
from rtl_modules import assert_lint_is_silent, assert_yosys_elaborates
from rtl_needed import need_simulator

from accelsim.functional.packing_codec import Codec
from accelsim.functional.packing_tiles import Tiles, tl1, tl2
from accelsim.functional.packings import CODECS
from accelsim.rtl.sources import SV_FOLDER
from accelsim.rtl.words import lanes_of, signed

Ints = npt.NDArray[np.int64]
Sources = Sequence[Path]
OURS: Sources = (SV_FOLDER,)
CODES = {0b00: 0, 0b01: 1, 0b11: -1}
BYTES = np.arange(256)
TRIPLES = np.array([9, 3, 1])


@pytest.fixture(autouse=True, scope="module")
def _simulator() -> None:
    need_simulator()


# Stored tensors.


def ternary(*shape: int) -> Ints:
    return np.random.default_rng(shape).integers(-1, 1, shape, endpoint=True)


def encode(codec: Codec, weights: Ints) -> npt.NDArray[np.uint8]:
    """Return the bytes of a tensor [outputs, inputs] of -1, 0, +1, through the canonical form."""
    quarter = -(-len(weights) // 4)
    rows = np.zeros((4 * quarter, weights.shape[1]), np.int64)
    rows[: len(weights)] = weights
    fields = (rows + 1).reshape(4, quarter, -1) << np.array([0, 2, 4, 6])[:, None, None]
    return codec.encode(fields.sum(axis=0).astype(np.uint8), len(weights), 1.0)


def decode(codec: Codec, stored: npt.NDArray[np.uint8], outputs: int, inputs: int) -> Ints:
    """Return the weights [outputs, inputs] of a tensor."""
    packed, _ = codec.decode(stored, outputs, inputs)
    rows = [packed.astype(np.int64) >> 2 * field & 3 for field in range(4)]
    return np.concatenate(rows)[:outputs] - 1


def places(words: Callable[[Ints], Ints], groups: int, each: int) -> Ints:
    """Find out which group of weights each stored word holds, by tensors that tell it bit by bit.

    Args:
        words: Weights [groups, each] -> stored words; the word of ones is 1 and of zeros 0.
        groups: How many words there are.
        each: Weights in a word.
    """
    found = np.zeros(groups, np.int64)
    for bit in range((groups - 1).bit_length()):
        marked = np.arange(groups) >> bit & 1
        found |= words(np.repeat(marked[:, None], each, axis=1)) << bit
    assert sorted(found) == list(range(groups))
    return found


# Checks.


# Module, parameters, stored bits and weights that come out at once.
DECODERS: dict[str, tuple[str, dict[str, int], int, int]] = {
    "low first": ("decoder_ternary2", {}, 8, 4),
    "high first": ("decoder_ternary2", {"HIGH_FIRST": 1}, 8, 4),
    "base 3": ("decoder_base3", {}, 8, 5),
    "five trits": ("decoder_tq1", {}, 8, 5),
    "four trits": ("decoder_tq1", {"TRITS": 4}, 8, 4),
    "pair": ("decoder_tl1", {}, 4, 2),
    "triple": ("decoder_tl2", {}, 4, 3),
    "12 low first": ("decoder_ternary2", {"WEIGHTS": 12}, 24, 12),
    "12 high first": ("decoder_ternary2", {"WEIGHTS": 12, "HIGH_FIRST": 1}, 24, 12),
    "3 base 3": ("decoder_base3", {"BYTES": 3}, 24, 15),
    "3 five trits": ("decoder_tq1", {"BYTES": 3}, 24, 15),
    "5 pairs": ("decoder_tl1", {"PAIRS": 5}, 20, 10),
    "5 triples": ("decoder_tl2", {"TRIPLES": 5}, 20, 15),
}


class Bench:
    """Decoders side by side, each with and without its register."""

    def __init__(
        self,
        folder: Path,
        module: str | None = None,
        sources: Sources = OURS,
        backend: str | None = None,
    ) -> None:
        self.names = [name for name, case in DECODERS.items() if module in (None, case[0])]
        instances = [self._instance(name, late) for name in self.names for late in (0, 1)]
        inputs = {"stored": 24, "signs": 5}
        self.circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)

    def _instance(self, name: str, late: int) -> Instance:
        module, parameters, bits, each = DECODERS[name]
        wires = {"stored": f"stored[{bits - 1}:0]"}
        if module == "decoder_tl2":
            wires["signs"] = f"signs[{bits // 4 - 1}:0]"
        return Instance(module, {**parameters, "REGISTERED": late}, wires, "weights", 2 * each)

    def __call__(self, name: str, stored: Ints, signs: Ints | int = 0) -> Ints:
        """Return weights [words, each] of stored words; a register changes only their cycle."""
        each = DECODERS[name][3]
        outputs = self.circuit.replay({"stored": stored, "signs": signs})
        first = 2 * self.names.index(name)
        at_once, later = (lanes_of(outputs[f"y{first + late}"], 2, each) for late in (0, 1))
        np.testing.assert_array_equal(later[1:], at_once[:-1])
        assert set(np.unique(at_once)) <= set(CODES), "a code that no PE knows"
        return signed(at_once, 2)


def check_crumbs(bench: Bench) -> None:
    """HF, TQ2_0 and I2_S: tensors that the codecs wrote, in the order their layouts state."""
    weights = ternary(8, 512)
    quarters = weights.reshape(4, 2, 512)
    hf = encode(CODECS["hf"], weights)
    out = bench("low first", hf)
    np.testing.assert_array_equal(out.T.reshape(quarters.shape), quarters)

    tq2 = encode(CODECS["tq2_0"], weights).reshape(-1, 66)[:, :64].reshape(-1)
    out = bench("low first", tq2)
    halves = out.reshape(-1, 32, 4).transpose(0, 2, 1)
    np.testing.assert_array_equal(halves.reshape(weights.shape), weights)

    for name, group in (("i2_s", 32), ("i2_s_arm", 16)):
        stored = encode(CODECS[name], weights)[:-32]
        out = bench("high first", stored)
        runs = out.reshape(-1, group, 4).transpose(0, 2, 1)
        np.testing.assert_array_equal(runs.reshape(weights.shape), weights, err_msg=name)


def check_base3(bench: Bench) -> None:
    """All bytes; of those above 242 only that the codes are ternary."""
    out = bench("base 3", BYTES)
    expected = decode(CODECS["base3"], BYTES[:243].astype(np.uint8), 1, 5 * 243)
    np.testing.assert_array_equal(out[:243], expected.reshape(-1, 5))
    np.testing.assert_array_equal((out[:243] + 1) @ 3 ** np.arange(4, -1, -1), BYTES[:243])


def check_tq1(bench: Bench) -> None:
    """All bytes at all three places of a block."""
    rng = np.random.default_rng(5)
    blocks = 64
    stored = np.zeros((blocks, 54), np.uint8)
    for begin, end in ((0, 32), (32, 48), (48, 52)):
        filled = np.tile(BYTES, -(-blocks * (end - begin) // 256))[: blocks * (end - begin)]
        stored[:, begin:end] = rng.permutation(filled).reshape(blocks, -1)
    stored[:, 52:] = np.array([1.0], "<f2").view(np.uint8)
    weights = decode(CODECS["tq1_0"], stored.reshape(-1), blocks, 256)
    for begin, count, trits, first in ((0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)):
        part = stored[:, begin : begin + count].reshape(-1).astype(np.int64)
        out = bench("five trits" if trits == 5 else "four trits", part)
        laid = out.reshape(blocks, count, trits).transpose(0, 2, 1).reshape(blocks, -1)
        np.testing.assert_array_equal(laid, weights[:, first : first + trits * count])
    # What ggml writes for each word of five digits decodes to these digits.
    words = np.array(list(itertools.product((-1, 0, 1), repeat=5)))
    written = -(-((words + 1) @ 3 ** np.arange(4, -1, -1)) * 256 // 243)
    out = bench("five trits", written)
    np.testing.assert_array_equal(out, words)


def check_tl1(bench: Bench) -> None:
    """All indices, and a tensor that the codec wrote."""
    index = np.arange(16)
    out = bench("pair", index)
    np.testing.assert_array_equal(out[:9] @ [3, 1] + 4, index[:9])
    np.testing.assert_array_equal(out[9:], 0)

    shape = (64, 128)
    codec = tl1({shape: Tiles(64, 64, 64)})

    def indices(pairs: Ints) -> Ints:
        stored = encode(codec, pairs.reshape(shape))[:-32].astype(np.int64)
        return np.stack([stored >> 4, stored & 15], axis=1).reshape(-1)

    pairs = ternary(4096, 2)
    place = places(lambda marks: (indices(marks) == 8).astype(np.int64), len(pairs), 2)
    out = bench("pair", indices(pairs))
    np.testing.assert_array_equal(out, pairs[place])


def check_tl2(bench: Bench) -> None:
    """All indices with both signs, and a tensor that the codec wrote."""
    index, sign = (grid.ravel() for grid in np.meshgrid(np.arange(16), [0, 1]))
    out = bench("triple", index, sign)
    value = np.where(index < 14, index * (1 - 2 * sign), 0)
    np.testing.assert_array_equal(out @ TRIPLES, value)
    np.testing.assert_array_equal(out[index > 13], 0)

    shape = (32, 288)
    codec = tl2({shape: Tiles(32, 96, 32)})
    groups = 32 * 288 // 3

    def indices(triples: Ints) -> Ints:
        stored = encode(codec, triples.reshape(shape))[: groups // 2].astype(np.int64)
        return np.stack([stored >> 4, stored & 15], axis=1).reshape(-1)

    def signs(triples: Ints) -> Ints:
        stored = encode(codec, triples.reshape(shape))[groups // 2 :][: groups // 8]
        return np.unpackbits(stored).astype(np.int64)

    triples = ternary(groups, 3)
    place = places(lambda marks: (indices(marks) == 13).astype(np.int64), groups, 3)
    sign_place = np.argsort(places(lambda marks: signs(-marks), groups, 3))
    out = bench("triple", indices(triples), signs(triples)[sign_place][place])
    np.testing.assert_array_equal(out, triples[place])


CHECKS = {
    "two bits": check_crumbs,
    "base 3": check_base3,
    "TQ1_0": check_tq1,
    "TL1": check_tl1,
    "TL2": check_tl2,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("decoders"))


@pytest.mark.parametrize("packing", CHECKS)
def test_a_decoder_gives_the_weights_that_were_packed(packing: str, bench: Bench) -> None:
    CHECKS[packing](bench)


def side_by_side(words: Ints, bits: int) -> Ints:
    """Return stored words [n, m] of ``bits`` as one word a row, the first lowest."""
    return (words << bits * np.arange(words.shape[1])).sum(axis=1)


def test_several_words_decode_side_by_side(bench: Bench) -> None:
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 243, (500, 3))
    for wide, one in (("3 base 3", "base 3"), ("3 five trits", "five trits")):
        both = bench(wide, side_by_side(stored, 8)), bench(one, stored.ravel())
        np.testing.assert_array_equal(both[0].reshape(-1, 5), both[1])

    codes = rng.integers(0, 3, (500, 12))
    np.testing.assert_array_equal(bench("12 low first", side_by_side(codes, 2)), codes - 1)
    turned = codes.reshape(500, 3, 4)[:, :, ::-1].reshape(500, 12)
    np.testing.assert_array_equal(bench("12 high first", side_by_side(codes, 2)), turned - 1)

    pairs = rng.integers(0, 9, (500, 5))
    weights = bench("5 pairs", side_by_side(pairs, 4)).reshape(500, 5, 2)
    np.testing.assert_array_equal(weights @ [3, 1] + 4, pairs)

    indices, signs = rng.integers(0, 14, (500, 5)), rng.integers(0, 2, (500, 5))
    weights = bench("5 triples", side_by_side(indices, 4), side_by_side(signs, 1))
    value = weights.reshape(500, 5, 3) @ TRIPLES
    np.testing.assert_array_equal(value, np.where(signs, -indices, indices))


def test_a_ternary_code_is_one_at_every_port(tmp_path: Path) -> None:
    weights = np.array([-1, 0, 1, 1, 0, -1])
    codes = (weights & 3).reshape(-1, 2)
    sizes = {"fp16": (5, 10), "bf16": (8, 7), "fp32": (8, 23)}
    wires = {"codes": "codes"}
    instances = [
        Instance("ternary_to_int", {"WEIGHTS": 2, "BITS": n}, wires, "values", 2 * n, False)
        for n in (4, 8)
    ] + [
        Instance(
            "ternary_to_float",
            {"WEIGHTS": 2, "EXP": exp, "MAN": man},
            wires,
            "values",
            2 + 2 * (exp + man),
            False,
        )
        for exp, man in sizes.values()
    ]
    outputs = build_many(tmp_path, {"codes": 4}, instances).replay({"codes": codes})
    for i, bits in enumerate((4, 8)):
        shown = signed(lanes_of(outputs[f"y{i}"], bits, 2), bits)
        np.testing.assert_array_equal(shown.ravel(), weights)
    fp32 = weights.astype(np.float32).view(np.uint32)
    expected = [weights.astype(np.float16).view(np.uint16), fp32 >> 16, fp32]
    for i, (bits, ones) in enumerate(zip((16, 16, 32), expected, strict=True)):
        shown = lanes_of(outputs[f"y{i + 2}"], bits, 2)
        np.testing.assert_array_equal(shown.ravel(), ones)


# The checks find mistakes: each is planted in a copy of the sources.

MUTANTS: dict[str, tuple[str, str, str, str]] = {
    "a byte is read from its low bits": ("two bits", "decoder_ternary2", "? i ^ 3", "? i"),
    "a digit is not taken away": ("base 3", "decoder_base3", "4'd3 :", "4'd0 :"),
    "bits stay from the last product": (
        "TQ1_0",
        "decoder_tq1",
        "= {2'b00, product[7:0]} +",
        "= product +",
    ),
    "two pairs change places": ("TL1", "decoder_tl1", "4'd1: pair = {O, M}", "4'd1: pair = {M, O}"),
    "a sign is inverted, zeros too": (
        "TL2",
        "decoder_tl2",
        "(signs[i] & positive[2*j])",
        "signs[i]",
    ),
}


@pytest.mark.parametrize("mistake", MUTANTS)
def test_the_checks_find_a_planted_mistake(mistake: str, tmp_path: Path) -> None:
    packing, module, right, wrong = MUTANTS[mistake]
    text = (SV_FOLDER / f"{module}.sv").read_text(encoding="utf-8")
    assert text.count(right) == 1
    mutant = tmp_path / f"{module}.sv"
    mutant.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"Mismatched elements|no PE knows"):
        CHECKS[packing](Bench(tmp_path, module, [SV_FOLDER, mutant]))


# Other tools read the modules alike.


def test_yosys_simulates_the_same(tmp_path: Path) -> None:
    need_simulator("cxxrtl")
    check_base3(Bench(tmp_path, "decoder_base3", backend="cxxrtl"))


def linted() -> Iterator[tuple[str, dict[str, int]]]:
    for late in (0, 1):
        yield "decoder_ternary2", {"WEIGHTS": 8, "HIGH_FIRST": late, "REGISTERED": late}
        yield "decoder_base3", {"BYTES": 1 + late, "REGISTERED": late}
        yield "decoder_tq1", {"BYTES": 1 + late, "TRITS": 5 - late, "REGISTERED": late}
        yield "decoder_tl1", {"PAIRS": 1 + late, "REGISTERED": late}
        yield "decoder_tl2", {"TRIPLES": 1 + late, "REGISTERED": late}
    yield "ternary_to_int", {"WEIGHTS": 2, "BITS": 4}
    yield "ternary_to_float", {"WEIGHTS": 2, "EXP": 8, "MAN": 7}


@pytest.mark.parametrize(("top", "parameters"), list(linted()))
def test_lint_has_nothing_to_say(top: str, parameters: dict[str, int]) -> None:
    assert_lint_is_silent(top, parameters)


def test_yosys_elaborates_every_module() -> None:
    assert_yosys_elaborates(linted())
