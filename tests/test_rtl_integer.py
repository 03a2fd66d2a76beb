"""Integer leaf cells in SystemVerilog against exact integers: all widths, stages and overflows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rtl_many import Instance, build_many
from rtl_modules import assert_lint_is_silent, assert_yosys_elaborates
from rtl_needed import need_simulator

from accelsim.rtl.circuit import build
from accelsim.rtl.sources import SV_FOLDER
from accelsim.rtl.words import lanes_of, signed

Ints = npt.NDArray[np.int64]
Sources = Sequence[Path]
OURS: Sources = (SV_FOLDER,)
CYCLES = 3000
SEEDS = (1, 2, 3)
TERNARY, INT8, INT4 = 0, 1, 2
WEIGHT_BITS = {TERNARY: 2, INT8: 8, INT4: 4}
WRAP, SATURATE = 0, 1


@pytest.fixture(autouse=True, scope="module")
def _simulator() -> None:
    need_simulator()


# Exact models and operands.


def limited(exact: Ints, bits: int, overflow: int) -> Ints:
    """Wrap or saturate to ``bits``."""
    half = 1 << (bits - 1)
    return np.clip(exact, -half, half - 1) if overflow else (exact + half) % (2 * half) - half


def integers(rng: np.random.Generator, bits: int, *shape: int) -> Ints:
    """Draw numbers of ``bits``, every third from the corners."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    corners = np.array([low, low + 1, -1, 0, min(1, high), high - 1, high])
    drawn = rng.integers(low, high, shape, endpoint=True)
    return np.where(rng.random(shape) < 1 / 3, rng.choice(corners, shape), drawn)


def weights(rng: np.random.Generator, kind: int, *shape: int) -> Ints:
    """Draw weights of a kind."""
    if kind == TERNARY:
        return rng.integers(-1, 1, shape, endpoint=True)
    return integers(rng, WEIGHT_BITS[kind], *shape)


def sums(rng: np.random.Generator, bits: int, size: int) -> Ints:
    """Draw accumulators of ``bits``: anywhere, or within a few products of either end."""
    top = 1 << (bits - 1)
    near = np.minimum(rng.integers(0, 1 << 16, size) >> rng.integers(0, 17, size), top - 1)
    places = [integers(rng, bits, size), near - top, top - 1 - near, near]
    return np.choose(rng.integers(0, 4, size), places)


def bits_of(values: Ints, bits: int) -> Ints:
    """Return two's complement as an unsigned number."""
    return values & ((1 << bits) - 1)


def with_garbage(rng: np.random.Generator, values: Ints, counts: Ints, bits: int) -> Ints:
    """Put any pattern of ``bits`` wherever ``values`` do not count."""
    return np.where(counts, bits_of(values, bits), rng.integers(0, 1 << bits, values.shape))


# Checks: each compares instances of one module with the exact model.

MacCase = tuple[int, int, int, int]  # kind, accumulator bits, stages, overflow


def check_macs(
    folder: Path, cases: Sequence[MacCase], sources: Sources = OURS, backend: str | None = None
) -> None:
    widths = sorted({acc for _, acc, _, _ in cases})
    inputs = {"step": 1, "reduce": 1, "a": 8}
    inputs |= {f"w{kind}": bits for kind, bits in WEIGHT_BITS.items()}
    inputs |= {f"{name}{acc}": acc for acc in widths for name in "rc"}
    instances = [
        Instance(
            "mac",
            {"KIND": kind, "ACC": acc, "STAGES": stages, "OVERFLOW": overflow},
            {"step": "step", "reduce": "reduce", "a": "a", "w": f"w{kind}"}
            | {name: f"{name}{acc}" for name in "rc"},
            "y",
            acc,
        )
        for kind, acc, stages, overflow in cases
    ]
    circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        reduce = rng.random(CYCLES) < 0.2
        step = rng.random(CYCLES) < 0.8
        counts = step & ~reduce
        a = integers(rng, 8, CYCLES)
        w = {kind: weights(rng, kind, CYCLES) for kind in WEIGHT_BITS}
        given = {"step": step, "reduce": reduce, "a": with_garbage(rng, a, counts, 8)}
        for kind, bits in WEIGHT_BITS.items():
            given[f"w{kind}"] = with_garbage(rng, w[kind], counts, bits)
        for acc in widths:
            given |= {f"{name}{acc}": sums(rng, acc, CYCLES) for name in "rc"}
        outputs = circuit.replay(given, seed=seed)
        for i, (kind, acc, stages, overflow) in enumerate(cases):
            added = np.where(reduce, given[f"r{acc}"], np.where(step, a * w[kind], 0))
            expected = limited(given[f"c{acc}"] + added, acc, overflow)
            np.testing.assert_array_equal(
                signed(outputs[f"y{i}"], acc)[stages:],
                expected[: CYCLES - stages],
                err_msg=f"kind, acc, stages, overflow = {cases[i]}",
            )


def dot_bits(kind: int, lanes: int) -> int:
    """Return the bits of a dot-product unit's sum: the carry of a ternary one included."""
    levels = (lanes - 1).bit_length()
    return 9 + levels if kind == TERNARY else 8 + WEIGHT_BITS[kind] + levels


def check_dots(
    folder: Path,
    cases: Sequence[tuple[int, int]],
    sources: Sources = OURS,
    backend: str | None = None,
) -> None:
    """Compare for cases of kind and lanes."""
    most = max(lanes for _, lanes in cases)
    inputs = {"valid": most, "a": 8 * most}
    inputs |= {f"w{kind}": bits * most for kind, bits in WEIGHT_BITS.items()}
    instances = [
        Instance(
            "dot",
            {"KIND": kind, "LANES": lanes},
            {"a": f"a[{8 * lanes - 1}:0]", "valid": f"valid[{lanes - 1}:0]"}
            | {"w": f"w{kind}[{WEIGHT_BITS[kind] * lanes - 1}:0]"},
            "t",
            dot_bits(kind, lanes),
        )
        for kind, lanes in cases
    ]
    circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        valid = rng.random((CYCLES, most)) < rng.choice([0.3, 0.9, 1.0], (CYCLES, 1))
        a = integers(rng, 8, CYCLES, most)
        w = {kind: weights(rng, kind, CYCLES, most) for kind in WEIGHT_BITS}
        a[:10], w[TERNARY][:10], w[INT8][:10], w[INT4][:10] = -128, -1, -128, -8  # widest sums
        a[10:20] = 127
        given = {"valid": valid, "a": with_garbage(rng, a, valid, 8)}
        for kind, bits in WEIGHT_BITS.items():
            given[f"w{kind}"] = with_garbage(rng, w[kind], valid, bits)
        outputs = circuit.replay(given, seed=seed)
        for i, (kind, lanes) in enumerate(cases):
            late = 1 + (lanes - 1).bit_length()
            expected = (a * w[kind] * valid)[:, :lanes].sum(axis=1)
            t = signed(outputs[f"y{i}"], dot_bits(kind, lanes))
            shown = (t >> 1) + (t & 1) if kind == TERNARY else t
            np.testing.assert_array_equal(
                shown[late:], expected[: CYCLES - late], err_msg=f"kind, lanes = {cases[i]}"
            )


SumCase = tuple[int, int, int, int, int]  # kind, lanes, accumulator bits, stages, overflow


def check_sums(
    folder: Path, cases: Sequence[SumCase], sources: Sources = OURS, backend: str | None = None
) -> None:
    inputs = {"add": 1, "reduce": 1}
    instances = []
    for kind, lanes, acc, stages, overflow in cases:
        bits = dot_bits(kind, lanes)
        inputs |= {f"r{acc}": acc, f"c{acc}": acc, f"t{bits}": bits}
        parameters = {"KIND": kind, "LANES": lanes, "ACC": acc, "STAGES": stages}
        wires = {"add": "add", "reduce": "reduce", "t": f"t{bits}", "r": f"r{acc}", "c": f"c{acc}"}
        instances.append(Instance("sum", parameters | {"OVERFLOW": overflow}, wires, "y", acc))
    circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        given = {name: rng.random(CYCLES) < 0.6 for name in ("add", "reduce")}
        for name, bits in list(inputs.items())[2:]:
            draw = sums if name[0] in "rc" else integers
            given[name] = draw(rng, bits, CYCLES)
        outputs = circuit.replay(given, seed=seed)
        for i, (kind, lanes, acc, stages, overflow) in enumerate(cases):
            t = given[f"t{dot_bits(kind, lanes)}"]
            number = (t >> 1) + (t & 1) if kind == TERNARY else t
            added = np.where(given["reduce"], given[f"r{acc}"], np.where(given["add"], number, 0))
            expected = limited(given[f"c{acc}"] + added, acc, overflow)
            np.testing.assert_array_equal(
                signed(outputs[f"y{i}"], acc)[stages:],
                expected[: CYCLES - stages],
                err_msg=f"kind, lanes, acc, stages, overflow = {cases[i]}",
            )


def accumulated(
    step: Ints, first: Ints, added: Ints, bits: int, overflow: int, late: int
) -> tuple[Ints, int]:
    """Return what an accumulator shows ``late`` cycles after each input, and since which cycle."""
    shown = np.zeros(len(step), np.int64)
    total = 0
    for cycle in range(len(step)):
        if step[cycle]:
            exact = np.int64((0 if first[cycle] else total) + added[cycle])
            total = int(limited(exact, bits, overflow))
        shown[cycle] = total
    begin = int(np.flatnonzero(step & first)[0])
    return shown[begin : len(step) - late], begin + late


SharedCase = tuple[int, int, int]  # lanes, accumulator bits, overflow


def check_shared(
    folder: Path, cases: Sequence[SharedCase], sources: Sources = OURS, backend: str | None = None
) -> None:
    most = max(lanes for lanes, _, _ in cases)
    inputs = {"rst": 1, "step": 1, "first": 1, "a": 8 * most, "w": 2 * most, "valid": most}
    instances = [
        Instance(
            "shared_ternary",
            {"LANES": lanes, "ACC": acc, "OVERFLOW": overflow},
            {name: name for name in ("rst", "step", "first")}
            | {"a": f"a[{8 * lanes - 1}:0]", "w": f"w[{2 * lanes - 1}:0]"}
            | {"valid": f"valid[{lanes - 1}:0]"},
            "y",
            acc,
        )
        for lanes, acc, overflow in cases
    ]
    circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        step, first = rng.random(CYCLES) < 0.8, rng.random(CYCLES) < 0.05
        rst = np.arange(CYCLES) < 2
        valid = (rng.random((CYCLES, most)) < 0.8) & step[:, None]
        a = integers(rng, 8, CYCLES, most)
        w = np.where(rng.random((CYCLES, 1)) < 0.5, weights(rng, TERNARY, CYCLES, most), 1)
        outputs = circuit.replay(
            {
                "rst": rst,
                "step": step,
                "first": first,
                "valid": np.where(step[:, None], valid, rng.random(valid.shape) < 0.5),
                "a": with_garbage(rng, a, valid, 8),
                "w": with_garbage(rng, w, valid, 2),
            },
            seed=seed,
        )
        for i, (lanes, acc, overflow) in enumerate(cases):
            added = (a * w * valid)[:, :lanes].sum(axis=1)
            expected, begin = accumulated(step & ~rst, first, added, acc, overflow, 2)
            np.testing.assert_array_equal(
                signed(outputs[f"y{i}"], acc)[begin:],
                expected,
                err_msg=f"lanes, acc, overflow = {cases[i]}",
            )


LutCase = tuple[int, int, int]  # readers, accumulator bits, overflow
PLACES = np.array([1, 3, 9])  # of three ternary weights in the number of a LUT group


def check_luts(
    folder: Path, cases: Sequence[LutCase], sources: Sources = OURS, backend: str | None = None
) -> None:
    most = max(readers for readers, _, _ in cases)
    inputs = {"rst": 1, "fill": 1, "a": 24, "step": 1, "first": 1, "index": 5 * most}
    instances = [
        Instance(
            "lut_group",
            {"READERS": readers, "ACC": acc, "OVERFLOW": overflow},
            {name: name for name in ("rst", "fill", "a", "step", "first")}
            | {"index": f"index[{5 * readers - 1}:0]"},
            "y",
            acc * readers,
        )
        for readers, acc, overflow in cases
    ]
    circuit = build_many(folder, inputs, instances, sources=sources, backend=backend)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rst = np.arange(CYCLES) < 2
        fill = rng.random(CYCLES) < 0.3
        fill[2] = True  # nothing counts before the table is filled
        step = (rng.random(CYCLES) < 0.8) & (np.arange(CYCLES) >= 2)
        first = rng.random(CYCLES) < 0.05
        a = integers(rng, 8, CYCLES, 3)
        filled = a[np.maximum.accumulate(np.where(fill, np.arange(CYCLES), 0))]
        w = weights(rng, TERNARY, CYCLES, most, 3)
        number = w @ PLACES
        index = np.where(step[:, None], (number < 0) * 16 + abs(number), 31)
        outputs = circuit.replay(
            {
                "rst": rst,
                "fill": fill,
                "a": a,
                "step": np.where(rst, True, step),
                "first": first,
                "index": index,
            },
            seed=seed,
        )
        for i, (readers, acc, overflow) in enumerate(cases):
            shown = signed(lanes_of(outputs[f"y{i}"], acc, readers), acc)
            for reader in range(readers):
                added = (filled * w[:, reader]).sum(axis=1)
                expected, begin = accumulated(step, first, added, acc, overflow, 2)
                np.testing.assert_array_equal(
                    shown[begin:, reader], expected, err_msg=f"{cases[i]}, reader {reader}"
                )


# What the modules do.


def test_multiply_accumulates_are_exact(tmp_path: Path) -> None:
    check_macs(
        tmp_path,
        list(itertools.product(WEIGHT_BITS, (7, 20, 40), range(4), (WRAP, SATURATE))),
    )


def test_dot_products_are_exact(tmp_path: Path) -> None:
    lanes = (1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 32)
    check_dots(tmp_path, [(TERNARY, n) for n in lanes] + [(INT8, n) for n in lanes[::2]])
    check_dots(tmp_path, [(INT4, n) for n in lanes[1::2]])


def test_sums_of_dot_products_are_exact(tmp_path: Path) -> None:
    check_sums(
        tmp_path,
        list(itertools.product(WEIGHT_BITS, (1, 6), (10, 24), range(4), (WRAP, SATURATE))),
    )


def test_adders_that_share_an_accumulator_are_exact(tmp_path: Path) -> None:
    check_shared(tmp_path, list(itertools.product((1, 2, 3, 7, 32), (9, 24), (WRAP, SATURATE))))


def test_lut_groups_are_exact(tmp_path: Path) -> None:
    check_luts(tmp_path, list(itertools.product((1, 5, 16), (9, 24), (WRAP, SATURATE))))


def test_every_ternary_product_is_exact() -> None:
    # All activations times all weights, with every carry to come.
    circuit = build("ternary_selector")
    a, w, valid = (g.ravel() for g in np.meshgrid(range(-128, 128), (-1, 0, 1), (0, 1)))
    outputs = circuit.replay({"a": a, "w": w, "valid": valid})
    product = signed(outputs["y"], 8) + outputs["negative"]
    np.testing.assert_array_equal(product, a * w * valid)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("ranks", [0, 2])
def test_every_integer_product_is_exact(bits: int, ranks: int) -> None:
    circuit = build("int_multiplier", {"W": bits, "RANKS": ranks})
    a, w = (
        g.ravel() for g in np.meshgrid(range(-128, 128), range(-(1 << bits - 1), 1 << bits - 1))
    )
    y = signed(circuit.replay({"a": a, "w": w, "valid": 1})["y"], 8 + bits)
    np.testing.assert_array_equal(y[ranks:], (a * w)[: len(a) - ranks])


def test_every_entry_of_a_lut_group_is_its_sum() -> None:
    circuit = build("lut_group")
    w = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    number = w @ PLACES
    assert len(np.unique(abs(number))) == 14
    a = np.array([[-128, -128, -128], [127, -128, 127], [5, -7, 100]])
    filled = np.repeat(a, 27, axis=0)
    index = np.tile((number < 0) * 16 + abs(number), 3)
    outputs = circuit.replay(
        {"rst": 0, "fill": 1, "a": filled, "step": 1, "first": 1, "index": index}
    )
    expected = (filled * np.tile(w, (3, 1))).sum(axis=1)
    np.testing.assert_array_equal(signed(outputs["y"], 24)[2:], expected[:-2])


# The checks find mistakes: each is planted in a copy of the sources.

MUTANTS: dict[str, tuple[Callable[..., None], list[tuple[int, ...]], str, str, str]] = {
    "an activation is not sign-extended": (
        check_macs,
        [(TERNARY, 24, 0, WRAP)],
        "mac_ternary",
        "IN'($signed(selected))",
        "IN'(selected)",
    ),
    "an accumulator is not sign-extended": (
        check_macs,
        [(TERNARY, 24, 0, SATURATE)],
        "int_adder",
        "WIDTH'($signed(c))",
        "WIDTH'(c)",
    ),
    "a weight is unsigned": (
        check_macs,
        [(INT4, 24, 1, WRAP)],
        "int_multiplier",
        "$signed(a) * $signed(weight)",
        "$signed(a) * $signed({1'b0, weight})",
    ),
    "a low half of a weight is signed": (
        check_macs,
        [(INT8, 24, 2, WRAP)],
        "int_multiplier",
        "$signed({1'b0, weight[HALF-1:0]})",
        "$signed(weight[HALF-1:0])",
    ),
    "a step needs no permission": (
        check_macs,
        [(INT8, 24, 0, WRAP)],
        "int_multiplier",
        "valid ? w : '0",
        "w",
    ),
    "a carry between segments is lost": (
        check_macs,
        [(TERNARY, 24, 1, WRAP)],
        "carry_chain",
        ".carry(sum_taken[LOW])",
        ".carry(1'b0)",
    ),
    "saturation looks at one bit too few": (
        check_macs,
        [(INT8, 12, 0, SATURATE)],
        "int_adder",
        "sum[WIDTH-1:ACC-1] == {(WIDTH - ACC + 1) {sign}}",
        "sum[WIDTH-1:ACC] == {(WIDTH - ACC) {sign}}",
    ),
    "a sum arrives a cycle before its product": (
        check_macs,
        [(INT8, 24, 2, WRAP)],
        "mac_int",
        ".DEPTH(RANKS)",
        ".DEPTH(RANKS - 1)",
    ),
    "a lane needs no permission": (
        check_dots,
        [(TERNARY, 4)],
        "ternary_selector",
        "valid && w[0]",
        "w[0]",
    ),
    "a node of the tree forgets a carry": (
        check_dots,
        [(TERNARY, 4)],
        "adder_tree",
        " + (WIDTH + 1)'(carries[2*i+1])",
        "",
    ),
    "a node of the tree is unsigned": (
        check_dots,
        [(INT8, 4)],
        "adder_tree",
        "(WIDTH + 1)'($signed(x[2*i*WIDTH+:WIDTH]))",
        "(WIDTH + 1)'(x[2*i*WIDTH+:WIDTH])",
    ),
    "a reduction adds the carry of the tree": (
        check_sums,
        [(TERNARY, 6, 20, 0, WRAP)],
        "sum_int",
        "add && !reduce && t_carry",
        "t_carry",
    ),
    "a first step keeps the sum": (
        check_shared,
        [(3, 24, WRAP)],
        "shared_ternary",
        "first_taken ? '0 : y",
        "y",
    ),
    "a step without permission counts": (
        check_shared,
        [(3, 24, WRAP)],
        "shared_ternary",
        "if (step_taken) y",
        "y",
    ),
    "a negative index is inverted, not negated": (
        check_luts,
        [(1, 24, WRAP)],
        "lut_group",
        ".carry(negative)",
        ".carry(1'b0)",
    ),
    "a table is filled in every cycle": (
        check_luts,
        [(1, 24, WRAP)],
        "lut_entries",
        "if (fill) taken",
        "taken",
    ),
}


@pytest.mark.parametrize("mistake", MUTANTS)
def test_the_checks_find_a_planted_mistake(mistake: str, tmp_path: Path) -> None:
    check, cases, module, right, wrong = MUTANTS[mistake]
    text = (SV_FOLDER / f"{module}.sv").read_text(encoding="utf-8")
    assert text.count(right) == 1
    mutant = tmp_path / f"{module}.sv"
    mutant.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(AssertionError, match="Mismatched elements"):
        check(tmp_path, cases, [SV_FOLDER, mutant])


# Other tools read the modules alike.


def test_yosys_simulates_the_same(tmp_path: Path) -> None:
    need_simulator("cxxrtl")
    macs = [(TERNARY, 12, 3, SATURATE), (INT8, 24, 2, WRAP), (INT4, 24, 0, WRAP)]
    check_macs(tmp_path, macs, backend="cxxrtl")
    check_dots(tmp_path, [(TERNARY, 5)], backend="cxxrtl")


LINTED: list[tuple[str, dict[str, int]]] = [
    *(("mac", {"KIND": k, "STAGES": s, "OVERFLOW": s % 2}) for k in WEIGHT_BITS for s in range(4)),
    *(("mac", {"KIND": k, "ACC": 7, "OVERFLOW": o}) for k in WEIGHT_BITS for o in (0, 1)),
    *(("dot", {"KIND": k, "LANES": n}) for k in WEIGHT_BITS for n in (1, 5, 32)),
    *(("sum", {"KIND": k, "LANES": 5, "STAGES": s}) for k in WEIGHT_BITS for s in range(4)),
    *(("shared_ternary", {"LANES": n, "ACC": 9, "OVERFLOW": n % 2}) for n in (1, 3, 16)),
    *(("lut_group", {"READERS": n, "OVERFLOW": n % 2}) for n in (1, 4, 16)),
]


@pytest.mark.parametrize(("top", "parameters"), LINTED)
def test_lint_has_nothing_to_say(top: str, parameters: dict[str, int]) -> None:
    assert_lint_is_silent(top, parameters)


def test_yosys_elaborates_every_module() -> None:
    assert_yosys_elaborates(LINTED)
