"""The clock tree: buffers by the pins they drive, wires by how far apart its flops stand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from engine_factory import design

from accelsim.hardware.bill import energy_lines
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import Family
from accelsim.hardware.floorplan import build_floorplan
from accelsim.hardware.prices import Price
from accelsim.hardware.technology import Technology, load_technology, technology_names


def tree_of(technology: Technology, *assignments: str) -> tuple[Price, float, float]:
    """Return the tree's price in the first role, and placed area and flops of the array."""
    config = design("array.pe=ternary_add", "array.accumulator.bits=24", *assignments)
    rows = build_designs([config])
    family = Family(config, rows.units, rows.machines)
    plan = build_floorplan(family, technology)
    lines = energy_lines(family, plan, technology)
    price = next(line.price for line in lines if line.price.name == "clock.tree.energy")
    parts = [p for p in plan.parts if p.component in ("array", "accumulator", "operand_registers")]
    um2 = sum(float(np.ravel(p.count * p.price.value)[0]) for p in parts)
    um2 /= float(technology.price("placement.density").value)
    unit = family.units[0, 0]
    flops = float(unit["operand_register_bits"] + unit["sum_register_bits"])
    return price, um2, flops


def number(value: object) -> float:
    return float(np.ravel(np.asarray(value))[0])


def test_a_tree_is_a_third_of_the_sinks_and_as_long_as_flops_stand_apart() -> None:
    technology = load_technology("45nm")
    price, um2, flops = tree_of(technology, "array.rows=8", "array.cols=8")
    sink_pj = 0.2 * float(technology.price("register.clock.energy").value)
    wire_fj_per_mm = float(technology.price("wire.energy").value)
    mm = math.sqrt(um2 / flops) / 1000
    expected = sink_pj * 0.33 + 2.3 * wire_fj_per_mm * mm / 1000
    assert number(price.value) == pytest.approx(expected, rel=1e-6)
    assert number(price.low) < number(price.value) < number(price.high)
    assert price.how not in ("synthesised", "measured", "published")


def spanning_tree(points: np.ndarray) -> float:
    """Length of the shortest spanning tree, Manhattan distances, by Prim's algorithm."""
    nearest = np.abs(points - points[0]).sum(axis=1)
    length, outside = 0.0, np.ones(len(points), bool)
    outside[0] = False
    for _ in range(len(points) - 1):
        found = int(np.argmin(np.where(outside, nearest, np.inf)))
        length += float(nearest[found])
        outside[found] = False
        nearest = np.minimum(nearest, np.abs(points - points[found]).sum(axis=1))
    return length


def test_wires_lie_between_the_shortest_tree_and_an_h_tree() -> None:
    # Unit square: length over sqrt(sinks x area).
    sinks = 2000
    shortest = spanning_tree(np.random.default_rng(0).random((sinks, 2))) / math.sqrt(sinks)
    # An H over 4^k sinks: 1.5 sides, then 4 of half the size, and so on: 1.5 sqrt(sinks x area).
    side, levels = 1.0, 6
    length = sum(4**level * 1.5 * side / 2**level for level in range(levels))
    h_tree = length / math.sqrt(4**levels * side**2)
    wire = load_technology("asap7").price("clock.wire.energy")
    edge = number(load_technology("asap7").price("wire.energy").value)
    assert number(wire.value) / (2 * edge) == pytest.approx((0.8 + 1.5) / 2)
    assert shortest == pytest.approx(0.8, rel=0.03)
    assert h_tree == pytest.approx(1.5, rel=0.02)


def test_sparser_flops_pay_more_wire() -> None:
    technology = load_technology("45nm")
    dense, *_ = tree_of(technology, "array.rows=8", "array.cols=8")
    more, um2, flops = tree_of(
        technology, "array.rows=8", "array.cols=8", "array.pe=int8_mac", "array.accumulator.bits=32"
    )
    assert number(more.value) > number(dense.value)
    assert um2 / flops > 0


def test_measured_pes_count_their_pipeline_and_control_flops() -> None:
    technology = load_technology("asap7")
    price, um2, counted = tree_of(technology, "array.rows=8", "array.cols=8")
    buffers = float(technology.price("clock.tree.energy").value)
    wire = float(technology.price("clock.wire.energy").value)
    wires = number(price.value) - buffers
    flops = um2 / (wires / wire / 1e-6) ** 2
    # Two valid bits and an operation of five stand in each PE, and more at the edges.
    assert 7 * 64 <= flops - counted <= 16 * 64


@pytest.mark.parametrize("name", technology_names())
def test_a_wire_costs_what_the_survey_measured_at_the_supply_of_the_node(name: str) -> None:
    # ISRN Electronics 2012, 916259, Table 1: 310 fJ/bit/mm at 1.2 V, 1,100 at 1.8 V.
    technology = load_technology(name)
    wire = technology.price("wire.energy")
    assert number(wire.value) == pytest.approx(310 * (technology.voltage_v / 1.2) ** 2, rel=0.005)
    assert number(wire.high) == pytest.approx(1100 * (technology.voltage_v / 1.8) ** 2, rel=0.005)
    assert 0 < number(wire.low) < number(wire.value)
