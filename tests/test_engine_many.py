"""Closed sums against loops over passes, blocks and pieces; a family against single runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_factory import design, network_trace
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_properties import designs, evaluated, one_pass

from accelsim.config import DesignConfig
from accelsim.engine.columns import (
    BUSY_COMPUTE,
    CYCLE_COLUMNS,
    FOLDS,
    G_ACTIVATION,
    G_EXECUTED,
    G_FOLDS,
    G_PARTIAL,
    G_RESULTS,
    G_STEADY,
    G_TOTAL,
    G_WEIGHT,
    GEMM_COLUMNS,
    UNIT,
)
from accelsim.engine.evaluation import evaluate
from accelsim.engine.gemm import array_gemm
from accelsim.engine.many import evaluate_family
from accelsim.engine.residency import class_bytes, kept_bytes
from accelsim.engine.simulate import simulate
from accelsim.engine.timing import gemm_accesses, gemm_cycles
from accelsim.engine.transfers import sum_of_ceils
from accelsim.hardware.actions import Role, UnitAction, counter
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import ARRAY, MAC, Designs, Family, Organisation
from accelsim.hardware.technology import load_technology
from accelsim.trace import Phase

SETTINGS = settings(deadline=None, derandomize=True, max_examples=40)
COLUMNS = (*(G_FOLDS, G_STEADY, G_TOTAL, G_ACTIVATION, G_WEIGHT, G_PARTIAL, G_RESULTS, G_EXECUTED),)


def gemm_in_pieces(unit: np.void, output_bytes: int, m: int, k: int, n: int) -> dict[int, int]:
    """Return the columns of one GEMM, ws and is cut piece by piece."""
    organisation = Organisation(int(unit["organisation"]))
    if organisation in (Organisation.SYSTOLIC_OS, Organisation.DOT) or k <= unit["rows"]:
        pieces = [(m, k, n)]
    else:
        sums = int(unit["cols"]) * int(unit["accumulator_bits"])
        chunk = max(output_bytes // 2 * 8 // sums, 1)
        streamed = m if organisation == Organisation.SYSTOLIC_WS else n
        parts = [min(chunk, streamed - start) for start in range(0, streamed, chunk)]
        held_n = organisation == Organisation.SYSTOLIC_WS
        pieces = [(part, k, n) if held_n else (m, k, part) for part in parts]
    found = dict.fromkeys(COLUMNS, 0)
    for piece in pieces:
        grid = (int(organisation), *(int(unit[name]) for name in ("rows", "cols", "lanes")))
        pipeline = (int(unit["latency"]), int(unit["interval"]))
        flags = (bool(unit["interleave"]), bool(unit["overlap"]))
        folds, steady, _, _, total = gemm_cycles(*grid, *pipeline, *flags, *piece)
        activations, weights, _, partial = gemm_accesses(*grid, *piece)
        results, executed = piece[0] * piece[2], piece[0] * piece[1] * piece[2]
        row = (folds, steady, total, activations, weights, partial, results, executed)
        for column, value in zip(COLUMNS, row, strict=True):
            found[column] += value
    return found


def causal_in_blocks(unit: np.void, output_bytes: int, qk: bool, m: int, other: int) -> Any:
    """Return the faster of the whole product and the sum over blocks of queries."""
    sums_stay = unit["organisation"] in (Organisation.SYSTOLIC_OS, Organisation.DOT)
    block = int(unit["rows"] if sums_stay else unit["cols"])
    blocks = dict.fromkeys(COLUMNS, 0)
    for start in range(0, m, block):
        queries = min(block, m - start)
        context = start + queries
        shape = (queries, other, context) if qk else (queries, context, other)
        for column, value in gemm_in_pieces(unit, output_bytes, *shape).items():
            blocks[column] += value
    whole = gemm_in_pieces(unit, output_bytes, m, *((other, m) if qk else (m, other)))
    return whole if whole[G_TOTAL] <= blocks[G_TOTAL] else blocks


@given(config=designs(), m=st.integers(1, 70), k=st.integers(1, 70), n=st.integers(1, 70))
@SETTINGS
def test_a_gemm_is_the_sum_of_its_pieces(config: DesignConfig, m: int, k: int, n: int) -> None:
    rows = build_designs([config])
    for output_bytes in (1, 100, int(rows.machines[0]["output_stream"])):
        for unit in rows.units[0]:
            gemm = np.zeros(GEMM_COLUMNS, dtype=np.int64)
            array_gemm(unit, output_bytes, m, k, n, gemm)  # type: ignore[no-untyped-call]
            wanted = gemm_in_pieces(unit, output_bytes, m, k, n)
            assert {c: int(gemm[c]) for c in COLUMNS} == wanted


@given(config=designs(), prefill=st.integers(1, 70), output=st.sampled_from([64, 500, 1 << 20]))
@SETTINGS
def test_causal_attention_is_the_faster_of_whole_and_blocks(
    config: DesignConfig, prefill: int, output: int
) -> None:
    trace, rows = network_trace(prefill, 0), build_designs([config])
    machines = rows.machines.copy()
    machines["output_stream"] = output
    found = evaluate(trace, Designs(rows.configs, rows.units, machines))
    for name, qk in (("prefill/attention_qk", True), ("prefill/attention_av", False)):
        o = trace.names.index(name)
        op, cycles = trace.operators[o], found.cycles[0, o]
        if cycles[UNIT] not in (ARRAY, MAC):
            continue
        unit, other = rows.units[0, cycles[UNIT]], int(op["k"] if qk else op["n"])
        wanted = causal_in_blocks(unit, output, qk, prefill, other)
        assert cycles[BUSY_COMPUTE] == wanted[G_TOTAL] * op["repeat"]
        assert cycles[FOLDS] == wanted[G_FOLDS] * op["repeat"]
        products = found.counts[0, o, counter(Role.ATTENTION, UnitAction.DENSE_STEP)]
        assert products == wanted[G_EXECUTED] * op["repeat"]


@given(
    config=designs(),
    prefill=st.integers(1, 40),
    decode=st.integers(1, 40),
    output=st.sampled_from([64, 500, 1 << 20]),
)
@SETTINGS
def test_a_long_growing_context_is_the_sum_of_its_passes(
    config: DesignConfig, prefill: int, decode: int, output: int
) -> None:
    trace, rows = network_trace(prefill, decode), build_designs([config])
    machines = rows.machines.copy()
    machines["output_stream"] = output
    rows = Designs(rows.configs, rows.units, machines)
    series = np.flatnonzero(trace.operators["series_count"] > 1)
    cycles, counts = (table[0, series] for table in evaluated(trace, rows, decode))
    passes = [evaluated(one_pass(trace, t), rows, 1) for t in range(decode)]
    columns = [c for c in range(CYCLE_COLUMNS) if c != UNIT]
    summed = sum(table[0, series] for table, _ in passes)
    assert decode == 1 or np.array_equal(cycles[:, columns], summed[:, columns])
    # Of real operands, not of shapes.
    ends = ("_TOGGLE", "BOTH_NONZERO")
    toggles = {counter(Role.ATTENTION, a) for a in UnitAction if a.name.endswith(ends)}
    summed = sum(table[0, series] for _, table in passes)
    exact = [c for c in range(counts.shape[1]) if c not in toggles]
    assert decode == 1 or np.array_equal(counts[:, exact], summed[:, exact])


@given(
    first=st.integers(0, 10**6),
    step=st.integers(0, 10**4),
    count=st.integers(1, 200),
    divisor=st.integers(1, 10**4),
)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_a_sum_of_ceils_needs_no_loop(first: int, step: int, count: int, divisor: int) -> None:
    wanted = sum(-(-(first + i * step) // divisor) for i in range(count))
    assert sum_of_ceils.py_func(first, step, count, divisor) == wanted


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_a_run_and_the_same_point_of_a_family_give_identical_bytes(dataflow: str) -> None:
    size, draw = 40, np.random.default_rng(1)
    same = (f"array.dataflow={dataflow}", "sram.resident=[cache, weights]")
    shapes = zip(draw.integers(1, 20, size), draw.integers(20, 33, size), strict=True)
    changed = [(f"array.cols={cols}", f"array.accumulator.bits={bits}") for cols, bits in shapes]
    rows = build_designs([design(*same, *assignments) for assignments in changed])
    config, units, machines = rows.configs[0], rows.units, rows.machines.copy()
    machines["dram_bytes_per_cycle"] *= draw.uniform(0.1, 4, size)
    machines["vector_lanes"] = draw.integers(1, 20, size)
    machines["weight_keep"] = draw.integers(0, 8, size) * 1024
    trace, technology = network_trace(20, 9), load_technology(config.technology)
    totals = evaluate_family(trace, Family(config, units, machines), technology)
    for g in (0, 1, 23, size - 1):
        one = Designs((rows.configs[g],), units[g : g + 1], machines[g : g + 1])
        run = simulate(trace, one, [technology])[0]
        for phase in Phase:
            alone, many = run.phases[phase], totals.phases[phase]
            assert many.cycles[g].tobytes() == alone.cycles.tobytes()
            assert many.busy[g].tobytes() == alone.busy.tobytes()
            assert many.dram_bytes[g] == alone.dram_bytes
            assert many.sram_bytes[g] == alone.sram_bytes
            assert many.energy.components[:, g].tobytes() == alone.energy_pj.tobytes()
            assert many.energy.steps[:, g].tobytes() == alone.waterfall_pj.tobytes()
            ends = float(many.energy.low[g]), float(many.energy.high[g])
            assert ends == (alone.energy_low_pj, alone.energy_high_pj)
            causes = {c: tuple(e[:, g].tolist()) for c, e in many.energy.causes.items()}
            assert causes == alone.causes_pj
        areas: dict[str, float] = {}
        for part in run.area:
            areas[part.component] = areas.get(part.component, 0.0) + part.area_um2
        assert sum(areas.values()) == pytest.approx(float(totals.area_um2[0, :, g].sum()))


def test_what_stays_in_sram_is_decided_for_each_design_of_a_family() -> None:
    config, trace = design(), network_trace()
    base = build_designs([config])
    machines = np.repeat(base.machines, 2)
    machines["weight_keep"] = 0, 1 << 20
    family = Family(config, np.repeat(base.units, 2, axis=0), machines)
    kept = kept_bytes(class_bytes(trace, family), family)
    assert kept[0].sum() == 0
    assert kept[1].sum() > 0
