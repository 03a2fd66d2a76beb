"""What holds for any design and any workload: invariants, sums, independence, monotony."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_factory import design, network_trace
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config import DesignConfig
from accelsim.engine.columns import BUSY_COMPUTE, DRAM_BYTES, FOLDS, IDEAL, UNIT
from accelsim.engine.compare import ratio_interval, waterfall_rows
from accelsim.engine.evaluate import Workload, evaluate_all
from accelsim.engine.evaluation import evaluate
from accelsim.engine.invariants import BrokenInvariantError, check_evaluation
from accelsim.engine.residency import class_bytes, kept_bytes
from accelsim.engine.simulate import simulate
from accelsim.engine.work import work_rows
from accelsim.errors import UserError
from accelsim.hardware.actions import (
    SHARED,
    Role,
    SharedAction,
    UnitAction,
    counter,
    counter_names,
)
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import Designs
from accelsim.hardware.technology import load_technology
from accelsim.result import CAUSES, Result
from accelsim.trace import OPERATOR_DTYPE, Phase, Series, Trace

GATINGS = ("none", "array", "row", "pe")
SETTINGS = settings(deadline=None, derandomize=True, max_examples=25)


@st.composite
def units(draw: st.DrawFn, pe: str) -> dict[str, Any]:
    dot = pe.endswith("fused") or draw(st.booleans())
    return {
        "pe": pe,
        "organisation": "dot_product" if dot else "systolic",
        "dataflow": "os" if dot else draw(st.sampled_from(["os", "ws", "is"])),
        "rows": draw(st.integers(1, 9)),
        "cols": draw(st.integers(1, 9)),
        "lanes": draw(st.integers(1, 5)) if dot else 1,
        "accumulator": {"bits": 24 if pe in ("ternary_add", "int8_mac") else 32},
        "latency": draw(st.sampled_from([None, 1, 2, 4])),
        "interval": draw(st.sampled_from([None, 1, 2])),
        "interleave": draw(st.booleans()),
        "overlap": draw(st.booleans()),
        "clock_gating": draw(st.sampled_from(GATINGS)),
    }


@st.composite
def designs(draw: st.DrawFn) -> DesignConfig:
    pe = draw(st.sampled_from(["ternary_add", "int8_mac", "fp16_fmac", "bf16_fused"]))
    array = draw(units(pe))
    floating = array["accumulator"]["bits"] == 32
    places = ["mac", "vector"] + (["array"] if floating else [])
    buffers = {
        name: {"capacity_kib": draw(st.integers(8, 64)), "stream_kib": 8, "width_bits": 128}
        for name in ("activation", "weight", "output")
    }
    resident = draw(st.permutations(["norm", "cache", "weights", "head"]))
    return DesignConfig.model_validate(
        {
            "name": "drawn",
            "description": "drawn",
            "technology": "7nm",
            "clock_mhz": 200.0,
            "array": array,
            "mac": draw(units(draw(st.sampled_from(["bf16_fmac", "bf16_fused"])))),
            "vector": {"lanes": draw(st.integers(1, 16)), "latency": draw(st.integers(1, 9))},
            "placement": {
                "attention": draw(st.sampled_from(places)),
                "lm_head": draw(st.sampled_from(places)),
            },
            "weights": {
                "packing": draw(st.sampled_from(["ternary2", "base3", "tq1_0"])),
                "decoder": draw(st.sampled_from(["dram", "sram"])),
            },
            "sram": {**buffers, "resident": resident[: draw(st.integers(0, 4))]},
            "dram": {
                "kind": "lpddr5",
                "bandwidth_gb_per_s": draw(st.sampled_from([0.3, 1.0, 3.7, 51.2])),
                "sustained": 0.7,
                "capacity_gib": 1.0,
                "burst_bytes": draw(st.sampled_from([8, 64])),
            },
            "fused": {
                "scale_on_drain": draw(st.booleans()),
                "absmax_on_write": draw(st.booleans()),
            },
        }
    )


workloads = st.builds(
    network_trace,
    prefill=st.integers(1, 20),
    decode=st.integers(0, 4),
    batch=st.integers(1, 3),
)


def cycles_of(trace: Trace, config: DesignConfig) -> int:
    cycles = evaluate(trace, build_designs([config])).cycles
    return int(cycles[0, :, IDEAL : IDEAL + len(CAUSES)].sum())


def changed(config: DesignConfig, part: str, **fields: Any) -> DesignConfig:
    return config.model_copy(update={part: getattr(config, part).model_copy(update=fields)})


def simulated(trace: Trace, config: DesignConfig) -> Result:
    return simulate(trace, build_designs([config]), [load_technology(config.technology)])[0]


@given(config=designs(), trace=workloads)
@SETTINGS
def test_every_split_of_a_run_adds_up(config: DesignConfig, trace: Trace) -> None:
    result = simulated(trace, config)  # checks the invariants itself
    for index, phase in enumerate(result.phases):
        total = float(phase.energy_pj.sum())
        charges = [c for c in result.charges if c.phase == index]
        operators = [o for o in result.operators if o.phase == index]
        by_operator = sum(float(o.energy_pj.sum()) for o in operators)
        causes = [sum(c[bound] for c in phase.causes_pj.values()) for bound in range(3)]
        for other in (sum(c.energy_pj for c in charges), phase.waterfall_pj.sum(), by_operator):
            assert other == pytest.approx(total, rel=1e-12, abs=1e-12)
        expected = (total, phase.energy_low_pj, phase.energy_high_pj)
        assert causes == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert np.array_equal(phase.cycles, np.sum([o.cycles for o in operators] or [[0] * 5], 0))
        for charge in charges:
            energy = charge.count * charge.quantity * charge.price.value
            assert charge.energy_pj == pytest.approx(energy, rel=1e-12)


@given(rows=st.lists(designs(), min_size=2, max_size=4), trace=workloads)
@SETTINGS
def test_a_design_does_not_depend_on_its_neighbours(rows: list[DesignConfig], trace: Trace) -> None:
    together = evaluate(trace, build_designs(rows))
    for index, config in enumerate(rows):
        alone = evaluate(trace, build_designs([config]))
        assert together.cycles[index].tobytes() == alone.cycles[0].tobytes()
        assert together.counts[index].tobytes() == alone.counts[0].tobytes()


@given(config=designs(), trace=workloads)
@SETTINGS
def test_more_bandwidth_is_never_slower(config: DesignConfig, trace: Trace) -> None:
    last = None
    for bandwidth in (0.1, 0.31, 0.32, 1.0, 7.3, 100.0):
        now = cycles_of(trace, changed(config, "dram", bandwidth_gb_per_s=bandwidth))
        assert last is None or now <= last
        last = now


@given(config=designs(), trace=workloads)
@SETTINGS
def test_a_wider_packing_never_reads_fewer_bytes(config: DesignConfig, trace: Trace) -> None:
    # Chains, each of packings that never take fewer bits than the one before, for any shape.
    for chain in (("base3", "ternary2", "i2_s", "tl1"), ("tl2", "i2_s"), ("tq1_0", "tq2_0")):
        last = 0
        for packing in chain:
            rows = build_designs([changed(config, "weights", packing=packing, decoder="sram")])
            now = int(evaluate(trace, rows).cycles[0, :, DRAM_BYTES].sum())
            assert now >= last
            last = now


@given(config=designs(), trace=workloads)
@SETTINGS
def test_finer_clock_gating_never_costs_energy(config: DesignConfig, trace: Trace) -> None:
    energies, cycles = [], set()
    for gating in GATINGS:
        both = changed(changed(config, "array", clock_gating=gating), "mac", clock_gating=gating)
        result = simulated(trace, both)
        energies.append(sum(float(p.energy_pj.sum()) for p in result.phases))
        cycles.add(sum(int(p.cycles.sum()) for p in result.phases))
    assert len(cycles) == 1
    assert energies == sorted(energies, reverse=True)


def one_pass(trace: Trace, member: int) -> Trace:
    """Return a trace whose decode rows are pass ``member`` alone, its operands' share floored."""
    rows = trace.operators.copy()
    decode = rows["phase"] == Phase.DECODE
    fixed = decode & (rows["series"] == Series.NONE)
    rows["repeat"][fixed] //= trace.workload.decode
    for series, column in ((Series.K, "k"), (Series.N, "n")):
        grown = rows["series"] == series
        rows[column][grown] += rows["series_step"][grown] * member
    for column in ("series", "series_step"):
        rows[column][decode] = 0
    rows["series_count"][decode] = 1
    for column in (OPERATOR_DTYPE.names or ())[len(SHAPES) :]:
        rows[column] = 0
    return Trace(
        trace.network,
        trace.form,
        trace.layers,
        trace.workload,
        trace.source,
        trace.footprint,
        trace.names,
        rows,
    )


SHAPES = (OPERATOR_DTYPE.names or ())[: (OPERATOR_DTYPE.names or ()).index("both_nonzero")]
# What depends on operands and not on shapes alone, and so is no sum over passes of equal shares.
FROM_OPERANDS = {
    counter(role, action)
    for role in Role
    for action in UnitAction
    if action == UnitAction.ADD or action.name.endswith(("_NONZERO", "_TOGGLE"))
}


def evaluated(trace: Trace, rows: Designs, passes: int) -> tuple[np.ndarray, np.ndarray]:
    totals = class_bytes(trace, rows)
    work = work_rows(
        trace.operators, trace.layers, np.array([1, passes]), np.arange(len(trace.operators))
    )
    kept = kept_bytes(totals, rows)
    return evaluate_all(Workload(work, rows.units, rows.machines, kept, totals, len(work)))


@given(config=designs(), prefill=st.integers(1, 12), decode=st.integers(1, 5))
@SETTINGS
def test_growing_contexts_are_the_sum_of_their_passes(
    config: DesignConfig, prefill: int, decode: int
) -> None:
    trace, rows = network_trace(prefill, decode), build_designs([config])
    whole_cycles, whole_counts = evaluated(trace, rows, decode)
    passes = [evaluated(one_pass(trace, t), rows, 1) for t in range(decode)]
    chosen = trace.operators["phase"] == Phase.DECODE
    summed = sum(cycles[0, chosen] for cycles, _ in passes)
    wanted = whole_cycles[0, chosen]
    causes = [*range(IDEAL, IDEAL + len(CAUSES)), BUSY_COMPUTE, FOLDS, DRAM_BYTES]
    assert np.array_equal(summed[:, causes], wanted[:, causes])
    exact = [c for c in range(whole_counts.shape[2]) if c not in FROM_OPERANDS]
    summed_counts = sum(counts[0, chosen] for _, counts in passes)
    wrong = summed_counts != whole_counts[0, chosen]
    names = counter_names()
    assert not {names[c] for c in exact if wrong[:, c].any()}


@given(config=designs(), prefill=st.integers(1, 12), decode=st.integers(0, 2))
@SETTINGS
def test_the_timeline_covers_prefill_and_the_first_and_last_pass(
    config: DesignConfig, prefill: int, decode: int
) -> None:
    result = simulated(network_trace(prefill, decode), config)
    cycles: dict[str, int] = {}
    for segment in result.timeline:
        assert segment.start == cycles.get(segment.excerpt, 0)
        cycles[segment.excerpt] = segment.start + segment.cycles
    assert cycles.pop("prefill") == result.phases[0].cycles.sum()
    assert sum(cycles.values()) == result.phases[1].cycles.sum()
    assert len(cycles) == decode


@given(first=designs(), second=designs(), trace=workloads)
@SETTINGS
def test_the_waterfall_ends_at_the_ratio_of_energies(
    first: DesignConfig, second: DesignConfig, trace: Trace
) -> None:
    baseline, candidate = (simulated(trace, c) for c in (first, second))
    for phase in range(2):
        energies = [float(r.phases[phase].energy_pj.sum()) for r in (baseline, candidate)]
        rows = waterfall_rows(baseline, candidate, phase)
        wanted = [e * 1e-12 for e in energies]
        assert [rows[-1].baseline_j, rows[-1].candidate_j] == pytest.approx(wanted, rel=1e-12)
        assert rows[-1].ratio_low <= rows[-1].ratio <= rows[-1].ratio_high
        if trace.workload.decode:
            assert rows[-1].ratio == pytest.approx(energies[0] / energies[1], rel=1e-12)


def test_a_cause_moves_both_sides_of_a_ratio() -> None:
    shared = ({"dram": (10.0, 5.0, 20.0)}, {"dram": (5.0, 2.5, 10.0)})
    assert ratio_interval(*shared) == pytest.approx((2.0, 2.0, 2.0))
    apart = ({"dram": (10.0, 5.0, 20.0)}, {"wires": (5.0, 4.0, 8.0)})
    assert ratio_interval(*apart) == pytest.approx((5 / 5, 2.0, 20 / 5))


@pytest.mark.parametrize(("prefill", "decode", "batch"), [(1, 0, 1), (1, 1, 1), (9, 0, 5)])
def test_the_shortest_workloads_run(prefill: int, decode: int, batch: int) -> None:
    result = simulated(network_trace(prefill, decode, batch), design())
    assert [p.tokens for p in result.phases] == [prefill * batch, decode * batch]
    assert (result.phases[1].cycles.sum() == 0) == (decode == 0)


def test_batch_shares_weights_and_multiplies_the_cache() -> None:
    rows = build_designs([design("sram.resident=[]", "sram.activation.stream_kib=64")])
    read = {}
    for batch in (1, 2, 4):
        trace = network_trace(8, 3, batch)
        counts = evaluate(trace, rows).counts[0, :, SHARED + SharedAction.DRAM_READ]
        read[batch] = dict(zip(trace.names, counts.tolist(), strict=True))
    for name in ("decode/q_proj", "decode/lm_head", "decode/input_norm"):
        assert read[1][name] == read[2][name] == read[4][name]
    for batch in (2, 4):
        assert read[batch]["decode/attention_qk"] == batch * read[1]["decode/attention_qk"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("cycles", IDEAL),
        ("cycles", UNIT),
        ("counts", counter(Role.LINEAR, UnitAction.TERNARY_STEP)),
        ("counts", counter(Role.LINEAR, UnitAction.IDLE_CLOCK)),
        ("counts", counter(Role.LINEAR, UnitAction.DRAIN)),
    ],
)
def test_a_broken_evaluation_is_noticed(column: str, cell: int) -> None:
    ungated = design("array.clock_gating=none", "mac.clock_gating=none")
    trace, rows = network_trace(), build_designs([ungated])
    found = evaluate(trace, rows)
    tables = {"cycles": found.cycles.copy(), "counts": found.counts.copy()}
    tables[column][0, trace.names.index("prefill/q_proj"), cell] += -1 if cell != UNIT else 2
    with pytest.raises(BrokenInvariantError):
        check_evaluation(trace, rows, tables["cycles"], tables["counts"])


def test_too_few_dram_reads_are_noticed() -> None:
    trace, rows = network_trace(decode=0), build_designs([design("dram.burst_bytes=8")])
    found = evaluate(trace, rows)
    counts = found.counts.copy()
    counts[0, trace.names.index("prefill/down_proj"), SHARED + SharedAction.DRAM_READ] = 0
    with pytest.raises(BrokenInvariantError, match="distinct bytes"):
        check_evaluation(trace, rows, found.cycles, counts)


def test_a_workload_whose_counts_would_overflow_is_refused() -> None:
    trace = network_trace(1 << 20, 0, 1, layers=1000)
    slow = design("mac.rows=1", "mac.cols=1", "mac.lanes=1", "mac.latency=64", "mac.interval=64")
    with pytest.raises(UserError, match="too large to count"):
        evaluate(trace, build_designs([slow]))
