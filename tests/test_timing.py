"""Closed forms against the referee's registers, against SCALE-Sim and against their own bounds."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from referee import simulate
from referee_registers import Run

from accelsim.engine.timing import (
    ArrayTiming,
    Organisation,
    accesses_of_gemms,
    cycles_of_gemms,
    gemm_accesses,
    gemm_cycles,
    gemm_cycles_scalesim,
)
from accelsim.errors import UserError

OS, WS, IS, DOT = Organisation
REPOSITORY = Path(__file__).parents[1]
exhaustively = settings(max_examples=400)


@st.composite
def arrays(draw: st.DrawFn, largest: int = 5, organisation: Organisation | None = None):
    kind = draw(st.sampled_from(Organisation)) if organisation is None else organisation
    size = st.integers(1, largest)
    return ArrayTiming(
        kind,
        rows=draw(size),
        cols=draw(size),
        lanes=draw(st.integers(1, 9)) if kind == DOT else 1,
        latency=draw(st.integers(1, 6)),
        interval=draw(st.integers(1, 3)),
        interleave=draw(st.booleans()),
        overlap=draw(st.booleans()),
    )


def gemms(largest: int):
    return st.tuples(*[st.integers(1, largest)] * 3)


def operands(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    m, k, n = shape
    rng = np.random.default_rng(shape)
    return rng.integers(-128, 128, (m, k)), rng.integers(-1, 2, (k, n))


def cycles(array: ArrayTiming, shape: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(cycles_of_gemms(array, np.array([shape], dtype=np.int64))[0].tolist())


def total(array: ArrayTiming, shape: tuple[int, int, int]) -> int:
    return cycles(array, shape)[-1]


def assert_agree(array: ArrayTiming, shape: tuple[int, int, int]) -> None:
    activations, weights = operands(shape)
    run = simulate(array, activations, weights)
    np.testing.assert_array_equal(run.outputs, activations @ weights)
    folds, *_, last = cycles(array, shape)
    accesses = accesses_of_gemms(array, np.array([shape], dtype=np.int64))[0]
    assert (run.folds, run.cycles) == (folds, last)
    assert run.accesses == tuple(accesses)


@pytest.mark.parametrize("organisation", Organisation)
def test_closed_forms_agree_with_the_registers(organisation):
    @settings(max_examples=120)
    @given(arrays(organisation=organisation), gemms(largest=12))
    def agree(array, shape):
        assert_agree(array, shape)

    agree()


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("organisation", Organisation)
@pytest.mark.parametrize(
    ("rows", "cols", "shape"),
    [
        (1, 1, (1, 1, 1)),
        (1, 1, (3, 4, 2)),
        (7, 2, (1, 23, 9)),
        (2, 7, (1, 23, 9)),
        (8, 8, (1, 3, 40)),
        (4, 6, (13, 5, 6)),
        (6, 1, (6, 6, 6)),
    ],
)
def test_edge_geometries_agree_with_the_registers(organisation, overlap, rows, cols, shape):
    for latency, interval in ((1, 1), (4, 1), (3, 2), (1, 8)):
        array = ArrayTiming(
            organisation, rows, cols, 1, latency, interval, interleave=True, overlap=overlap
        )
        assert_agree(array, shape)


@pytest.mark.parametrize(
    ("fault", "array", "shape"),
    [
        ("ungated", ArrayTiming(OS, 2, 3, overlap=False), (2, 3, 4)),
        ("ungated", ArrayTiming(WS, 3, 2), (2, 4, 2)),
        ("ungated", ArrayTiming(IS, 3, 2), (2, 4, 2)),
        ("ungated", ArrayTiming(DOT, 2, 2, lanes=4), (2, 5, 2)),
        ("skew", ArrayTiming(OS, 2, 3), (2, 3, 3)),
        ("skew", ArrayTiming(WS, 2, 3, latency=2), (3, 2, 3)),
        ("skew", ArrayTiming(IS, 2, 3, latency=2), (3, 2, 3)),
        ("skew", ArrayTiming(DOT, 2, 2, lanes=4), (2, 8, 2)),
        ("early", ArrayTiming(OS, 4, 2), (4, 1, 4)),
        ("early", ArrayTiming(WS, 4, 2, latency=2), (1, 8, 2)),
        ("early", ArrayTiming(WS, 4, 2), (1, 8, 2)),
        ("early", ArrayTiming(IS, 4, 2, latency=2), (2, 8, 1)),
        ("early", ArrayTiming(DOT, 4, 2), (4, 1, 4)),
        ("hasty", ArrayTiming(OS, 2, 2, latency=3), (2, 4, 2)),
        ("hasty", ArrayTiming(OS, 2, 2, latency=3, interleave=True), (2, 9, 2)),
        ("hasty", ArrayTiming(WS, 1, 1, latency=3), (1, 4, 1)),
        ("hasty", ArrayTiming(DOT, 2, 2, latency=3), (2, 4, 2)),
    ],
)
def test_a_broken_array_is_noticed(fault, array, shape):
    """Missing gates, short skew, folds or steps one cycle too soon: none of them goes unseen."""
    m, k, n = shape
    rng = np.random.default_rng(shape)
    activations, weights = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
    intact = simulate(array, activations, weights)
    np.testing.assert_array_equal(intact.outputs, activations @ weights)
    try:
        outputs = simulate(array, activations, weights, fault=fault).outputs
    except AssertionError:
        return
    assert not np.array_equal(outputs, activations @ weights)


@exhaustively
@given(arrays(largest=40), gemms(largest=300))
def test_the_split_is_exact_and_never_below_the_ideal(array, shape):
    folds, steady, fill_drain, dependency, last = cycles(array, shape)
    assert last == steady + fill_drain + dependency
    assert min(folds, steady, fill_drain) > 0
    assert dependency >= 0
    assert steady >= -(-int(np.prod(shape)) // (array.rows * array.cols * array.lanes))
    if array.latency == array.interval == 1:
        turnaround = array.organisation in (WS, IS) and array.rows == 1 and array.overlap
        assert dependency == 0 or turnaround


@exhaustively
@given(arrays(largest=40), gemms(largest=300), st.integers(0, 2), st.integers(1, 50))
def test_more_work_never_takes_fewer_cycles(array, shape, axis, more):
    larger = list(shape)
    larger[axis] += more
    assert total(array, tuple(larger)) >= total(array, shape)


@exhaustively
@given(arrays(largest=40), gemms(largest=300))
def test_overlap_interleaving_and_a_faster_adder_never_cost_cycles(array, shape):
    assert total(replace(array, overlap=True), shape) <= total(replace(array, overlap=False), shape)
    interleaved, plain = replace(array, interleave=True), replace(array, interleave=False)
    assert total(interleaved, shape) <= total(plain, shape)
    assert total(replace(array, latency=1), shape) <= total(array, shape)
    assert total(replace(plain, interval=1), shape) <= total(plain, shape)


@exhaustively
@given(arrays(largest=40), gemms(largest=300))
def test_is_is_ws_with_the_operands_exchanged(array, shape):
    m, k, n = shape
    held_weights = replace(array, organisation=WS, lanes=1)
    held_activations = replace(array, organisation=IS, lanes=1)
    assert cycles(held_activations, shape) == cycles(held_weights, (n, k, m))


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 8, 9])
def test_an_adder_tree_of_any_width_agrees_with_the_registers(lanes):
    assert_agree(ArrayTiming(DOT, 2, 3, lanes), (3, 11, 4))


def test_a_full_tile_of_a_plain_os_array_takes_k_plus_2r_plus_c_minus_1():
    for size, k in ((4, 4), (8, 3), (16, 100)):
        array = ArrayTiming(OS, size, size, overlap=False)
        assert total(array, (size, k, size)) == k + 3 * size - 1


def test_the_largest_gemm_on_one_pe_does_not_overflow():
    edge = 1 << 20
    array = ArrayTiming(OS, 1, 1, overlap=False)
    exact = (edge * edge) * (edge + 2)
    assert total(array, (edge, edge, edge)) == exact


def scalesim_runs() -> list[dict[str, str]]:
    with (REPOSITORY / "tests/golden/scalesim_16x16.csv").open() as table:
        return list(csv.DictReader(table))


@pytest.mark.parametrize("row", scalesim_runs(), ids=lambda r: "-".join(list(r.values())[:6]))
def test_scalesim_cycles_and_accesses_match_its_reports(row):
    organisation = {"os": OS, "ws": WS, "is": IS}[row["dataflow"]]
    rows, cols, m, k, n = (int(row[key]) for key in ("rows", "cols", "M", "K", "N"))
    folds, compatible = gemm_cycles_scalesim(organisation, rows, cols, m, k, n)
    assert compatible == int(row["total_cycles"]) + 1
    reads_and_writes = gemm_accesses(organisation, rows, cols, 1, m, k, n)[:3]
    # Its os output writes are folds x (rows + cols) too many.
    excess = folds * (rows + cols) if organisation == OS else 0
    assert reads_and_writes == (
        int(row["sram_ifmap_reads"]),
        int(row["sram_filter_reads"]),
        int(row["sram_ofmap_writes"]) - excess,
    )


def test_all_39_scalesim_runs_are_compared():
    assert len(scalesim_runs()) == 39


def test_many_gemms_at_once_equal_the_kernel():
    array = ArrayTiming(DOT, 4, 8, 16, latency=3, interleave=True)
    shapes = np.array([[1, 2560, 6912], [64, 100, 7]], dtype=np.int64)
    for row, (m, k, n) in zip(cycles_of_gemms(array, shapes), shapes, strict=True):
        assert tuple(row) == gemm_cycles(DOT, 4, 8, 16, 3, 1, True, True, m, k, n)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (np.array([[1, 2, 3]], dtype=np.int32), "not a table of GEMMs"),
        (np.array([1, 2, 3], dtype=np.int64), "not a table of GEMMs"),
        (np.array([[1, 0, 3]], dtype=np.int64), "k: not a whole number in range (0)"),
        (np.array([[1, 2, 1 << 21]], dtype=np.int64), "n: not a whole number in range"),
    ],
)
def test_bad_tables_of_gemms_are_refused(shapes, message):
    for count in (cycles_of_gemms, accesses_of_gemms):
        with pytest.raises(UserError) as refused:
            count(ArrayTiming(OS, 2, 2), shapes)
        assert message in str(refused.value)


def test_counts_that_could_overflow_are_refused():
    array = ArrayTiming(OS, 1, 1, latency=60)
    with pytest.raises(UserError, match="could overflow"):
        cycles_of_gemms(array, np.full((1, 3), 1 << 20, dtype=np.int64))


@pytest.mark.parametrize(
    ("fields", "key"),
    [({"rows": 0}, "rows"), ({"lanes": 2}, "lanes"), ({"latency": 1.5}, "latency")],
)
def test_impossible_arrays_are_refused(fields, key):
    with pytest.raises(UserError) as refused:
        ArrayTiming(**{"organisation": OS, "rows": 2, "cols": 2} | fields)
    assert refused.value.key == key


EXAMPLES = {
    "os": (ArrayTiming(OS, 2, 3), (2, 3, 4)),
    "ws": (ArrayTiming(WS, 2, 3), (2, 3, 3)),
    "ws, L = 2": (ArrayTiming(WS, 2, 3, latency=2), (2, 3, 3)),
    "is": (ArrayTiming(IS, 2, 3), (2, 3, 2)),
    "dot": (ArrayTiming(DOT, 2, 3, lanes=4), (2, 6, 4)),
}


def cycle_table(run: Run, rows: int, cols: int) -> str:
    """Render what the referee saw as the Markdown table of docs/timing.md."""
    seen = {place for places in run.table.values() for place in places}
    pes = [f"PE {i},{j}" for i in range(rows) for j in range(cols)]
    places = [place for place in ("load", "read", *pes, "write") if place in seen or place in pes]
    lines = [["cycle", *places], ["---"] * (len(places) + 1)]
    for cycle in range(run.cycles):
        cells = run.table.get(cycle, {})
        lines.append([str(cycle), *(cells.get(place, "") for place in places)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_documented_cycle_table_is_what_the_registers_do(example):
    array, shape = EXAMPLES[example]
    table = cycle_table(simulate(array, *operands(shape)), array.rows, array.cols)
    assert table in (REPOSITORY / "docs/timing.md").read_text()
