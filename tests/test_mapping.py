"""Searched mappings against all mappings, against the fixed one, and against themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_factory import design, gemm_trace, network_trace
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_factory import CYCLE, all_mappings, one_by_one

from accelsim import locate
from accelsim.api import load_design
from accelsim.config import DesignConfig
from accelsim.engine.bill import Bill, build_bill
from accelsim.engine.evaluate import whole_workload
from accelsim.engine.evaluation import evaluate
from accelsim.engine.invariants import check_evaluation
from accelsim.engine.mapping import FIXED, OBJECTIVES, OWN, fixed_mappings
from accelsim.engine.many import evaluate_family
from accelsim.engine.search import counter_rates, search
from accelsim.engine.simulate import simulate
from accelsim.errors import UserError
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import Designs, Family, Organisation
from accelsim.hardware.technology import Technology, load_technology
from accelsim.trace import Series, load_trace

SETTINGS = settings(deadline=None, derandomize=True, max_examples=60)
TECHNOLOGY = load_technology("7nm")
CODES = {"os": Organisation.SYSTOLIC_OS, "ws": Organisation.SYSTOLIC_WS, "is": Organisation.SYSTOLIC_IS}


def price(config: DesignConfig, technology: Technology = TECHNOLOGY) -> Bill:
    rows = build_designs([config])
    return build_bill(Family(config, rows.units, rows.machines), technology)


def score(objective: str, cycles: np.ndarray, energy: np.ndarray) -> np.ndarray:
    return {"latency": cycles, "energy": energy, "edp": cycles * energy}[objective]


@given(
    draw=st.integers(0, 1 << 20),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 16), st.integers(1, 14)),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    own=st.sampled_from(["os", "ws", "is"]),
    others=st.sets(st.sampled_from(["os", "ws", "is"])),
    adders=st.booleans(),
    streams=st.tuples(st.integers(2, 120), st.integers(2, 40), st.integers(4, 200)),
    bandwidth=st.sampled_from([0.05, 0.5, 50]),
)
@SETTINGS
def test_a_search_is_as_good_as_all_mappings_there_are(
    draw: int,
    shape: tuple[int, int, int],
    grid: tuple[int, int],
    own: str,
    others: set[str],
    adders: bool,
    streams: tuple[int, int, int],
    bandwidth: float,
) -> None:
    rng, (m, k, n) = np.random.default_rng(draw), shape
    trace = gemm_trace(rng.integers(-128, 128, (m, k)), rng.integers(-1, 2, (k, n)))
    flows = [own, *sorted(others - {own})] if others else []
    config = design(
        *(f"array.{name}={value}" for name, value in zip(("rows", "cols"), grid, strict=True)),
        f"array.dataflow={own}",
        f"array.dataflows={flows}",
        f"array.drain_adders={str(adders).lower()}",
        "sram.resident=[]",
    )
    rows = build_designs([config])
    machines = rows.machines.copy()
    for name, size in zip(("activation", "weight", "output"), streams, strict=True):
        machines[f"{name}_stream"] = size
    machines["weight_keep"] = machines["activation_keep"] = 0
    machines["dram_bytes_per_cycle"], machines["burst"] = bandwidth, 1
    workload = whole_workload(trace, Designs(rows.configs, rows.units, machines))
    rates = counter_rates(price(config))
    mappings = all_mappings(workload, [CODES[name] for name in flows or [own]])
    cycles, counts = one_by_one(workload, mappings)
    energy = counts @ rates[0]
    for objective in OBJECTIVES:
        found = search(workload, rates, objective)
        ours = found.counts[0, 0]
        best = score(objective, cycles, energy)
        if objective == "edp":  # to first order about the fixed mapping, which stands first
            best = cycles / cycles[0] + energy / energy[0]
            mine = ours[CYCLE] / cycles[0] + (ours @ rates[0]) / energy[0]
        else:
            mine = score(objective, ours[CYCLE], ours @ rates[0])
        assert mine <= best.min() * (1 + 1e-12)
        # The mapping it names is one of those enumerated, or the same under its own name.
        again = one_by_one(workload, found.mappings)[1]
        assert np.array_equal(again[0], ours)
        legal = found.mappings[0, 0] in mappings[:, 0] or found.mappings[0, 0]["chunk"] > 0
        assert legal
