"""Memories: the table's points are met exactly, lines run between, far sizes are refused."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import UserError
from accelsim.hardware.memory import (
    SRAM_TABLE_FILE,
    banks_for_bandwidth,
    dram_kinds,
    dram_prices,
    load_sram_table,
    sram_bank,
)
from accelsim.hardware.technology import Technology, load_technology

COLUMNS = ("read_pj_per_bit", "write_pj_per_bit", "area_um2", "leakage_mw", "access_ns")
NODES = {name: load_technology(name) for name in ("45nm", "7nm")}


def cacti(node_nm: int) -> list[dict[str, float]]:
    with SRAM_TABLE_FILE.open(encoding="utf-8") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        points = [{key: float(value) for key, value in row.items()} for row in rows]
    return [point for point in points if point["node_nm"] == node_nm]


def values(technology: Technology, size: object, width: object, banks: object = 1) -> np.ndarray:
    columns = sram_bank(technology, size, width, banks)
    return np.array([getattr(columns, name).value for name in COLUMNS])


def test_table_points_are_met_exactly():
    points = cacti(45)
    assert len(points) == 60
    columns = sram_bank(
        NODES["45nm"], [p["size_bytes"] for p in points], [p["width_bits"] for p in points], 1
    )
    assert list(columns.area_um2.value) == [p["area_um2"] for p in points]
    assert list(columns.leakage_mw.value) == [p["leakage_mw"] for p in points]
    assert list(columns.access_ns.value) == [p["access_ns"] for p in points]
    for kind in ("read", "write"):
        got = getattr(columns, f"{kind}_pj_per_bit").value
        assert list(got) == [p[f"{kind}_pj"] / p["width_bits"] for p in points]
    assert columns.read_pj_per_bit.how == "modelled"


def test_seven_nanometres_are_scaled_and_marked():
    point = next(p for p in cacti(22) if (p["size_bytes"], p["width_bits"]) == (65536, 64))
    columns = sram_bank(NODES["7nm"], [65536], [64], [1])
    factor = NODES["7nm"].price("sram.energy.factor")
    assert columns.read_pj_per_bit.value[0] == point["read_pj"] / 64 * factor.value
    for name in COLUMNS:
        price = getattr(columns, name)
        assert price.how == "extrapolated"
        assert price.high[0] >= 1.5 * price.value[0]
        assert price.low[0] <= price.value[0]
        assert "CACTI 7" in price.source


@given(
    st.sampled_from(sorted(NODES)),
    st.integers(512, 60 << 20),
    st.integers(512, 60 << 20),
    st.integers(32, 512),
)
@settings(max_examples=80)
def test_a_larger_bank_costs_no_less(node: str, one: int, other: int, width: int):
    small, large = (values(NODES[node], size, width) for size in sorted((one, other)))
    assert np.all(small <= large * (1 + 1e-12))


@given(
    st.sampled_from((22, 32, 45, 65)),
    st.integers(0, 10),
    st.integers(0, 3),
    st.floats(0, 1),
    st.floats(0, 1),
)
@settings(max_examples=80)
def test_between_points_the_model_stays_between_them(
    node: int, row: int, column: int, up: float, across: float
):
    table = load_sram_table(node)
    size = table.sizes_bytes[row] * 2.0**up
    width = table.widths_bits[column] * 2.0**across
    area = values(replace(NODES["45nm"], sram_table_node_nm=node), size, width)[2]
    corners = table.area_um2[row : row + 2, column : column + 2]
    assert corners.min() * (1 - 1e-12) <= area[0] <= corners.max() * (1 + 1e-12)


def test_halfway_in_logarithms_is_the_geometric_mean():
    low, high = (values(NODES["45nm"], size, 128)[2, 0] for size in (65536, 131072))
    middle = values(NODES["45nm"], 65536 * np.sqrt(2), 128)[2, 0]
    assert middle == pytest.approx(np.sqrt(low * high), rel=1e-12)


@given(
    st.lists(
        st.tuples(st.integers(8192, 1 << 23), st.integers(8, 2048), st.integers(1, 2)),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=40)
def test_a_row_never_depends_on_its_neighbours(rows: list[tuple[int, int, int]]):
    sizes, widths, banks = (np.array(column) for column in zip(*rows, strict=True))
    together = values(NODES["7nm"], sizes, widths, banks)
    alone = np.hstack([values(NODES["7nm"], *row) for row in rows])
    np.testing.assert_array_equal(together, alone)


def test_banks_are_smaller_faster_and_paid_for():
    one, four = (values(NODES["45nm"], 1 << 20, 64, banks)[:, 0] for banks in (1, 4))
    quarter = values(NODES["45nm"], 1 << 18, 64)[:, 0]
    assert four[[0, 1, 4]] == pytest.approx(quarter[[0, 1, 4]])
    assert four[[2, 3]] == pytest.approx(4 * quarter[[2, 3]])
    assert four[4] < one[4]


def test_a_wide_port_is_slices_side_by_side():
    wide = values(NODES["45nm"], 1 << 20, 2048, 1)[:, 0]
    slices = values(NODES["45nm"], 1 << 20, 512, 4)[:, 0]
    assert wide == pytest.approx(slices)


def test_a_narrow_port_reads_a_word_and_drops_the_rest():
    narrow, word = values(NODES["45nm"], 8192, 8)[:, 0], values(NODES["45nm"], 8192, 32)[:, 0]
    assert narrow[:2] == pytest.approx(4 * word[:2])
    assert narrow[2:] == pytest.approx(word[2:])


def test_sizes_past_the_table_are_marked_and_far_ones_refused():
    assert sram_bank(NODES["45nm"], [2048], [64], [1]).area_um2.how == "extrapolated"
    assert sram_bank(NODES["45nm"], [4096], [64], [1]).area_um2.how == "modelled"
    assert sram_bank(NODES["45nm"], [512], [64], [1]).area_um2.value[0] > 0
    with pytest.raises(UserError, match=r"out of reach .*\(511 bytes\); allowed: 512 to"):
        sram_bank(NODES["45nm"], [1 << 20, 511], [64, 64], [1, 1])
    with pytest.raises(UserError, match="out of reach"):
        sram_bank(NODES["7nm"], [65 << 20], [64], [1])


def test_published_reads_lie_within_the_interval_at_45_nm():
    # Horowitz, ISSCC 2014: 64 bits of 8 KB, 32 KB and 1 MB for 10, 20 and 100 pJ.
    columns = sram_bank(NODES["45nm"], [8192, 32768, 1 << 20], 64, 1)
    published = np.array([10, 20, 100]) / 64
    assert np.all(columns.read_pj_per_bit.low <= published)
    assert np.all(published <= columns.read_pj_per_bit.high)


@given(
    st.floats(0.1, 20),
    st.floats(50, 4000),
    st.integers(1, 8192),
    st.integers(8, 2048),
    st.integers(1, 64),
)
@settings(max_examples=100)
def test_banks_hold_the_bandwidth_and_no_more_than_needed(
    access: float, clock: float, demand: int, width: int, minimum: int
):
    banks = int(banks_for_bandwidth(access, clock, demand, width, minimum))
    cycles = max(1, int(np.ceil(access * clock / 1000 - 1e-9)))
    assert banks >= minimum
    assert banks * width >= demand * cycles
    assert banks == minimum or (banks - 1) * width < demand * cycles


def test_banks_follow_designs_and_an_exact_cycle_counts_once():
    banks = banks_for_bandwidth([1.0, 1.0001, 2.0], 1000, [512, 512, 512], [128, 128, 128], 1)
    assert banks.dtype == np.int64
    assert list(banks) == [4, 8, 8]


def test_more_banks_keep_the_promise_because_they_are_faster():
    technology, size, width, clock, demand = NODES["45nm"], 1 << 20, 128, 1000, 1024
    first = values(technology, size, width, 1)[4]
    banks = banks_for_bandwidth(first, clock, demand, width, 1)
    second = values(technology, size, width, banks)[4]
    assert np.all(banks > 1)
    assert np.all(banks_for_bandwidth(second, clock, demand, width, 1) <= banks)


def test_external_memory_is_found_by_kind():
    assert dram_kinds(NODES["7nm"]) == ("ddr4", "hbm2", "hbm3", "lpddr4", "lpddr5")
    prices = dram_prices(NODES["7nm"], "lpddr5")
    assert prices.energy.unit == "pJ/bit"
    assert prices.controller_area.value > 0
    with pytest.raises(UserError, match=r"external memory \(lpdr5\); did you mean \"lpddr5\""):
        dram_prices(NODES["7nm"], "lpdr5")


def test_every_energy_of_external_memory_states_its_scope():
    for kind in dram_kinds(NODES["45nm"]):
        assert dram_prices(NODES["45nm"], kind).energy.source.startswith("scope: ")


def test_a_node_without_points_and_a_broken_table_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"no such node \(7\); allowed: 22, 32, 45, 65"):
        load_sram_table(7)
    broken = tmp_path / "table.csv"
    broken.write_text("node_nm,size_bytes\n22,abc\n", encoding="utf-8")
    with pytest.raises(UserError, match="no table of static memories"):
        load_sram_table(22, broken)
    header = "node_nm,size_bytes,width_bits,read_pj,write_pj,area_um2,leakage_mw,access_ns\n"
    hole = tmp_path / "hole.csv"
    hole.write_text(header + "22,4096,32,1,1,1,1,1\n22,8192,64,1,1,1,1,1\n", encoding="utf-8")
    with pytest.raises(UserError, match="misses a point"):
        load_sram_table(22, hole)
