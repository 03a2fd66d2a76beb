"""PEs priced by what their operands do: registers, shares and energy against the shipped synthesis.

The JSON of a synthesis holds gate-level energies of every stream, held out from the fit or not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from engine_factory import design, gemm_trace, network_trace
from test_engine_counts import Array, operands

from accelsim.engine.bill import Bill, build_bill, price_counts
from accelsim.engine.evaluation import evaluate
from accelsim.engine.feasible import check_design
from accelsim.errors import UserError
from accelsim.hardware.actions import EVENTS, Role, UnitAction, counter, event_action
from accelsim.hardware.characterised import SHARES, find_characterised
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import Family
from accelsim.hardware.pe import PES
from accelsim.hardware.registers import (
    control_register_bits,
    operand_register_bits,
    sum_register_bits,
)
from accelsim.hardware.technology import Technology, load_technology
from accelsim.result import COMPONENTS
from accelsim.rtl.operand_streams import counts_of, drawn_streams
from accelsim.rtl.pe_subjects import LEAD_IN, SUBJECTS, fitted, patterns, stimulus_of
from accelsim.rtl.price_shares import components, flops_by_part, share_prices
from accelsim.rtl.price_widths import merged_widths

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "hw_configs" / "technology" / "synthesised"
NODES = ("asap7", "sky130")
FOUND = {node: json.loads((FOLDER / f"{node}.json").read_text("utf-8")) for node in NODES}
PRICES = {node: load_technology(node) for node in NODES}
MEASURED = [
    (node, pe)
    for node in NODES
    for pe in FOUND[node]["pes"]
    if PRICES[node].find(f"pe.{pe['name']}.shape.flops", pe["parameters"]["ACC"])
]
IN_PLACE = [
    (node, pe) for node, pe in MEASURED if SUBJECTS[pe["name"]].top == "pe_os" and pe["name"] in PES
]
PLAIN = [(node, pe) for node, pe in IN_PLACE if pe["latency"] == 1]


def named(found: tuple[str, dict[str, Any]]) -> str:
    return f"{found[0]} {found[1]['name']}" if isinstance(found, tuple) else str(found)


def one_pe(pe: dict[str, Any], *more: str) -> Family:
    """Return an output stationary array of one PE as it was measured; every flop clocks."""
    config = design(
        f"array.pe={pe['name']}",
        "array.rows=1",
        "array.cols=1",
        f"array.latency={pe['latency']}",
        f"array.accumulator.bits={pe['parameters']['ACC']}",
        "array.clock_gating=none",
        "sram.resident=[]",
        *more,
    )
    rows = build_designs([config])
    return Family(config, rows.units, rows.machines)


def bill_of(family: Family, technology: Technology) -> Bill:
    return build_bill(family, technology)


def energy(bill: Bill, counts: dict[UnitAction, float]) -> float:
    """Return pJ of counts of linear layers, without the clock tree and the wires between PEs."""
    found = 0.0
    for line in bill.lines:
        if line.price.name not in ("clock.tree.energy", "wire.energy"):
            action = line.counter if line.counter < len(UnitAction) else -1
            found += counts.get(action, 0.0) * float(
                np.ravel(np.asarray(line.quantity * line.price.value))[0]
            )
    return found


@pytest.mark.parametrize("found", PLAIN, ids=named)
def test_register_bits_are_the_flops_of_the_netlist(found: tuple[str, dict[str, Any]]) -> None:
    _, pe = found
    family = one_pe(pe)
    wiring, unit = family.config.array, family.units[:, 0]
    bits = sum(
        of(wiring, unit)[0]
        for of in (operand_register_bits, sum_register_bits, control_register_bits)
    )
    assert bits == pe["flops"]


@pytest.mark.parametrize("found", [*MEASURED], ids=named)
def test_an_idle_cycle_clocks_every_flop_and_does_nothing_else(
    found: tuple[str, dict[str, Any]],
) -> None:
    node, pe = found
    clock = FOUND[node]["register"]["clock_pj"]
    for weighed in pe["energy"].values():
        idle = weighed["fits"]["mean"]["idle_pj"]
        assert idle == pytest.approx(pe["flops"] * clock, rel=0.01)


@pytest.mark.parametrize("found", IN_PLACE, ids=named)
def test_the_engine_charges_an_idle_pe_as_the_gates_do(found: tuple[str, dict[str, Any]]) -> None:
    node, pe = found
    family = one_pe(pe)
    bits = int(
        family.units[0, 0]["operand_register_bits"] + family.units[0, 0]["sum_register_bits"]
    )
    spent = energy(bill_of(family, PRICES[node]), {UnitAction.IDLE_CLOCK: bits})
    gates = next(iter(pe["energy"].values()))["fits"]["mean"]["idle_pj"]
    assert spent == pytest.approx(gates, rel=0.01)


@pytest.mark.parametrize("node", NODES)
def test_a_dot_product_takes_the_measured_unit_that_is_nearest_in_lanes(node: str) -> None:
    # Of several equally near the wider one; the family knows what each of its designs would alone.
    lanes_of = {2: 4, 4: 4, 7: 4, 8: 16, 16: 16, 32: 16}
    names = {4: "fp16_fused4", 16: "fp16_fused"}
    latency = {pe["name"]: pe["latency"] for pe in FOUND[node]["pes"]}
    configs = [
        design(
            "array.pe=fp16_fused", "array.organisation=dot_product", f"array.lanes={lanes}",
            f"array.latency={latency[names[measured]]}", "array.accumulator.bits=32",
        )
        for lanes, measured in lanes_of.items()
    ]  # fmt: skip
    units, prices = build_designs(configs).units[:, 0], PRICES[node]
    wiring, pe = configs[0].array, PES["fp16_fused"]
    together = find_characterised(prices, pe, wiring, units)
    assert together is not None
    for shares in together.energy_shares.values():
        assert sum(shares.values()) == pytest.approx(np.ones(len(lanes_of)))
    for place, (lanes, measured) in enumerate(lanes_of.items()):
        alone = find_characterised(prices, pe, wiring, units[place : place + 1])
        assert alone is not None
        name = f"pe.{names[measured]}"
        for kind, events in alone.events.items():
            for event, price in events.items():
                listed = prices.price(f"{name}.{kind}.{event}.energy")
                assert (price.name, price.value) == (listed.name, listed.value)
                assert price.how == (listed.how if lanes == measured else "extrapolated")
                assert together.events[kind][event].value[place] == listed.value  # type: ignore[index]
        for part, area in alone.area.items():
            assert np.ravel(together.area[part].value)[place] == area.value
        for many, one in zip(
            (together.control_bits, together.pipeline_bits),
            (alone.control_bits, alone.pipeline_bits),
            strict=True,
        ):
            assert many[place] == one[0]


def streams_of(pe: dict[str, Any], kind: str) -> list[tuple[np.ndarray, float]]:
    """Return counts per cycle and gate-level pJ per cycle of the drawn streams, made anew."""
    subject = SUBJECTS[pe["name"]]
    rng = np.random.default_rng(0)
    listed = pe["energy"][kind]["streams_pj"]
    streams = drawn_streams(rng, 512, kind == "ternary", 24)
    found = []
    for stream in streams:
        if stream.name in listed:
            bits = (
                patterns(stream.activations, subject.activation),
                patterns(stream.weights, subject.weight),
            )
            found.append((counts_of(stream, *bits), float(np.mean(listed[stream.name]))))
    return found


TERNARY_INTEGERS = [(node, pe) for node, pe in IN_PLACE if SUBJECTS[pe["name"]].integer]


@pytest.mark.parametrize("found", TERNARY_INTEGERS, ids=named)
def test_a_pe_costs_what_its_gates_take_on_streams_held_out(
    found: tuple[str, dict[str, Any]],
) -> None:
    """Every third drawn stream was kept from the fit; the fit's own worst error bounds each."""
    node, pe = found
    fit = pe["energy"]["ternary"]["fits"]["mean"]
    family = one_pe(pe)
    bill = bill_of(family, PRICES[node])
    bits = int(
        family.units[0, 0]["operand_register_bits"] + family.units[0, 0]["sum_register_bits"]
    )
    errors = []
    for counts, gates in streams_of(pe, "ternary")[::3]:
        events = {
            event_action("ternary", event): float(count)
            for event, count in zip(EVENTS, counts, strict=True)
        }
        spent = energy(bill, {**events, UnitAction.IDLE_CLOCK: bits})
        errors.append(abs(spent - gates) / gates)
    assert len(errors) == 8
    assert max(errors) <= fit["worst_error"] + 0.01
    assert np.mean(errors) < 0.10


@pytest.mark.parametrize("found", [*MEASURED], ids=named)
def test_shares_and_registers_follow_from_the_netlist(found: tuple[str, dict[str, Any]]) -> None:
    node, pe = found
    clock = FOUND[node]["register"]["clock_pj"]
    bits = pe["parameters"]["ACC"]
    for name, entry in share_prices(pe, clock).items():
        assert PRICES[node].price(name, bits).value == pytest.approx(entry["value"], abs=1e-4)
    assert sum(components(pe, pe["area_share"]).values()) == pytest.approx(1, abs=1e-9)
    assert PRICES[node].price(f"pe.{pe['name']}.shape.flops", bits).value == pe["flops"]
    assert min(flops_by_part(pe).values()) >= 0


@pytest.mark.parametrize("node", NODES)
def test_every_event_of_a_measured_array_is_charged(node: str) -> None:
    rows = build_designs([design()])
    counts = evaluate(network_trace(), rows).counts.sum(axis=1)
    bill = bill_of(Family(rows.configs[0], rows.units, rows.machines), PRICES[node])
    charged = {line.counter for line in bill.lines}
    for event in EVENTS:
        index = counter(Role.LINEAR, event_action("ternary", event))
        assert counts[0, index] > 0
        free = PRICES[node].price(f"pe.ternary_add.ternary.{event}.energy", 24).high == 0
        assert (index in charged) != free


@pytest.mark.parametrize(("node", "pe"), [("asap7", "fp16_fmac"), ("asap7", "bf16_fmac")])
def test_a_multiply_add_fed_with_ternary_weights_takes_less(node: str, pe: str) -> None:
    found = next(each for each in FOUND[node]["pes"] if each["name"] == pe)
    bill = bill_of(one_pe(found), PRICES[node])
    # A step whose operands are not zero and of whose 16 bits each half change.
    per_step = dict(zip(EVENTS, (1.0, 1.0, 1.0, 8.0, 8.0), strict=True))
    fed = {**per_step, "weight_nonzero": 0.6, "both_nonzero": 0.6, "weight_toggle": 3.0}
    ternary = energy(bill, {event_action("ternary", e): n for e, n in fed.items()})
    dense = energy(bill, {event_action("dense", e): n for e, n in per_step.items()})
    assert ternary < 0.85 * dense


@pytest.mark.parametrize(("node", "pe"), [("asap7", "ternary_add"), ("sky130", "ternary_add")])
def test_components_are_the_shares_of_what_events_cost(node: str, pe: str) -> None:
    found = next(each for each in FOUND[node]["pes"] if each["name"] == pe)
    codes = np.random.default_rng(1).integers(-127, 128, (3, 40))
    weights = np.random.default_rng(2).integers(-1, 2, (40, 5))
    family = one_pe(found)
    rows = build_designs([family.config])
    counts = evaluate(gemm_trace(codes, weights), rows).counts.sum(axis=1)
    only = np.zeros_like(counts)
    kept = [counter(Role.LINEAR, event_action("ternary", event)) for event in EVENTS]
    only[:, kept] = counts[:, kept]
    spent = price_counts(bill_of(family, PRICES[node]), only)
    by_hand = sum(
        int(counts[0, c]) * PRICES[node].price(f"pe.{pe}.ternary.{event}.energy", 24).value
        for c, event in zip(kept, EVENTS, strict=True)
    )
    assert spent.components.sum() == pytest.approx(by_hand, rel=1e-12)
    for name in SHARES:
        share = PRICES[node].price(f"pe.{pe}.ternary.share.{name}", 24).value
        index = COMPONENTS.index(name)
        assert spent.components[index, 0] / by_hand == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("found", IN_PLACE, ids=named)
def test_a_measured_pe_has_its_measured_area(found: tuple[str, dict[str, Any]]) -> None:
    """An array of one has no skew, so its parts are the netlist's cells."""
    node, pe = found
    plan = bill_of(one_pe(pe), PRICES[node]).plan
    parts = [
        part for part in plan.parts if part.name.startswith("PE, ") and part.component in SHARES
    ]
    area = sum(float(np.ravel(part.count * part.price.value)[0]) for part in parts)
    assert area == pytest.approx(pe["area_um2"], rel=1e-3)


def test_registers_that_a_design_lacks_take_no_area() -> None:
    pe = next(each for each in FOUND["asap7"]["pes"] if each["name"] == "ternary_add")
    areas = [
        bill_of(one_pe(pe, f"array.overlap={overlap}"), PRICES["asap7"]).plan.placed_um2(SHARES)[0]
        * PRICES["asap7"].price("placement.density").value
        for overlap in (True, False)
    ]
    register = FOUND["asap7"]["register"]["area_um2"]
    # The drain word and the bit that says it is taken.
    assert areas[0] - areas[1] == pytest.approx((24 + 1) * register, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "marked"),
    [("array.rows=2", False), ("array.accumulator.bits=20", True), ("array.latency=2", True)],
)
def test_use_beyond_what_was_measured_is_marked(change: str, marked: bool) -> None:
    pe = next(each for each in FOUND["sky130"]["pes"] if each["name"] == "int8_mac")
    bill = bill_of(one_pe(pe, "clock_mhz=100", change), PRICES["sky130"])
    price = next(
        line.price for line in bill.lines if line.price.name.endswith("both_nonzero.energy")
    )
    assert (price.how == "extrapolated") == marked
    assert ("used beyond" in price.source) == marked


def test_a_clock_above_the_measured_delay_is_refused() -> None:
    rows = build_designs([design("clock_mhz=1000")])
    with pytest.raises(UserError, match=r"ternary_add does not reach this clock in sky130"):
        check_design(rows, 0, network_trace(), PRICES["sky130"], "a test")


def test_a_held_pe_multiplies_by_the_weights_that_its_stream_counts() -> None:
    """Ports through the registers of pe_held.sv: a shadow that loads, a weight that swaps."""
    subject, rng = SUBJECTS["ternary_add_held"], np.random.default_rng(3)
    stream = fitted(next(drawn_streams(rng, 128, True, 1)), subject, rng)
    ports = stimulus_of(stream, subject, 1)
    shadow = held = waiting = 0
    seen = []
    for cycle in range(len(ports["x_in"])):
        swap, load = ports["swap_in"][cycle], ports["load"][cycle]
        shadow, held = (
            ports["h_in"][cycle] if load and (not waiting or swap) else shadow,
            shadow if swap else held,
        )
        waiting = (waiting and not swap) or ports["load_last"][cycle]
        seen.append(held)
    wanted = patterns(stream.weights, subject.weight)
    # The first tile finds an empty shadow.
    assert len(wanted) == 8 * stream.tile
    assert np.array_equal(seen[LEAD_IN + stream.tile :], wanted[stream.tile :])
    assert len(set(wanted.tolist())) == 3


def test_widths_become_one_price_by_width(tmp_path: Path) -> None:
    def entry(value: float, unit: str, spread: float = 2.0) -> dict[str, Any]:
        numbers = {"value": value, "low": value / spread, "high": value * spread}
        rest = {"how": "synthesised", "because": "area", "source": "a test"}
        return {**numbers, "unit": unit, **rest}

    prices = {}
    for stem, width, area in (("pe.adder", 24, 5.0), ("pe.adder_16", 16, 4.0)):
        prices |= {
            f"{stem}.area": entry(area, "um2"),
            f"{stem}.delay": entry(100 / width, "ns"),
            f"{stem}.shape.accumulator_bits": entry(width, "1", 1.0),
            f"{stem}.shape.latency": entry(1, "1", 1.0),
        }
    merged = merged_widths(prices)
    assert not [name for name in merged if "_16" in name]
    head = {
        "name": "own", "description": "of a test", "node_nm": 7, "voltage_v": 0.7,
        "corner": "typical", "temperature_c": 25, "sram_table_node_nm": 22,
    }  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**head, "prices": merged}), encoding="utf-8")
    technology = load_technology(path)
    assert [technology.price("pe.adder.area", bits).value for bits in (16, 20, 24, 48)] == [
        4.0, 4.5, 5.0, 10.0,
    ]  # fmt: skip
    assert technology.price("pe.adder.delay").value == 100 / 16
    assert technology.price("pe.adder.shape.latency", 40).value == 1
    assert technology.price("pe.adder.shape.accumulator_bits", 20).value == 20


@pytest.mark.parametrize("node", ["45nm", "7nm"])
@pytest.mark.parametrize(
    ("pe", "bits", "latency"), [("ternary_add", 20, 1), ("int8_mac", 24, 2), ("fp16_fmac", 32, 3)]
)
def test_published_technologies_charge_products_additions_and_changed_bits(
    node: str, pe: str, bits: int, latency: int
) -> None:
    """Loops over folds, PEs and steps count; the prices are those of a PE's parts."""
    technology = load_technology(node)
    codes, weights = operands(5, 9, 7, seed=2)
    config = design(
        f"array.pe={pe}",
        "array.rows=2",
        "array.cols=3",
        f"array.latency={latency}",
        f"array.accumulator.bits={bits}",
    )
    rows = build_designs([config])
    counts = evaluate(gemm_trace(codes, weights), rows).counts.sum(axis=1)
    bill = bill_of(Family(config, rows.units, rows.machines), technology)
    done = Array("os", pe, 2, 3, latency=latency).run(codes, weights)
    skips = pe == "ternary_add"
    additions = done["add"] + done["reduction"]
    product_bits = {"ternary_add": 8, "int8_mac": 16, "fp16_fmac": 32}[pe]

    def price(name: str) -> float:
        return float(technology.price(name, bits).value)

    wanted = {
        f"pe.{pe}.product_ternary.energy": done["weight_nonzero"] if skips else done["step"],
        f"pe.{pe}.add.energy": additions,
        f"pe.{pe}.accumulate.energy": additions,
        "register.toggle.energy": additions * product_bits / 2
        + int(counts[0, counter(Role.LINEAR, UnitAction.OPERAND_TOGGLE)]),
    }
    for name, count in wanted.items():
        charged = sum(
            int(counts[0, line.counter]) * float(np.ravel(line.quantity * line.price.value)[0])
            for line in bill.lines
            if line.price.name == name
        )
        assert charged == pytest.approx(count * price(name), rel=1e-12)
