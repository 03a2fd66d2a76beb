"""Arrays in SystemVerilog: every sum and every cycle, against exact models and the closed form.

The SRAM ports of an array are compared with the referee's cycle by cycle, too. `test_rtl_campaign`
runs more of the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from float_rationals import BF16, FP16, FP32, Format, accumulate, fused_dot, multiply_add
from hypothesis import given
from hypothesis import strategies as st
from referee import simulate
from rtl_arrays import array, assert_exact, label, operands, run, shapes_around
from rtl_needed import need_simulator

from accelsim.engine.timing import ArrayTiming, Organisation
from accelsim.errors import UserError
from accelsim.rtl.arrays import Bench, RtlArray
from accelsim.rtl.circuit import Circuit, build, lint
from accelsim.rtl.float_sums import FusedDot, MultiplyAdd
from accelsim.rtl.sources import SV_FOLDER

need_simulator()

OS, WS, IS, DOT = Organisation

ARRAYS = [
    array(OS, 1, 1),
    array(OS, 2, 3, overlap=False),
    array(OS, 4, 5, latency=3, pe="int8_mac", bits=18, overflow="saturate"),
    array(OS, 3, 2, latency=2, interleave=True, bits=10),
    array(OS, 5, 4, latency=3, interval=2, interleave=True, overlap=False, pe="int8_int4_mac"),
    array(OS, 2, 4, interval=2, interleave=True, bits=9, overflow="saturate"),
    array(WS, 1, 1),
    array(WS, 4, 3),
    array(WS, 1, 3, latency=3),
    array(WS, 3, 4, overlap=False, interval=2, bits=9, overflow="saturate"),
    array(WS, 5, 4, latency=2, interval=2, pe="int8_mac"),
    array(WS, 2, 3, latency=3, overlap=False, bits=12),
    array(IS, 3, 2, pe="int8_mac", bits=17, overflow="saturate"),
    array(IS, 2, 5, latency=2),
    array(IS, 4, 1, overlap=False, pe="int8_int4_mac"),
    array(IS, 1, 2, latency=2, interval=2, bits=10, overflow="saturate"),
    array(DOT, 2, 3, lanes=4),
    array(DOT, 3, 2, lanes=5, latency=3, interleave=True, bits=11, overflow="saturate"),
    array(DOT, 1, 4, latency=2, interval=2, overlap=False),
    array(DOT, 4, 1, lanes=3, overlap=False, pe="int8_mac"),
    array(DOT, 2, 2, lanes=8, latency=2, interleave=True, pe="int8_int4_mac", bits=16),
    array(OS, 2, 2, latency=3, interleave=True, pe="fp16_fmac"),
    array(OS, 1, 3, pe="fp32_fmac", overlap=False),
    array(OS, 3, 2, latency=6, interleave=True, pe="fp32_fmac"),
    array(WS, 2, 3, latency=6, pe="fp32_fmac"),
    array(WS, 3, 2, latency=2, pe="bf16_fmac"),
    array(IS, 2, 2, pe="fp16_fmac"),
    array(DOT, 2, 2, lanes=4, latency=3, interleave=True, pe="fp16_fused"),
    array(DOT, 1, 2, lanes=5, latency=2, pe="bf16_fused"),
    array(DOT, 2, 1, lanes=4, latency=6, interleave=True, pe="bf16_fused"),
]


@pytest.mark.parametrize("built", ARRAYS, ids=label)
def test_cycles_and_sums_are_those_of_the_page(built: RtlArray) -> None:
    circuit = built.build()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        with Bench(built, circuit, seed) as bench:
            for shape in shapes_around(built, 6, rng):
                assert_exact(built, bench, *operands(built.pe, shape, rng))


def partial_words(timing: ArrayTiming, shape: tuple[int, int, int]) -> int:
    """Words of sums that ws and is read back: all of a column tile for all folds of k but one."""
    if timing.organisation in (OS, DOT):
        return 0
    m, k, n = shape
    streamed, wide = (m, n) if timing.organisation == WS else (n, m)
    return streamed * (-(-k // timing.rows) - 1) * -(-wide // timing.cols)


@pytest.mark.parametrize("built", ARRAYS, ids=label)
def test_the_srams_are_read_and_written_in_the_cycles_of_the_referee(built: RtlArray) -> None:
    rng = np.random.default_rng(5)
    with Bench(built, built.build(), 5) as bench:
        for shape in shapes_around(built, 2, rng):
            activations, weights = operands(built.pe, shape, rng)
            table = simulate(built.timing, activations & 1, weights & 1).table
            seen = run(built, bench, activations, weights)
            streams = "load" if built.timing.organisation in (WS, IS) else "read"
            for place, cycles in (
                ("read", seen.west),
                (streams, seen.north),
                ("write", seen.writes),
            ):
                assert cycles.tolist() == [c for c in sorted(table) if place in table[c]], place
            assert seen.partial_reads == partial_words(built.timing, shape)


def test_a_gemm_larger_than_any_tile_is_exact() -> None:
    built = array(WS, 4, 3)
    rng = np.random.default_rng(0)
    with Bench(built, built.build()) as bench:
        assert_exact(built, bench, *operands(built.pe, (40, 90, 20), rng))


def test_an_sram_that_shows_old_words_would_need_a_longer_turnaround() -> None:
    """The page asks for write-first output SRAMs: where folds are L + 1 cycles apart it matters."""
    built = array(WS, 1, 3, latency=3)
    circuit = build("bench", built.parameters | {"WRITE_FIRST": 0})
    rng = np.random.default_rng(0)
    activations, weights = operands(built.pe, (1, 4, 3), rng)
    with Bench(built, circuit) as bench:
        seen = run(built, bench, activations, weights)
    assert not np.array_equal(seen.sums, activations @ weights)


@pytest.mark.parametrize("built", ARRAYS, ids=label)
def test_verilator_has_no_complaint(built: RtlArray) -> None:
    assert lint("gemm", {k: v for k, v in built.parameters.items() if k != "DEPTH"}) == ""


@pytest.mark.parametrize("built", [ARRAYS[3], ARRAYS[15]], ids=label)
def test_yosys_reads_the_same_hardware(built: RtlArray) -> None:
    need_simulator("cxxrtl")
    rng = np.random.default_rng(1)
    with Bench(built, built.build(backend="cxxrtl")) as bench:
        for shape in shapes_around(built, 2, rng):
            assert_exact(built, bench, *operands(built.pe, shape, rng))


# A file, what stands there once, what stands there in the mutant, an array that must show it.
MUTANTS = {
    "os accumulates in every cycle": (
        "pe_os",
        "op[0] & a_valid & w_valid",
        "1'b1",
        array(OS, 2, 3, interval=2),
    ),
    "ws adds rows that are not in use": ("pe_held", ".step(x_valid)", ".step(1'b1)", ARRAYS[7]),
    "dot adds lanes that are not in use": (
        "pe_dot",
        ".w, .valid,",
        ".w, .valid({LANES{1'b1}}),",
        ARRAYS[16],
    ),
    "swap one cycle late": (
        "pe_held",
        "if (swap_in) held <= shadow",
        "if (swap) held <= shadow",
        ARRAYS[7],
    ),
    "swap in step one cycle late": (
        "pe_held",
        "if (swap_in) held <= h_in",
        "if (swap) held <= h_in",
        ARRAYS[13],
    ),
    "shadow does not wait": ("pe_held", "(!waiting || swap_in)", "1'b1", ARRAYS[7]),
    "shadow waits for ever": ("pe_held", "waiting && !swap_in", "waiting", ARRAYS[7]),
    "weight chain one register too long": (
        "pe_held",
        ".DEPTH(LATENCY - 1)",
        ".DEPTH(LATENCY)",
        ARRAYS[13],
    ),
    "held bit never cleared": ("accumulators", "& ~column", "", ARRAYS[3]),
    "held bit never set": ("accumulators", "(held | captured) & ~column", "1'b0", ARRAYS[3]),
    "reduction into the wrong accumulator": (
        "accumulators",
        "reduce ? {INDEX{1'b0}} : index",
        "index",
        ARRAYS[17],
    ),
    "first step adds to the old sum": (
        "accumulators",
        "else if (first) c = '0;",
        "",
        ARRAYS[3],
    ),
    "drain one word short": ("drain_counter", "COUNT'(ROWS)", "COUNT'(ROWS - 1)", ARRAYS[1]),
    "no west skew": ("array_os", "WIDTH(A), .DEPTH(i)", "WIDTH(A), .DEPTH(0)", ARRAYS[1]),
    "no os deskew": ("array_os", ".DEPTH(COLS - 1 - j)", ".DEPTH(0)", ARRAYS[1]),
    "no ws deskew": ("array_held", ".DEPTH(COLS - 1 - j)", ".DEPTH(0)", ARRAYS[7]),
    "presence one cycle late": (
        "array_held",
        ".DEPTH(ROWS * LATENCY - 1)",
        ".DEPTH(ROWS * LATENCY)",
        ARRAYS[7],
    ),
    "tree one level short": ("array_dot", ".DEPTH(2 +", ".DEPTH(1 +", ARRAYS[16]),
    "fold before the drain is free": (
        "control_os",
        "spacing <= COUNT'(ROWS - 1)",
        "spacing <= COUNT'(ROWS - 2)",
        array(OS, 4, 2),
    ),
    "fold a cycle after the drain": (
        "control_os",
        "!draining || tile_written",
        "!draining",
        ARRAYS[1],
    ),
    "step before the sum": (
        "control_os",
        "interleaved ? COUNT'(INTERVAL - 1) : COUNT'(GAP - 1)",
        "COUNT'(INTERVAL - 1)",
        ARRAYS[2],
    ),
    "interleaves one step too late": ("control_os", "GAIN + 2", "GAIN + 3", ARRAYS[17]),
    "reads back before it is written": (
        "control_held",
        "TURNAROUND = LATENCY + 1",
        "TURNAROUND = LATENCY",
        ARRAYS[8],
    ),
    "writes elements that do not exist": (
        "in_use",
        "left > SIZE'(p)",
        "left > SIZE'(p) || p == PLACES - 1",
        ARRAYS[1],
    ),
    "tokens without reset": (
        "delay_token",
        "if (rst) line <= '0;\n                else ",
        "",
        ARRAYS[7],
    ),
}


def notices(built: RtlArray, circuit: Circuit) -> bool:
    """Return whether the comparisons of this file tell a broken array from the page's."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        with Bench(built, circuit, seed) as bench:
            for shape in shapes_around(built, 12, rng):
                try:
                    assert_exact(built, bench, *operands(built.pe, shape, rng))
                except (AssertionError, IndexError, UserError):
                    return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_noticed(mutant: str, tmp_path: Path) -> None:
    name, old, new, built = MUTANTS[mutant]
    text = (SV_FOLDER / f"{name}.sv").read_text()
    assert text.count(old) == 1, "the mutant names one place"
    (tmp_path / f"{name}.sv").write_text(text.replace(old, new))
    assert notices(built, built.build(sources=[SV_FOLDER, tmp_path]))


def numbers(form: Format) -> st.SearchStrategy[int]:
    """Finite numbers of a format, as bits."""
    top = ((1 << form.exp) - 1) << form.man
    return st.integers(0, (1 << form.bits) - 1).filter(lambda bits: bits & top != top)


FORMS = {"fp16": FP16, "bf16": BF16, "fp32": FP32}


@pytest.mark.parametrize("name", FORMS)
def test_the_model_of_a_multiply_add_is_the_rational_one(name: str) -> None:
    form = FORMS[name]

    @given(numbers(form), numbers(form), numbers(FP32))
    def agree(a: int, w: int, c: int) -> None:
        sums = np.array([[c]], np.uint32).view(np.float32)
        with np.errstate(over="ignore"):
            seen = MultiplyAdd(name).step(sums, np.array([[a]]), np.array([[w]]))
        exact = multiply_add(form, 1, 0, a, w, 0, c)
        assert int(seen.view(np.uint32)[0, 0]) == exact

    agree()


@pytest.mark.parametrize(("name", "lanes"), [("fp16", 4), ("bf16", 5)])
def test_the_model_of_a_fused_dot_product_is_the_rational_one(name: str, lanes: int) -> None:
    form, levels = FORMS[name], (lanes - 1).bit_length()
    many = st.lists(numbers(form), min_size=lanes, max_size=lanes)

    @given(many, many, numbers(FP32))
    def agree(a: list[int], w: list[int], c: int) -> None:
        sums = np.array([[c]], np.uint32).view(np.float32)
        with np.errstate(over="ignore"):
            seen = FusedDot(name, lanes).step(sums, np.array([a]), np.array([w]).T)
        t = fused_dot(form, 26 + levels, a, w, [1] * lanes)
        exact = accumulate(t, c, t.exponent - 2 * form.bias + 1 + levels, 26 + 2 * levels)
        assert int(seen.view(np.uint32)[0, 0]) == exact

    agree()
