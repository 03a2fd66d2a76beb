"""Searched mappings against all mappings, against the fixed one, and against themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_factory import design, gemm_trace, network_trace
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_factory import CYCLE, all_mappings, one_by_one

from accelsim.api import load_design, run
from accelsim.config import DesignConfig
from accelsim.engine.bill import Bill, build_bill
from accelsim.engine.evaluate import evaluate_all, whole_workload
from accelsim.engine.evaluation import evaluate
from accelsim.engine.many import evaluate_family
from accelsim.engine.mapping import OBJECTIVES, Stays, fixed_mappings
from accelsim.engine.search import counter_rates, search
from accelsim.engine.simulate import simulate
from accelsim.errors import UserError
from accelsim.hardware.columns import DATAFLOWS, build_designs
from accelsim.hardware.design import Designs, Family, Organisation
from accelsim.hardware.technology import Technology, load_technology
from accelsim.report.mappings import mapping_note
from accelsim.trace import Series, Trace, load_trace
from accelsim.workloads import Request, open_source

TECHNOLOGY = load_technology("7nm")
DOT = Organisation.DOT


def price(config: DesignConfig, technology: Technology = TECHNOLOGY) -> Bill:
    rows = build_designs([config])
    return build_bill(Family(config, rows.units, rows.machines), technology)


@st.composite
def small_arrays(draw: st.DrawFn) -> tuple[DesignConfig, list[int]]:
    """Return a design with a tiny array, and the organisations it can take."""
    own = draw(st.sampled_from(["os", "ws", "is", "dot"]))
    others = draw(st.sets(st.sampled_from(["os", "ws", "is"])))
    rows, cols, lanes = (draw(st.integers(1, 4)) for _ in range(3))
    chosen = [f"array.rows={rows}", f"array.cols={cols}", "sram.resident=[]"]
    chosen.append(f"array.drain_adders={str(draw(st.booleans())).lower()}")
    chosen.append(f"array.overlap={str(draw(st.booleans())).lower()}")
    chosen.append(f"array.latency={draw(st.sampled_from([1, 1, 2, 4]))}")
    chosen.append(f"array.clock_gating={draw(st.sampled_from(['none', 'array', 'row', 'pe']))}")
    if own == "dot":
        return design(*chosen, "array.organisation=dot_product", f"array.lanes={lanes}"), [DOT]
    flows = [own, *sorted(others - {own})]
    chosen += [f"array.dataflow={own}", f"array.dataflows={flows if len(flows) > 1 else []}"]
    return design(*chosen), [DATAFLOWS[name] for name in flows]


@given(
    array=small_arrays(),
    draw=st.integers(0, 1 << 20),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 16), st.integers(1, 14)),
    streams=st.tuples(st.integers(2, 120), st.integers(2, 40), st.integers(4, 200)),
    bandwidth=st.sampled_from([0.05, 0.5, 50]),
)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_a_search_is_as_good_as_all_mappings_there_are(
    array: tuple[DesignConfig, list[int]],
    draw: int,
    shape: tuple[int, int, int],
    streams: tuple[int, int, int],
    bandwidth: float,
) -> None:
    (config, organisations), (m, k, n) = array, shape
    rng, rows = np.random.default_rng(draw), build_designs([config])
    trace = gemm_trace(rng.integers(-128, 128, (m, k)), rng.integers(-1, 2, (k, n)))
    machines = rows.machines.copy()
    for name, size in zip(("activation", "weight", "output"), streams, strict=True):
        machines[f"{name}_stream"] = size
    machines["weight_keep"] = machines["activation_keep"] = 0
    machines["dram_bytes_per_cycle"], machines["burst"] = bandwidth, 1
    workload = whole_workload(trace, Designs(rows.configs, rows.units, machines))
    rates = counter_rates(price(config))
    cycles, counts = one_by_one(workload, all_mappings(workload, organisations))
    energy = counts @ rates[0]
    # Of a product of both the search follows the relative gains over the fixed mapping, the first.
    both = cycles / cycles[0] + energy / energy[0]
    for objective, scores in (("latency", cycles), ("energy", energy), ("edp", both)):
        found = search(workload, rates, objective)
        ours = found.counts[0, 0]
        spent = ours @ rates[0]
        mine = {
            "latency": ours[CYCLE],
            "energy": spent,
            "edp": ours[CYCLE] / cycles[0] + spent / energy[0],
        }[objective]
        assert mine <= scores.min() * (1 + 1e-12)
        assert np.array_equal(one_by_one(workload, found.mappings)[1][0], ours)


def shipped(name: str, trace: Trace | None) -> tuple[Trace, Designs, Bill]:
    """Return a design with its bill and a workload in the form it runs."""
    loaded = load_design(name)
    if trace is None:
        source = open_source(Request(network="bitnet-b1.58-2b-4t", prefill=512, decode=128))
        trace = source.trace(source.form(loaded.config.network_form), lambda text: None)
    rows = build_designs([loaded.config])
    return trace, rows, price(loaded.config, loaded.technology)


DESIGNS = sorted(path.stem for path in (Path(__file__).parent.parent / "hw_configs").glob("*.yaml"))
TWIN = load_trace(Path(__file__).parent.parent / "models/austen-12m/fp16_twin.trace.npz")


@pytest.mark.parametrize("recorded", [None, TWIN], ids=["2b-4t", "austen twin"])
@pytest.mark.parametrize("name", DESIGNS)
def test_a_searched_mapping_is_never_worse_than_the_fixed_one(
    name: str, recorded: Trace | None
) -> None:
    trace, rows, bill = shipped(name, recorded)
    if recorded is not None and rows.configs[0].network_form != recorded.form:
        trace = network_trace(40, 9)
    fixed, rates = evaluate(trace, rows), counter_rates(bill)
    for objective in OBJECTIVES:
        found = evaluate(trace, rows, objective, [bill])  # obeys the invariants of a run
        spent = [
            (float(e.counts[0, :, CYCLE].sum()), float((e.counts[0] @ rates[0]).sum()))
            for e in (found, fixed)
        ]
        ours, theirs = (
            {"latency": time, "energy": pj, "edp": time * pj}[objective] for time, pj in spent
        )
        assert ours <= theirs * (1 + 1e-12)
        assert found.mapped is not None
        assert found.mapped.looked.max() <= 1000
        assert np.array_equal(found.mapped.fixed_counts, fixed.counts)
        assert np.array_equal(found.mapped.fixed_cycles, fixed.cycles)


CRAMPED = (
    "sram.activation={capacity_kib: 8, stream_kib: 1, width_bits: 512}",
    "sram.weight={capacity_kib: 8, stream_kib: 1, width_bits: 512}",
    "sram.output={capacity_kib: 4, stream_kib: 4, width_bits: 1024}",
    "sram.resident=[]",
    "array.dataflows=[os, ws, is]",
)


def test_a_search_finds_the_same_twice_and_beside_other_designs() -> None:
    rows = build_designs([design(*CRAMPED, f"array.cols={cols}") for cols in (3, 8, 5)])
    trace = network_trace(30, 5)
    family = Family(rows.configs[0], rows.units, rows.machines)
    rates = counter_rates(build_bill(family, TECHNOLOGY))
    for objective in OBJECTIVES:
        once, again = (search(whole_workload(trace, rows), rates, objective) for _ in range(2))
        assert once.mappings.tobytes() == again.mappings.tobytes()
        assert once.counts.tobytes() == again.counts.tobytes()
        for d in range(3):
            one = Designs((), rows.units[d : d + 1], rows.machines[d : d + 1])
            alone = search(whole_workload(trace, one), rates[d : d + 1], objective)
            assert alone.mappings[0].tobytes() == once.mappings[d].tobytes()


def test_a_mapping_can_be_evaluated_again_with_the_rest_of_its_workload() -> None:
    rows, trace = build_designs([design(*CRAMPED)]), network_trace(30, 5)
    workload = whole_workload(trace, rows)
    found = search(workload, counter_rates(price(rows.configs[0])), "latency")
    cycles, counts = evaluate_all(workload, found.mappings)
    assert np.array_equal(cycles, found.cycles)
    assert np.array_equal(counts, found.counts)
    assert found.counts[:, :, CYCLE].sum() < found.fixed_counts[:, :, CYCLE].sum()
    plain = evaluate_all(workload, fixed_mappings(1, len(trace.operators)))
    assert np.array_equal(plain[1], evaluate_all(workload)[1])


def test_a_growing_context_has_one_mapping_for_all_its_passes() -> None:
    config = design(*CRAMPED)
    rows, trace = build_designs([config]), network_trace(30, 40)
    found = search(whole_workload(trace, rows), counter_rates(price(config)), "energy")
    growing = trace.operators["series"] != Series.NONE
    assert growing.any()
    assert (found.mappings["stays"][0, growing] == Stays.RULE).all()
    assert (found.mappings["m_tile"][0, growing] == 0).all()


def test_a_run_and_a_family_search_the_same_mappings() -> None:
    config, trace = design(*CRAMPED), network_trace(20, 9)
    rows = build_designs([config])
    family = Family(config, rows.units, rows.machines)
    for objective in OBJECTIVES:
        many = evaluate_family(trace, family, TECHNOLOGY, objective)
        run = simulate(trace, rows, [TECHNOLOGY], mapping=objective)[0]
        for alone, totals in zip(run.phases, many.phases, strict=True):
            assert totals.cycles[0].tobytes() == alone.cycles.tobytes()
            assert totals.energy.components[:, 0].tobytes() == alone.energy_pj.tobytes()


def test_a_result_says_how_each_product_is_mapped_and_what_the_fixed_mapping_takes() -> None:
    rows, trace = build_designs([design(*CRAMPED)]), network_trace(30, 5)
    fixed = simulate(trace, rows, [TECHNOLOGY])[0]
    found = simulate(trace, rows, [TECHNOLOGY], mapping="latency")[0]
    assert (fixed.mapping, found.mapping) == ("fixed", "latency")
    for plain, row in zip(fixed.operators, found.operators, strict=True):
        assert (row.mapping is None) == (row.unit == "vector")
        assert plain.fixed_cycles is None
        if row.mapping is not None:
            assert plain.total_cycles == row.fixed_cycles
            assert row.looked >= 1
            assert 1 <= row.mapping.m_tile <= row.m
            assert row.mapping.stays in ("activations", "weights", "sums")
    note = mapping_note(found)
    assert "least cycles" in note
    assert "as fast" in note
    assert "fixed mapping" in mapping_note(fixed)


@pytest.mark.parametrize(
    "assignments",
    [
        ("array.organisation=dot_product", "array.dataflows=[os, ws]"),
        ("array.dataflow=is", "array.dataflows=[os, ws]"),
        ("array.dataflows=[os, os]",),
    ],
)
def test_dataflows_that_an_array_cannot_take_are_refused(assignments: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="dataflows"):
        build_designs([design(*assignments)])


def test_an_array_of_several_dataflows_pays_for_all_of_them() -> None:
    area, bits = {}, {}
    for flows in ("os", "ws", "is", "os, ws, is"):
        config = design(f"array.dataflow={flows[:2]}", f"array.dataflows=[{flows}]")
        parts = ("array", "accumulator", "operand_registers", "reduction")
        area[flows] = float(price(config).plan.placed_um2(parts)[0])
        unit = build_designs([config]).units[0, 0]
        bits[flows] = int(unit["operand_register_bits"] + unit["sum_register_bits"])
    every = "os, ws, is"
    assert area[every] > max(area[name] for name in area if name != every)
    assert bits[every] > max(bits[name] for name in bits if name != every)


def test_an_unknown_mapping_is_refused() -> None:
    with pytest.raises(UserError, match="mapping"):
        run("ternary_os_32x32", network="bitnet-b1.58-2b-4t", mapping="fastest")
