"""Floating-point units in SystemVerilog against exact rationals, and those against numpy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from float_operands import (
    beside_sums,
    dots,
    multiply_adds,
    special_multiply_adds,
    sums_of_dots,
)
from float_rationals import (
    BF16,
    FP16,
    FP32,
    QUIET_NAN,
    Format,
    Kind,
    Sum,
    accumulate,
    add,
    decode,
    fields,
    fused_dot,
    multiply_add,
    power,
    products,
)
from rtl_many import Instance, build_many
from rtl_modules import assert_lint_is_silent, assert_yosys_elaborates
from rtl_needed import need_simulator

from accelsim.rtl.circuit import build
from accelsim.rtl.sources import SV_FOLDER

Sources = Sequence[Path]
Ports = dict[str, npt.NDArray[np.int64]]
OURS: Sources = (SV_FOLDER,)
STAGES = range(6)
MAC_KINDS = {FP16: 3, BF16: 4, FP32: 5}
DOT_KINDS = {FP16: 6, BF16: 7}
EXACT_TAIL = 25  # of sum_float: from here on c + t is exactly rounded


@pytest.fixture(autouse=True, scope="module")
def _simulator() -> None:
    need_simulator()


def levels(lanes: int) -> int:
    return (lanes - 1).bit_length()


def default_window(lanes: int) -> int:
    return 26 + levels(lanes)


def assert_same(shown: Any, expected: Any, given: Ports, case: object) -> None:
    """Compare results, and quote the operands of the first difference."""
    wrong = np.flatnonzero(np.asarray(shown) != np.asarray(expected))
    if len(wrong):
        i = wrong[0]
        operands = {name: [f"{v:x}" for v in np.ravel(port[i])] for name, port in given.items()}
        found = f"{shown[i]:x}, not {expected[i]:x}"
        raise AssertionError(f"{len(wrong)} differ in {case}; {operands} gave {found}")


# Checks: each compares instances of one module with the exact model.


@functools.cache
def mac_vectors(form: Format) -> tuple[Ports, npt.NDArray[np.uint32]]:
    """Return operations of mac_float and what they should give."""
    parts = [multiply_adds(form, 8000), special_multiply_adds(form)]
    given = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows = zip(*(port.tolist() for port in given.values()), strict=True)
    return given, np.array([multiply_add(form, *row) for row in rows], np.uint32)


def check_macs(
    folder: Path,
    form: Format,
    stages: Sequence[int],
    sources: Sources = OURS,
    backend: str | None = None,
) -> None:
    inputs = {"step": 1, "reduce": 1, "a": form.bits, "w": form.bits, "r": 32, "c": 32}
    wires = {name: name for name in inputs}
    kind = {"KIND": MAC_KINDS[form]}
    instances = [Instance("mac", kind | {"STAGES": s}, wires, "y", 32) for s in stages]
    circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)
    given, expected = mac_vectors(form)
    outputs = circuit.replay(given)
    for i, late in enumerate(stages):
        shown = outputs[f"y{i}"][late:]
        assert_same(shown, expected[: len(shown)], given, f"{form}, {late} stages")


DotCase = tuple[int, int]  # lanes, window


def check_dots(
    folder: Path, form: Format, cases: Sequence[DotCase], sources: Sources = OURS
) -> None:
    most = max(lanes for lanes, _ in cases)
    inputs = {"a": form.bits * most, "w": form.bits * most, "valid": most}
    instances = []
    for lanes, window in cases:
        bits = {"a": form.bits, "w": form.bits, "valid": 1}
        wires = {name: f"{name}[{n * lanes - 1}:0]" for name, n in bits.items()}
        parameters = {"KIND": DOT_KINDS[form], "LANES": lanes, "WINDOW": window}
        size = form.exp + window + levels(lanes) + 4
        instances.append(Instance("dot", parameters, wires, "t", size))
    circuit = build_many(folder, inputs, instances, sources=sources)
    given = dots(form, most, 1000)
    outputs = circuit.replay(given)
    for i, (lanes, window) in enumerate(cases):
        late = 1 + levels(lanes)
        some = {name: port[:-late, :lanes] for name, port in given.items()}
        shown = [unpacked(word, form, lanes, window) for word in outputs[f"y{i}"][late:]]
        expected = [packed(s, form, lanes, window) for s in dot_sums(form, window, some)]
        assert_same(shown, expected, some, f"{form}, {lanes} lanes, window {window}")


def dot_sums(form: Format, window: int, given: Ports) -> list[Sum]:
    rows = zip(*(given[name].tolist() for name in ("a", "w", "valid")), strict=True)
    return [fused_dot(form, window, *row) for row in rows]


def packed(t: Sum, form: Format, lanes: int, window: int) -> int:
    """Return the bits of ``t``; of a special value only what it is."""
    bits = window + levels(lanes) + 1
    if t.special:
        return t.special << (form.exp + 1 + bits)
    return t.exponent << bits | t.integer % (1 << bits)


def unpacked(word: Any, form: Format, lanes: int, window: int) -> int:
    """Return the bits that dot_float shows, likewise."""
    number = int.from_bytes(word.tobytes(), "little")
    below = form.exp + 1 + window + levels(lanes) + 1
    return number >> below << below if number >> below else number


def port_words(numbers: Sequence[int]) -> npt.NDArray[np.uint32]:
    """Lay numbers of any width out as words of a port."""
    count = -(-max(1, max(n.bit_length() for n in numbers)) // 32)
    octets = b"".join(n.to_bytes(4 * count, "little") for n in numbers)
    return np.frombuffer(octets, "<u4").reshape(len(numbers), count)


SumCase = tuple[int, int, int]  # lanes, window, tail


def sum_window(lanes: int, window: int, tail: int) -> int:
    """Return how many places below the first of t sum_float keeps of c."""
    return max(max(window + levels(lanes), 24) + tail, 27)


def check_sums(
    folder: Path,
    form: Format,
    cases: Sequence[SumCase],
    stages: Sequence[int],
    sources: Sources = OURS,
) -> None:
    for lanes, window, tail in cases:
        bits = form.exp + window + levels(lanes) + 4
        inputs = {"add": 1, "reduce": 1, "t": bits, "r": 32, "c": 32}
        shape = {"EXP": form.exp, "LANES": lanes, "WINDOW": window, "TAIL": tail}
        wires = {name: name for name in inputs}
        instances = [Instance("sum_float", shape | {"STAGES": s}, wires, "y", 32) for s in stages]
        circuit = build_many(folder, inputs, instances, sources=sources)
        sums, given = sums_of_dots(form, lanes, window, 3000)
        t = port_words([packed(s, form, lanes, window) for s in sums])
        outputs = circuit.replay(given | {"t": t})
        expected = []
        for s, *row in zip(sums, *(port.tolist() for port in given.values()), strict=True):
            expected.append(expected_sum(form, (lanes, window, tail), s, *row))
        for i, late in enumerate(stages):
            shown = outputs[f"y{i}"][late:]
            assert_same(shown, expected[: len(shown)], given | {"t": t}, (form, shape, late))


def expected_sum(
    form: Format, case: SumCase, t: Sum, plus: int, reduce: int, r: int, c: int
) -> int:
    if reduce:
        return add(decode(r, FP32), decode(c, FP32))
    if not plus:
        return c
    first = t.exponent - 2 * form.bias + 1 + levels(case[0])
    if case[2] >= EXACT_TAIL:
        return add(t.number, decode(c, FP32))
    return accumulate(t, c, first, sum_window(*case))


# The model agrees with numpy wherever numpy is exact.


def bits_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return np.where(np.isnan(values), np.uint32(QUIET_NAN), values.view(np.uint32))


def floats(bits: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return bits.astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("form", [FP16, BF16])
def test_the_model_reads_every_number_of_16_bits_as_numpy_does(form: Format) -> None:
    every = np.arange(1 << 16, dtype=np.int64)
    values = every.astype(np.uint16).view(np.float16) if form == FP16 else floats(every << 16)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        wide = values.astype(float).tolist()
    for bits, value in zip(every.tolist(), wide, strict=True):
        number = decode(bits, form)
        if number.kind is Kind.FINITE:
            assert float(number.value) == value
            assert number.negative == np.signbit(value)
        else:
            assert np.isinf(value) == (number.kind is Kind.INFINITE)
            assert np.isnan(value) == (number.kind is Kind.NAN)


def test_the_model_adds_as_float32_does() -> None:
    given, expected = mac_vectors(FP32)
    with np.errstate(all="ignore"):
        sums = bits_of(floats(given["r"]) + floats(given["c"]))
    reduced = given["reduce"] == 1
    assert reduced.sum() > 1000
    np.testing.assert_array_equal(expected[reduced], sums[reduced])


@pytest.mark.parametrize("form", [FP16, BF16, FP32])
def test_the_model_multiplies_and_adds_as_float64_does_where_that_is_exact(form: Format) -> None:
    given, expected = mac_vectors(form)
    a, w = (
        given[name].astype(np.uint16).view(np.float16)
        if form == FP16
        else floats(given[name] << (32 - form.bits))
        for name in "aw"
    )
    with np.errstate(all="ignore"):
        product, c = a.astype(float) * w.astype(float), floats(given["c"]).astype(float)
        total = product + c
        # What the sum lost, exactly (Knuth's TwoSum); a float64 of a float32 product loses nothing.
        lost = (product - (total - (total - product))) + (c - (total - product))
        rounded = bits_of(total.astype(np.float32))
    exact = (given["step"] == 1) & (given["reduce"] == 0) & ~(lost != 0)
    assert exact.sum() > 3000
    np.testing.assert_array_equal(expected[exact], rounded[exact])


# What the modules do.


@pytest.mark.parametrize("form", MAC_KINDS)
def test_a_multiply_add_is_rounded_once_with_any_number_of_stages(
    form: Format, tmp_path: Path
) -> None:
    check_macs(tmp_path, form, STAGES)


@pytest.mark.parametrize(
    ("form", "lanes"), [(FP16, (1, 2, 4, 7, 32)), (BF16, (1, 3, 5, 8, 17))], ids=str
)
def test_a_dot_product_cuts_off_what_lies_below_its_window_and_nothing_else(
    form: Format, lanes: tuple[int, ...], tmp_path: Path
) -> None:
    cases = [(n, default_window(n)) for n in lanes]
    check_dots(tmp_path, form, [*cases, (4, 12), (6, 2 * form.man + 2), (4, 80)])


@pytest.mark.parametrize("form", DOT_KINDS)
def test_a_sum_of_dot_products_is_rounded_once(form: Format, tmp_path: Path) -> None:
    check_sums(tmp_path, form, [(4, 28, 0)], STAGES)
    check_sums(tmp_path, form, [(32, 31, 0), (1, 12, 0), (4, 28, EXACT_TAIL)], [0])


def fused(
    form: Format, given: Ports, c: npt.NDArray[np.int64], window: int, tail: int
) -> npt.NDArray[np.uint32]:
    """Return the bits of c + a . w as dot_float and sum_float compute it."""
    lanes = given["a"].shape[1]
    late = 1 + levels(lanes)
    shape = {"EXP": form.exp, "LANES": lanes, "WINDOW": window}
    padded = {name: np.concatenate([port, port[:late]]) for name, port in given.items()}
    t = build("dot_float", shape | {"MAN": form.man}).replay(padded)["t"][late:]
    stimulus = {"add": 1, "reduce": 0, "t": t, "r": c, "c": c}
    return build("sum_float", shape | {"TAIL": tail}).replay(stimulus)["y"].astype(np.uint32)


def exact_sums(form: Format, given: Ports) -> list[Any]:
    """Return the sums of products as fractions, None where they are no numbers."""
    sums = []
    for row in zip(*(given[name].tolist() for name in ("a", "w", "valid")), strict=True):
        numbers = products(form, *row)
        finite = all(n.kind is Kind.FINITE for n in numbers)
        sums.append(sum(n.value for n in numbers) if finite else None)
    return sums


def test_a_wide_window_rounds_the_exact_sum_of_all_products() -> None:
    # fp16: the exponents of two products differ by at most 58, and a product has 22 bits.
    given = dots(FP16, 4, 1500, seed=5)
    sums = exact_sums(FP16, given)
    c = beside_sums(sums, seed=6)
    shown = fused(FP16, given, c, 80, EXACT_TAIL)
    numbers = 0
    for exact, start, y in zip(sums, c.tolist(), shown.tolist(), strict=True):
        running = decode(start, FP32)
        if exact and running.kind is Kind.FINITE:
            numbers += 1
            assert y == add(running._replace(negative=exact < 0, magnitude=abs(exact)), running)
    assert numbers > 900


@pytest.mark.parametrize("form", DOT_KINDS)
@pytest.mark.parametrize("lanes", [4, pytest.param(16, marks=pytest.mark.rtl_full)])
def test_what_the_default_window_cuts_off_is_below_half_a_unit_in_the_last_place(
    form: Format, lanes: int
) -> None:
    window = default_window(lanes)
    given = dots(form, lanes, 2000 if lanes == 4 else 800, seed=7)
    sums = exact_sums(form, given)
    c = beside_sums(sums, seed=8)
    shown = fused(form, given, c, window, 0)
    off = 0
    for exact, t, start, y in zip(
        sums, dot_sums(form, window, given), c.tolist(), shown.tolist(), strict=True
    ):
        running, result = decode(start, FP32), decode(y, FP32)
        if (
            exact is None
            or Kind.INFINITE in (running.kind, result.kind)
            or result == decode(QUIET_NAN, FP32)
        ):
            continue
        # Half a unit of a float32 as large as the least normal product of this exponent, and
        # half a unit of the result.
        cut = power(t.exponent - 2 * form.bias - 24)
        rounding = power(max(fields(y, FP32)[1], 1) - FP32.bias - 24)
        error = abs(result.value - exact - running.value)
        assert error < cut + rounding
        off += y != add(running._replace(negative=exact < 0, magnitude=abs(exact)), running)
    assert off  # it does cut


@pytest.mark.parametrize("form", DOT_KINDS)
@pytest.mark.parametrize("weight_bits", [2, 8])
def test_integer_codes_add_up_exactly(form: Format, weight_bits: int) -> None:
    rng = np.random.default_rng(9)
    steps, lanes = 2000, 16
    a = rng.integers(-128, 128, (steps, lanes))
    w = (
        rng.integers(-1, 2, (steps, lanes))
        if weight_bits == 2
        else rng.integers(-128, 128, a.shape)
    )
    c = rng.integers(-(1 << 23), 1 << 23, steps)
    cast = {name: cast_to(form, codes) for name, codes in (("a", a), ("w", w))}
    valid = rng.integers(0, 2, a.shape)
    start = c.astype(np.float32).view(np.uint32).astype(np.int64)
    shown = fused(form, cast | {"valid": valid}, start, default_window(lanes), 0)
    np.testing.assert_array_equal(shown.view(np.float32), c + (a * w * valid).sum(axis=1))
    mac = build("mac", {"KIND": MAC_KINDS[form]})
    single = {name: codes[:, 0] for name, codes in cast.items()}
    shown = mac.replay(single | {"step": 1, "reduce": 0, "r": start, "c": start})["y"]
    np.testing.assert_array_equal(shown.view(np.float32), c + (a * w)[:, 0])


def cast_to(form: Format, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if form == FP16:
        return codes.astype(np.float16).view(np.uint16).astype(np.int64)
    bits = codes.astype(np.float32).view(np.uint32).astype(np.int64)
    assert not (bits & 0xFFFF).any()
    return bits >> 16


# The checks find mistakes: each is planted in a copy of the sources.

MUTANTS: dict[str, tuple[Callable[..., None], tuple[Any, ...], str, str, str]] = {
    "bits shifted out are forgotten": (
        check_macs,
        (FP16, [0]),
        "float_align",
        "        moving[0] = moving[0] | jam;\n",
        "",
    ),
    "ties are rounded up": (
        check_macs,
        (FP16, [0]),
        "float_round",
        "half && (rest || significand[0])",
        "half",
    ),
    "the exponent of a subnormal is off by one": (
        check_macs,
        (BF16, [0]),
        "float_decode",
        "field == 0 ? EXP'(1) : field",
        "field",
    ),
    "the exponent of a subnormal sum is off by one": (
        check_macs,
        (BF16, [0]),
        "float_compare",
        "| {9'b0, c_field == 0}",
        "",
    ),
    "a subnormal result is shifted too far": (
        check_macs,
        (FP32, [0]),
        "float_normalise",
        "leading_zeros #(.WIDTH(SUM)) count_zeros (.word(magnitude | least)",
        "leading_zeros #(.WIDTH(SUM)) count_zeros (.word(magnitude)",
    ),
    "a sum of zero keeps the sign of the product": (
        check_macs,
        (FP16, [0]),
        "float_add",
        "sum == 0 ? zero_sign : ",
        "",
    ),
    "a zero product shifts the sum": (
        check_macs,
        (BF16, [0]),
        "float_compare",
        "!x_zero && !difference[9]",
        "!difference[9]",
    ),
    "the window of a short product lacks a bit": (
        check_macs,
        (FP16, [0]),
        "mac_float",
        "X > ZEROS + 26 ? X : ZEROS + 26",
        "ZEROS + 25",
    ),
    "the window of a long product lacks a bit": (
        check_macs,
        (FP32, [0]),
        "mac_float",
        "X > ZEROS + 26 ? X : ZEROS + 26",
        "ZEROS + 25",
    ),
    "a carry of the product is lost": (
        check_macs,
        (BF16, [5]),
        "carry_save",
        "x & y | z & (x ^ y)",
        "x & y",
    ),
    "a difference below zero is not negated": (
        check_macs,
        (FP32, [5]),
        "float_add_fast",
        "^ {SUM{inverted}}",
        "",
    ),
    "a difference above zero lacks its last place": (
        check_macs,
        (FP32, [5]),
        "float_add_fast",
        "around   = carry & generates[SUM-1]",
        "around   = 1'b0",
    ),
    "a difference of nothing keeps the sign of the product": (
        check_macs,
        (FP16, [5]),
        "float_add_fast",
        "zero ? zero_sign : ",
        "",
    ),
    "operands overtake their product": (
        check_macs,
        (FP32, [5]),
        "mac_float",
        ".WIDTH(Z + 72), .DEPTH(CUT)",
        ".WIDTH(Z + 72), .DEPTH(0)",
    ),
    "the tree of zeros forgets a level": (
        check_macs,
        (BF16, [5]),
        "leading_zeros_tree",
        "none[i] & none[i+2**level]",
        "none[i]",
    ),
    "a lane that is not valid sets the exponent": (
        check_dots,
        (FP16, [(4, 28)]),
        "dot_product_float",
        "!valid || a_zero",
        "a_zero",
    ),
    "a lane that is not valid is added": (
        check_dots,
        (FP16, [(4, 28)]),
        "dot_product_float",
        "a_significand & {(MAN + 1) {valid}}",
        "a_significand",
    ),
    "a negative product is cut off downwards": (
        check_dots,
        (BF16, [(4, 28)]),
        "dot_float",
        ".plus(negative_1)",
        ".plus({LANES{1'b0}})",
    ),
    "the last lane of an odd number is not compared": (
        check_dots,
        (BF16, [(5, 29)]),
        "largest_groups",
        "i < GROUPS * GROUP; i = i + 2",
        "i + span < COUNT - 1; i = i + 2",
    ),
    "opposite infinities are infinite": (
        check_dots,
        (FP16, [(4, 28)]),
        "dot_float",
        "nan != 0 || plus_infinite && minus_infinite",
        "nan != 0",
    ),
    "the tail that makes sums exact lacks a bit": (
        check_sums,
        (FP16, [(4, 28, EXACT_TAIL)], [0]),
        "sum_float",
        "X + TAIL > 27 ? X + TAIL : 27",
        "X + TAIL - 1",
    ),
    "a sum of zero hides a small c": (
        check_sums,
        (FP16, [(4, 28, 0)], [0]),
        "sum_float",
        "pass || sum == 0",
        "pass",
    ),
}


@pytest.mark.parametrize("mistake", MUTANTS)
def test_the_checks_find_a_planted_mistake(mistake: str, tmp_path: Path) -> None:
    check, case, module, right, wrong = MUTANTS[mistake]
    text = (SV_FOLDER / f"{module}.sv").read_text(encoding="utf-8")
    assert text.count(right) == 1
    mutant = tmp_path / f"{module}.sv"
    mutant.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(AssertionError, match="differ in"):
        check(tmp_path, *case, sources=[SV_FOLDER, mutant])


# Other tools read the modules alike.


@pytest.mark.rtl_full
def test_yosys_simulates_the_same(tmp_path: Path) -> None:
    need_simulator("cxxrtl")
    check_macs(tmp_path, BF16, [1], backend="cxxrtl")


LINTED: list[tuple[str, dict[str, int]]] = [
    *(("mac", {"KIND": kind, "ACC": 32, "STAGES": s}) for kind in (3, 4, 5) for s in (0, 3, 5)),
    *(("dot", {"KIND": kind, "LANES": n}) for kind in (6, 7) for n in (1, 2, 5, 32)),
    *(("sum", {"KIND": kind, "LANES": n, "ACC": 32}) for kind in (6, 7) for n in (1, 32)),
    ("sum", {"KIND": 6, "LANES": 4, "ACC": 32, "STAGES": 5}),
    ("dot_float", {"WINDOW": 12}),
    ("sum_float", {"WINDOW": 12, "TAIL": EXACT_TAIL}),
]


@pytest.mark.parametrize(("top", "parameters"), LINTED)
def test_lint_has_nothing_to_say(top: str, parameters: dict[str, int]) -> None:
    assert_lint_is_silent(top, parameters)


def test_yosys_elaborates_every_module() -> None:
    assert_yosys_elaborates(LINTED)
