"""Liberty, mapping, static timing and gate-level energy, against figures worked out by hand."""

from __future__ import annotations

import csv
import io
import itertools
import lzma
import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rtl_needed import need_simulator

from accelsim.errors import UserError
from accelsim.hardware.technology import load_technology
from accelsim.report.terminal_rtl import synthesis_table
from accelsim.rtl import characterise, pe_measure
from accelsim.rtl import circuit as compiled
from accelsim.rtl.boolean import truth_table
from accelsim.rtl.characterise import map_module
from accelsim.rtl.energy_fit import nonnegative
from accelsim.rtl.gate_circuit import build
from accelsim.rtl.gate_energy import Activity, simulate
from accelsim.rtl.liberty import Library, read_library
from accelsim.rtl.netlist import Netlist, read_netlist
from accelsim.rtl.netlist_parts import ADDER, CONTROL, MULTIPLIER, OPERANDS, part_of
from accelsim.rtl.operand_streams import drawn_streams
from accelsim.rtl.pe_subjects import SUBJECTS
from accelsim.rtl.primitives import measure_primitive, primitives
from accelsim.rtl.sources import SV_FOLDER, sources_of
from accelsim.rtl.static_timing import analyse
from accelsim.rtl.synthesis import Mapper, Setting
from accelsim.rtl.synthesise import Order, synthesise
from accelsim.rtl.words import signed

HERE = Path(__file__).resolve().parent
LIBERTY = HERE / "sv" / "made_up.lib"
# The flop in front of inputs and behind outputs has a data pin of 1 fF, and the supply is 2 V.


@pytest.fixture(scope="module")
def library() -> Library:
    return read_library([LIBERTY])


def _cell(kind: str, **pins: int | str) -> dict[str, object]:
    return {"type": kind, "connections": {pin: [bit] for pin, bit in pins.items()}}


def _module(
    cells: dict[str, dict[str, object]], inputs: dict[str, int], outputs: dict[str, int]
) -> dict[str, object]:
    ports = {
        name: {"direction": way, "bits": [bit]}
        for way, listed in (("input", inputs), ("output", outputs))
        for name, bit in listed.items()
    }
    return {"cells": cells, "ports": ports, "netnames": {}}


@pytest.fixture(scope="module")
def two_gates(library: Library) -> Netlist:
    """y = a and b, by a nand and an inverter."""
    cells = {"n": _cell("NAND2", A=2, B=3, Y=4), "i": _cell("INV", A=4, Y=5)}
    return read_netlist("pair", _module(cells, {"a": 2, "b": 3}, {"y": 5}), library)


def _run(
    netlist: Netlist, library: Library, stimulus: dict[str, list[int]], timed: bool
) -> Activity:
    driver = library.plain_flop()
    circuit = build(netlist, analyse(netlist, driver), driver, library.voltage_v)
    return simulate(circuit, {k: np.array(v) for k, v in stimulus.items()}, timed=timed)


def test_units_come_from_the_file(library: Library) -> None:
    nand = library.cell("NAND2")
    assert nand.pins["A"].capacitance_ff == pytest.approx(3)
    assert nand.leakage_nw == pytest.approx(5)
    arc = nand.pins["Y"].arcs[0]
    assert arc.rise is not None
    assert arc.rise.at(0, 0) == pytest.approx(30)  # ps
    power = nand.pins["Y"].power[0]
    assert power.fall is not None
    assert power.fall.at(0, 0) == pytest.approx(2)  # 0.002 pF V^2 = 2 fJ


def test_a_table_is_a_plane_between_its_entries_and_beyond(library: Library) -> None:
    table = library.cell("INV").pins["Y"].arcs[0].rise
    assert table is not None
    assert table.at(500, 50) == pytest.approx(60)
    assert table.at(0, 200) == pytest.approx(210)


def test_an_area_without_semicolon_is_read(library: Library) -> None:
    assert library.cell("INV").area_um2 == 1


def test_the_smallest_plain_flop_is_found(library: Library) -> None:
    assert library.plain_flop().name == "DFF"


def test_an_xz_file_reads_like_a_plain_one(tmp_path: Path, library: Library) -> None:
    packed = tmp_path / "cells.lib.xz"
    packed.write_bytes(lzma.compress(LIBERTY.read_bytes()))
    assert repr(read_library([packed]).cell("NAND2")) == repr(library.cell("NAND2"))


def test_a_clock_period_is_the_sum_of_flop_gates_and_setup(
    two_gates: Netlist, library: Library
) -> None:
    # Flop 60 rise and 70 fall + 1 ps per fF of 3 fF; nand 40 or 30, 2 fF; inverter 10 or 20, 1 fF;
    # setup 25. Rise: 63 + 42 + 11 + 25; fall: 73 + 32 + 21 + 25.
    timing = analyse(two_gates, library.plain_flop())
    assert timing.critical_ps == pytest.approx(151)
    assert timing.path == ("n", "i")


@pytest.mark.parametrize("data_slew_first", [True, False])
def test_setup_follows_both_slews_however_a_library_lays_them_out(
    tmp_path: Path, data_slew_first: bool
) -> None:
    # 25 ps, a tenth of the data's slew, less a fifth of the clock's: a flop that takes late data.
    text = LIBERTY.read_text()
    rows = (
        ("0.025, -0.175", "0.125, -0.075")
        if data_slew_first
        else ("0.025, 0.125", "-0.175, -0.075")
    )
    text = text.replace('"0.025, 0.025", "0.025, 0.025"', ", ".join(f'"{row}"' for row in rows))
    if not data_slew_first:
        for old, new in (("constrained", "X"), ("related", "constrained"), ("X", "related")):
            text = text.replace(f": {old}_pin_transition", f": {new}_pin_transition")
    path = tmp_path / "late.lib"
    path.write_text(text)
    library = read_library([path])
    cells = {"n": _cell("NAND2", A=2, B=3, Y=4), "i": _cell("INV", A=4, Y=5)}
    netlist = read_netlist("pair", _module(cells, {"a": 2, "b": 3}, {"y": 5}), library)
    # Fall as above, 126; the output's slew is 21, the clock's the middle of the tables', 1000.
    period = analyse(netlist, library.plain_flop()).critical_ps
    assert period == pytest.approx(126 + 25 + 2.1 - 200)


@pytest.mark.parametrize("timed", [False, True])
def test_energy_of_two_gates_is_what_the_tables_say(
    two_gates: Netlist, library: Library, timed: bool
) -> None:
    stimulus = {"a": [0, 1, 1, 1, 0], "b": [0, 0, 1, 0, 0]}
    run = _run(two_gates, library, stimulus, timed)
    # fJ; V^2 / 2 = 2, the nand drives 2 fF and the inverter 1 fF.
    nand_fall, nand_rise = 2 + 2 * 2, 1 + 2 * 2
    inverter_rise, inverter_fall = 0.5 + 2 * 1, 0.7 + 2 * 1
    a_alone = 0.2  # a changes while b is 0: the output does not
    expected = [0, a_alone, nand_fall + inverter_rise, nand_rise + inverter_fall, a_alone]
    assert run.cycle_pj == pytest.approx(np.array(expected) * 1e-3)
    assert run.outputs["y"].tolist() == [0, 0, 1, 0, 0]


def test_a_flop_costs_its_clock_pin_in_every_cycle(library: Library) -> None:
    module = _module({"f": _cell("DFF", CK=2, D=3, Q=4)}, {"clk": 2, "d": 3}, {"q": 4})
    netlist = read_netlist("one", module, library)
    run = _run(netlist, library, {"d": [0, 0, 1, 1, 1]}, False)
    clock = 2 * (0.3 + 2 * 1)  # both edges: inside, and V^2 / 2 of 1 fF
    data, out = 0.4, 0.6 + 2 * 1
    expected = [0, clock, clock + data, clock + out, clock]
    assert run.cycle_pj == pytest.approx(np.array(expected) * 1e-3)
    assert run.outputs["q"].tolist() == [0, 0, 0, 1, 1]


def test_a_gated_clock_stops_the_flop_and_its_clock_pin(library: Library) -> None:
    cells = {
        "g": _cell("CKGATE", CK=2, EN=5, GCK=6),
        "f": _cell("DFF", CK=6, D=3, Q=4),
    }
    module = _module(cells, {"clk": 2, "d": 3, "en": 5}, {"q": 4})
    netlist = read_netlist("gated", module, library)
    run = _run(netlist, library, {"d": [1, 1, 1, 1, 1], "en": [0, 0, 1, 0, 0]}, False)
    idle = 2 * 2 * 2  # the gate's own clock pin of 2 fF
    clocked = idle + 2 * 0.8 + 2 * (0.3 + 2 * 1)
    expected = [0, idle, idle, clocked + 0.6 + 2 * 1, idle]
    assert run.cycle_pj == pytest.approx(np.array(expected) * 1e-3)
    assert run.outputs["q"].tolist() == [0, 0, 0, 1, 1]


def test_a_glitch_is_seen_with_delays_only(library: Library) -> None:
    # y = not (a and not not a'): the inverted a comes late.
    chain = {f"i{n}": _cell("INV", A=2 if n == 0 else 9 + n, Y=10 + n) for n in range(5)}
    cells = {**chain, "n": _cell("NAND2", A=2, B=14, Y=3)}
    netlist = read_netlist("glitch", _module(cells, {"a": 2}, {"y": 3}), library)
    runs = [_run(netlist, library, {"a": [0, 1, 0, 1, 0]}, timed) for timed in (False, True)]
    assert [run.outputs["y"].tolist() for run in runs] == [[1] * 5] * 2
    assert runs[0].toggles[netlist.outputs["y"][0]] == 0
    assert runs[1].toggles[netlist.outputs["y"][0]] == 4  # down and up at each rise of a
    assert runs[1].mean_pj > runs[0].mean_pj


def test_a_pulse_shorter_than_the_gate_does_not_pass(library: Library) -> None:
    # One inverter is faster than the nand's own fall: the pulse is swallowed.
    cells = {"i": _cell("INV", A=2, Y=10), "n": _cell("NAND2", A=2, B=10, Y=3)}
    netlist = read_netlist("pulse", _module(cells, {"a": 2}, {"y": 3}), library)
    run = _run(netlist, library, {"a": [0, 1, 0, 1, 0]}, True)
    assert run.toggles[netlist.outputs["y"][0]] == 0


def test_unknown_cells_are_refused_in_one_line(library: Library) -> None:
    module = _module({"x": _cell("MUX9", A=2, Y=3)}, {"a": 2}, {"y": 3})
    with pytest.raises(UserError, match=r"unknown cell type \(MUX9\).*a cell of made_up"):
        read_netlist("broken", module, library)


def test_a_loop_of_gates_is_refused(library: Library) -> None:
    module = _module({"i": _cell("INV", A=2, Y=3), "j": _cell("INV", A=3, Y=2)}, {}, {"y": 3})
    with pytest.raises(UserError, match="loop of gates"):
        read_netlist("ring", module, library)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("internal_power", "inner_power"), "no tables of internal power"),
        (lambda text: text[: len(text) // 2], "damaged or ends early"),
        (lambda text: "module nothing;", "is no Liberty file"),
        (lambda text: text.replace("nom_voltage : 2.0;", ""), "nom_voltage: is missing"),
        (lambda text: text.replace("nom_voltage : 2.0", "nom_voltage : two"), r"nom_voltage.*two"),
        (lambda text: text.replace("nom_voltage : 2.0", "nom_voltage : nan"), r"nom_voltage.*nan"),
        (lambda text: text.replace("nom_voltage : 2.0", "nom_voltage : 0"), r"nom_voltage.*above"),
        (
            lambda text: text.replace('"1ns"', '"1week"'),
            r"time_unit: is no such unit \(1week\)",
        ),
        (lambda text: text.replace('"1ns"', '"1pf"'), r"time_unit: is no such unit \(1pf\)"),
        (lambda text: text.replace('"1ns"', '"0ns"'), r"time_unit: is no such unit \(0ns\)"),
        (lambda text: text.replace('"1ns"', '"-1ns"'), r"time_unit: is no such unit \(-1ns\)"),
        (lambda text: text.replace('"1nW"', '"1"'), r"leakage_power_unit: is no such unit \(1\)"),
        (lambda text: text.replace("(1, pf)", "(1)"), r"capacitive_load_unit: is no such unit"),
        (lambda text: text.replace("capacitive_load_unit (1, pf);", ""), r"_unit.*\(missing\)"),
    ],
)
def test_a_bad_library_is_refused_in_one_line(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "bad.lib"
    path.write_text(change(LIBERTY.read_text()))  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        read_library([path])
    assert "\n" not in str(caught.value)


def test_a_cell_in_two_files_is_refused(tmp_path: Path) -> None:
    again = tmp_path / "again.lib"
    again.write_text(LIBERTY.read_text())
    with pytest.raises(UserError, match=r"again\.lib:INV: cell stands in two files.*made_up\.lib"):
        read_library([LIBERTY, again])


def test_a_malformed_cell_is_refused_when_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "bad.lib"
    path.write_text(LIBERTY.read_text().replace('"0.010, 0.110"', '"0.010, nothing"'))
    with pytest.raises(UserError, match="INV: is a malformed cell"):
        read_library([path]).cell("INV")


@given(st.integers(0, 7))
def test_functions_follow_the_precedence_of_liberty(state: int) -> None:
    a, b, c = (bool(state >> bit & 1) for bit in range(3))
    names = ["a", "b", "c"]
    assert truth_table("a + b c", names)[state] == (a or (b and c))
    assert truth_table("!a ^ b & c", names)[state] == (((not a) != b) and c)
    assert truth_table("(a | b)' * 1", names)[state] == (not (a or b))


@given(st.lists(st.floats(0, 9), min_size=3, max_size=3), st.integers(0, 1000))
def test_least_squares_find_nonnegative_coefficients_again(x: list[float], seed: int) -> None:
    matrix = np.random.default_rng(seed).random((12, 3))
    assert nonnegative(matrix, matrix @ np.array(x)) == pytest.approx(x, abs=1e-6)


def test_least_squares_stay_at_zero_where_less_would_fit_better() -> None:
    matrix = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert nonnegative(matrix, np.array([-2.0, 3.0])).tolist() == [0.0, 3.0]


@pytest.mark.parametrize(
    ("name", "is_flop", "part"),
    [
        (r"$flatten\u_mac.\integers.unit.\multiplier.$abc$7$blif$8", False, MULTIPLIER),
        (r"$flatten\u_mac.\integers.unit.\adder.chain.$abc$7$blif$8", False, ADDER),
        ("a[3]$_DFF_P_", True, OPERANDS),
        ("a_valid$_SDFF_PP0_", True, CONTROL),
        ("$abc$1$blif$2", False, CONTROL),
    ],
)
def test_parts_are_told_by_the_names_of_the_source(name: str, is_flop: bool, part: str) -> None:
    assert part_of(name, is_flop) == part


PRIMITIVES = {f"{each.price}/{each.bits}": each for each in primitives()}


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if "ternary." in name])
def test_ternary_weights_of_shared_adders_are_zero_in_42_of_100(name: str) -> None:
    drawn = PRIMITIVES[name].draw(np.random.default_rng(3), 20_000)
    lanes = PRIMITIVES[name].results
    assert drawn["a"].shape == drawn["w"].shape == (20_000, lanes)
    shares = [(drawn["w"] == code).mean() for code in (0b00, 0b01, 0b11)]
    assert shares == pytest.approx([0.42, 0.29, 0.29], abs=0.015)
    codes = signed(drawn["a"], 8)
    assert (codes.mean(), codes.std()) == (pytest.approx(0, abs=1), pytest.approx(32, abs=1))


@pytest.mark.parametrize("name", [name for name in PRIMITIVES if "lut_group" in name])
def test_indices_of_a_table_are_made_of_three_such_weights(name: str) -> None:
    drawn = PRIMITIVES[name].draw(np.random.default_rng(3), 20_000)
    assert drawn["index"].shape == (20_000, PRIMITIVES[name].results // 3)
    number = (drawn["index"] & 15) * np.where(drawn["index"] & 16, -1, 1)
    expected = dict.fromkeys(range(-13, 14), 0.0)
    odds = {-1: 0.29, 0: 0.42, 1: 0.29}
    for low, middle, high in itertools.product(odds, repeat=3):
        expected[low + 3 * middle + 9 * high] += odds[low] * odds[middle] * odds[high]
    for value, share in expected.items():
        assert (number == value).mean() == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize(
    ("delays", "kept", "latency", "carries", "mapped_again"),
    [
        ({1: 2000, 2: 1080, 3: 990}, 0.9, 3, False, set()),  # plainly met: nothing is mapped again
        ({1: 2000, 2: 1080, 3: 1060}, 0.9, 2, True, {2}),
        ({1: 2000, 2: 1110, 3: 1060}, 0.93, 3, True, {2, 3}),
        ({1: 2000, 2: 1110, 3: 1060}, 0.97, 3, True, {2, 3}),  # never met: the fastest counts
    ],
)
def test_carries_are_kept_where_every_latency_misses_and_some_by_little(
    delays: dict[int, float],
    kept: float,
    latency: int,
    carries: bool,
    mapped_again: set[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = set()

    def mapped(_: object, top: str, parameters: dict[str, int], setting: Any) -> SimpleNamespace:
        at = parameters["LATENCY"]
        if setting.kept_carries:
            again.add(at)
        delay = delays[at] * (kept if setting.kept_carries else 1 if setting.fast else 1.5)
        timing = SimpleNamespace(critical_ps=delay)
        return SimpleNamespace(setting=setting, timing=timing, area_um2=1.0)

    monkeypatch.setattr(characterise, "map_module", mapped)
    mapper: Any = None
    found, best, tried = characterise.smallest(
        mapper, "pe", lambda at: {"LATENCY": at}, 1000, latencies=(1, 2, 3), progress=str
    )
    assert (found, best.setting.kept_carries, again) == (latency, carries, mapped_again)
    assert best in tried


@pytest.mark.parametrize(("clock_mhz", "told"), [(999.0, False), (1001.0, True)])
def test_modules_that_miss_the_clock_are_told(clock_mhz: float, told: bool) -> None:
    row = {"latency": 1, "area_um2": 2.0, "dense_low_pj": 1.0, "dense_high_pj": 2.0}
    rows = [
        {"name": "slow", "critical_ps": 1000.0, **row},
        {"name": "x", "critical_ps": 9.0, **row},
    ]
    result = {"library": "any", "clock_mhz": clock_mhz, "rows": rows, "files": ["any.csv"]}
    text = io.StringIO()
    Console(file=text, width=200).print(synthesis_table(result))
    assert ("miss the clock at every latency tried: slow\n" in text.getvalue()) == told


@pytest.mark.parametrize(("lanes", "seed"), list(itertools.product((1, 4, 16), range(3))))
def test_drawn_streams_wait_in_stretches(lanes: int, seed: int) -> None:
    cycles = 512 * lanes
    waiting = 0
    for stream in drawn_streams(np.random.default_rng(seed), cycles, True, 24):
        changes = np.count_nonzero(np.diff(stream.valid))
        assert stream.valid[0]
        assert changes <= 64  # 2 x 16 are expected of any length
        waiting += changes > 0
    assert waiting >= 4


@pytest.fixture(scope="module")
def mapper(library: Library) -> Iterator[Mapper]:
    pytest.importorskip("pyosys", reason="pyosys is not installed: pip install 'accelsim[rtl]'")
    mapper = Mapper(library, [])
    yield mapper
    mapper.close()


class TestWithYosys:
    """What needs Yosys: whole modules, mapped to the made-up library."""

    @pytest.mark.parametrize("top", ["add_pe", "mac_pe"])
    @pytest.mark.parametrize("choice", [{}, {"gated": True}, {"flat": False}, {"carry": "ripple"}])
    def test_a_netlist_accumulates_like_exact_integers(
        self, mapper: Mapper, library: Library, top: str, choice: dict[str, object]
    ) -> None:
        setting = Setting(1000, **choice)  # type: ignore[arg-type]
        module = mapper.synthesise(top, [HERE / "sv" / f"{top}.sv"], {"ACC": 20}, setting)
        netlist = read_netlist(top, module, library)
        assert bool(netlist.clock_gates) == bool(choice.get("gated"))
        rng = np.random.default_rng(5)
        cycles = 300
        a = rng.integers(-127, 128, cycles)
        w = rng.integers(-1, 2, cycles) if top == "add_pe" else rng.integers(-127, 128, cycles)
        valid, clear = rng.random(cycles) < 0.7, np.arange(cycles) % 50 == 1
        valid[:1], valid[1] = False, True
        stimulus = {
            "rst": np.arange(cycles) < 1, "valid": valid, "clear": clear, "a": a,
            "w": w & 3 if top == "add_pe" else w,
        }  # fmt: skip
        driver = library.plain_flop()
        circuit = build(netlist, analyse(netlist, driver), driver, library.voltage_v)
        columns = {name: np.asarray(value).astype(np.int64) for name, value in stimulus.items()}
        runs = [simulate(circuit, columns, timed=timed) for timed in (False, True)]
        expected = _sums(a, w, valid, clear)
        for run in runs:
            assert (run.outputs["sum"][3:] == expected[3:]).all()
        once, timed = (run.toggles.sum() for run in runs)
        assert timed >= once
        assert runs[1].mean_pj >= runs[0].mean_pj

    @pytest.mark.parametrize(("excluded", "gates"), [([], True), (["CKG*"], False)])
    def test_a_gating_cell_that_is_left_out_gates_no_clock(
        self, library: Library, excluded: list[str], gates: bool
    ) -> None:
        mapper = Mapper(library, excluded)
        module = mapper.synthesise(
            "add_pe", [HERE / "sv" / "add_pe.sv"], {"ACC": 20}, Setting(1000, gated=True)
        )
        mapper.close()
        assert bool(read_netlist("add_pe", module, library).clock_gates) == gates

    @pytest.mark.parametrize("price", ["shared_ternary.{}", "lut_group.{}"])
    def test_products_of_a_shared_unit_cost_less_the_more_share_it(
        self, mapper: Mapper, price: str
    ) -> None:
        need_simulator()
        found = [
            measure_primitive(mapper, PRIMITIVES[f"{price.format(n)}/0"], 1e5, 0, str)
            for n in (1, 4)
        ]
        assert all(each.compared > 500 and each.latency == 2 for each in found)
        assert found[1].func_pj < found[0].func_pj
        assert found[1].best.area_um2 / 4 < found[0].best.area_um2

    def test_the_latency_of_a_unit_is_when_its_results_come(self) -> None:
        need_simulator()
        for price, depth in (("dequantise/0", 3), ("quantise/0", 4), ("fp16_mul/0", 2)):
            unit = PRIMITIVES[price]
            drawn = unit.draw(np.random.default_rng(8), 60)
            changed = {name: np.where(np.arange(60) < 40, column, 0) if name != "weight_scale"
                       else column for name, column in drawn.items()}  # fmt: skip
            circuit = compiled.build(unit.top, unit.at(depth))
            (before,), (after,) = (circuit.replay(each).values() for each in (drawn, changed))
            # A register behind the unit shows a result one cycle later.
            assert np.flatnonzero(before != after)[0] + 1 == 40 + unit.latency(depth)

    def test_a_users_library_gives_the_users_technology(
        self, mapper: Mapper, tmp_path: Path
    ) -> None:
        told: list[str] = []
        order = Order([LIBERTY], ["ternary_add"], tmp_path, clock_mhz=100, node_nm=22, name="mine")
        result = synthesise(replace(order, netlists=True), list, "none", told.append)
        row = result["rows"][0]
        netlist = (tmp_path / "netlists" / "ternary_add.v").read_text()
        assert str(tmp_path / "netlists" / "ternary_add.v") in result["files"]
        assert netlist.count(" (.") == row["gates"] + row["flops"]
        assert row["name"] == "ternary_add"
        assert row["ternary_low_pj"] <= row["ternary_high_pj"]
        assert told
        listed = next(csv.DictReader((tmp_path / "mine.csv").open()))
        assert float(listed["gated_area_um2"]) == row["gated_area_um2"]
        assert float(listed["gated_busy_over_ungated"]) == row["gated_busy_over_ungated"]
        assert row["gated_idle_pj"] < row["idle_pj"]
        assert row["gated_cycles_equal_to_source"] > 300
        technology = load_technology(tmp_path / "mine.yaml")
        assert (technology.name, technology.node_nm, technology.voltage_v) == ("mine", 22, 2.0)
        area = technology.price("pe.ternary_add.area")
        assert (area.how, area.value) == ("synthesised", pytest.approx(row["area_um2"], rel=1e-3))

    def test_a_clock_that_is_gated_at_the_wrong_time_is_found(
        self, mapper: Mapper, library: Library
    ) -> None:
        need_simulator()

        class Careless(Mapper):
            """Lets gated clocks run, whatever their enable says."""

            def synthesise(self, top, files, parameters, setting: Setting):  # type: ignore[no-untyped-def]
                module = super().synthesise(top, files, parameters, setting)
                for cell in module["cells"].values():
                    if cell["type"] == "CKGATE":
                        cell["connections"]["EN"] = ["1"]
                return module

        careless = Careless(library, [])
        best = map_module(careless, "pe_os", SUBJECTS["ternary_add"].parameters(1), Setting(5000))
        with pytest.raises(UserError, match="netlist of pe_os differs from its source"):
            pe_measure._gated(careless, best, SUBJECTS["ternary_add"], 1, str)
        careless.close()

    def test_a_netlist_does_not_depend_on_where_its_sources_lie(
        self, mapper: Mapper, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "another" / "place"
        shutil.copytree(SV_FOLDER, elsewhere)
        parameters = SUBJECTS["ternary_add"].parameters(1)
        here, there = (
            mapper.synthesise("pe_os", sources_of("pe_os", [place]), parameters, Setting(5000))
            for place in (SV_FOLDER, elsewhere)
        )
        assert here == there

    def test_primitives_are_synthesised_by_name(self, mapper: Mapper, tmp_path: Path) -> None:
        need_simulator()
        names = ["decoder.tl1", "ternary_add", "int_add.8"]
        order = Order([LIBERTY], names, tmp_path, clock_mhz=10, node_nm=22, name="few")
        listed = [row["name"] for row in synthesise(order, list, "none", str)["rows"]]
        assert listed == ["ternary_add", "int_add.8", "decoder.tl1"]

    def test_a_later_run_adds_to_what_is_there(self, mapper: Mapper, tmp_path: Path) -> None:
        order = Order([LIBERTY], ["ternary_dot4"], tmp_path, clock_mhz=100, node_nm=22, name="two")
        synthesise(order, list, "none", str)
        later = synthesise(replace(order, names=["ternary_add"]), list, "none", str)
        assert [row["name"] for row in later["rows"]] == ["ternary_add", "ternary_dot4"]
        prices = load_technology(tmp_path / "two.yaml")
        for row in later["rows"]:
            area = prices.price(f"pe.{row['name']}.area").value
            assert area == pytest.approx(row["area_um2"], rel=1e-3)
        before = (tmp_path / "two.json").read_bytes()
        with pytest.raises(UserError, match=r"two.json.*clock_mhz: .*100.*another --out"):
            synthesise(replace(order, clock_mhz=50), list, "none", str)
        assert (tmp_path / "two.json").read_bytes() == before

    @pytest.mark.parametrize("text", ["{", "[]", '{"pes": [{}]}', ""])
    def test_files_that_are_no_record_are_left_alone(
        self, mapper: Mapper, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "mine.json").write_text(text)
        order = Order([LIBERTY], ["primitives"], tmp_path, clock_mhz=100, node_nm=22, name="mine")
        with pytest.raises(UserError, match=r"mine.json.* is no record of synthesis"):
            synthesise(order, list, "none", str)
        assert (tmp_path / "mine.json").read_text() == text

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"names": ["ternary_ad"]}, 'unknown PE or primitive.*did you mean "ternary_add"'),
            ({"node_nm": None}, "--node-nm: is missing"),
            ({"clock_mhz": 0.5}, "--clock-mhz: out of range"),
            ({"clock_mhz": 0.0}, "--clock-mhz: out of range"),
            ({"clock_mhz": math.nan}, "--clock-mhz: out of range"),
            ({"node_nm": 0}, "--node-nm: out of range"),
            ({"name": "../other"}, r"--name: is no name \(../other\)"),
            ({"name": ""}, "--name: is no name"),
        ],
    )
    def test_a_bad_order_is_refused_in_one_line(
        self, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        fields = {"liberty": [LIBERTY], "names": ["ternary_add"], "out": tmp_path, "node_nm": 22}
        order = Order(**(fields | change))  # type: ignore[arg-type]
        with pytest.raises(UserError, match=message):
            synthesise(order, list, "none", str)

    @pytest.mark.parametrize("old", ["0.002;", '"0.010, 0.110"'])
    def test_a_malformed_cell_is_named_where_abc_stumbles(self, tmp_path: Path, old: str) -> None:
        path = tmp_path / "bad.lib"
        head, found, rest = LIBERTY.read_text().partition(old)
        path.write_text(head + found.replace("0.0", "zero") + rest)
        order = Order([path], ["int_add.8"], tmp_path / "out", clock_mhz=100, node_nm=22)
        with pytest.raises(UserError, match=r"bad\.lib:INV: is a malformed cell"):
            synthesise(order, list, "none", str)
        assert not (tmp_path / "out").exists()

    def test_files_that_share_a_name_are_all_mapped_to(self, tmp_path: Path) -> None:
        text = LIBERTY.read_text()
        begin, stop = text.index("  cell (NAND2)"), text.index("  cell (BUF)")
        one, two = tmp_path / "one.lib", tmp_path / "two.lib"
        one.write_text(text[:begin] + text[stop:])
        two.write_text(text[: text.index("  cell (INV)")] + text[begin:stop] + "}\n")
        mapper = Mapper(read_library([one, two]), [])
        sources = sources_of("int_add", [SV_FOLDER])
        module = mapper.synthesise("int_add", sources, {}, Setting(1000))
        mapper.close()
        assert {"INV", "NAND2"} <= {cell["type"] for cell in module["cells"].values()}

    def test_what_yosys_leaves_behind_goes_with_the_mapper(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        mapper = Mapper(library, ["XOR2", "NAND2", "NOR2", "BUF"])  # abc fails without them
        with pytest.raises(UserError, match=r"^Yosys failed: .*ABC"):
            mapper.synthesise("int_add", sources_of("int_add", [SV_FOLDER]), {}, Setting(1000))
        mapper.close()
        assert list(tmp_path.iterdir()) == []

    def test_an_error_of_yosys_is_one_line(self, mapper: Mapper, tmp_path: Path) -> None:
        source = tmp_path / "broken.sv"
        source.write_text("module broken (input a; endmodule\n")
        with pytest.raises(UserError, match="syntax error") as caught:
            mapper.synthesise("broken", [source], {}, Setting(1000))
        assert "\n" not in str(caught.value)


def _sums(a: object, w: object, valid: object, clear: object) -> np.ndarray:
    """Return the sum shown in each cycle, 20 bits, operands registered once."""
    total, shown = 0, [0, 0]
    for left, right, counts, restarts in zip(a, w, valid, clear, strict=True):  # type: ignore[call-overload]
        if counts:
            total = (0 if restarts else total) + int(left) * int(right)
        shown.append(total)
    return np.array(shown[: len(a)]) & 0xFFFFF  # type: ignore[arg-type]
