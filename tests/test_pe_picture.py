"""Measured PEs side by side: shares, curves, tables and figures of the shipped syntheses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from accelsim import circuits
from accelsim.cli import main
from accelsim.errors import UserError
from accelsim.report.pe_figures import PART_FILLS, pe_figures
from accelsim.report.pe_table import COLUMNS, cells, markdown, pes_csv
from accelsim.report.style import png
from accelsim.rtl.netlist_parts import PARTS
from accelsim.rtl.operand_streams import COUNTS, OperandStream, counts_of
from accelsim.rtl.pe_rows import ZEROS, energy_by_zeros, read_record
from accelsim.rtl.pe_subjects import patterns

ROOT = Path(__file__).resolve().parents[1]
COMPARISON = circuits.picture()
RECORDS = {
    path.stem: read_record(path)
    for path in (ROOT / "hw_configs" / "technology" / "synthesised").glob("*.json")
}


@pytest.mark.parametrize("zeros", [0.0, 0.25, 0.5, 0.9])
def test_the_curve_of_zeros_counts_what_a_stream_counts(zeros: float) -> None:
    place = ZEROS.index(zeros)
    rng = np.random.default_rng(3)
    cycles = 200_000
    weights = np.where(rng.random(cycles) < zeros, 0, rng.choice([-1, 1], cycles))
    activations = np.rint(rng.normal(0, 25, cycles)).clip(-127, 127).astype(np.int64)
    activations[rng.random(cycles) < 0.125] = 0  # and some 1.6 % that round to it
    stream = OperandStream("", activations, weights, np.ones(cycles, bool), True, cycles)
    bits = patterns(activations, "int8"), patterns(weights, "ternary")
    counts = dict(zip(COUNTS, counts_of(stream, *bits), strict=True))
    for record in RECORDS.values():
        pe = next(pe for pe in record["pes"] if pe["name"] == "ternary_add")
        fit = pe["energy"]["ternary"]["fits"]["mean"]
        expected = fit["idle_pj"] + sum(fit["pj"][name] * counts[name] for name in COUNTS)
        assert energy_by_zeros(pe)[place] == pytest.approx(expected, rel=0.03)


def test_a_sum_needs_less_of_a_pe_that_shares_it() -> None:
    for library in COMPARISON["libraries"]:
        rows = {row["name"]: row for row in library["rows"]}
        alone, shared = rows["ternary_add"], rows["ternary_dot16"]
        assert alone["times_area"] == alone["times_energy"] == 1
        assert shared["accumulator_area"] < alone["accumulator_area"] < 1
        assert shared["ternary_pj"] < alone["ternary_pj"]
        widths = [row["accumulator_bits"] for row in library["widths"]]
        assert widths == sorted(widths)
        for key in ("area_um2", "ternary_pj", "accumulator_area"):
            values = [row[key] for row in library["widths"]]
            assert values == sorted(values)


def test_bounds_enclose_the_middle_and_shares_add_up() -> None:
    for library in COMPARISON["libraries"]:
        for row in library["rows"]:
            assert row["ternary_low_pj"] <= row["ternary_pj"] <= row["ternary_high_pj"]
            for key in ("area_share", "energy_share"):
                assert set(row[key]) == set(PARTS) == set(PART_FILLS)
                assert sum(row[key].values()) == pytest.approx(1, abs=1e-3)
            # A float multiply-add fed with ternary weights costs less than with dense ones.
            if row["dense_low_pj"] is not None:
                assert row["ternary_low_pj"] < row["dense_low_pj"]


def test_tables_hold_every_pe_of_every_library() -> None:
    names = [row["name"] for library in COMPARISON["libraries"] for row in library["rows"]]
    parsed = list(csv.DictReader(io.StringIO(pes_csv(COMPARISON))))
    assert [row["name"] for row in parsed] == names
    assert float(parsed[0]["energy_share.accumulator"]) > 0
    assert all(len(cells(row)) == len(COLUMNS) for row in COMPARISON["libraries"][0]["rows"])


def test_the_page_shows_the_current_table() -> None:
    assert markdown(COMPARISON) in (ROOT / "docs" / "pes.md").read_text(encoding="utf-8")


def test_figures_are_drawn_and_the_same_every_time() -> None:
    first, second = ([png(each) for each in pe_figures(COMPARISON)] for _ in range(2))
    assert len(first) == 2
    assert first == second
    # An own library may have measured one PE alone.
    one = json.loads(json.dumps(COMPARISON))
    library = one["libraries"][0]
    library |= {"widths": library["widths"][:1], "lanes": {}, "zeros": {}}
    assert len([png(each) for each in pe_figures({"libraries": [library]})]) == 2


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["rtl", "picture", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "ternary_dot16" in result.output
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "pe_effects.png", "pe_effects.svg", "pes.csv", "pes.md", "pes.png", "pes.svg",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", '{"pes": 3}', '{"pes": [{}]}'])
def test_files_that_are_no_record_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match="is no record of synthesis") as caught:
        circuits.picture([path])
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"missing\.json.*cannot be read"):
        circuits.picture([tmp_path / "missing.json"])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("pes", 0, "area_share"), None, r"pes\.0\.area_share.*dictionary"),
        (("pes", 0, "area_share"), {"adder": 1.0}, "lacks multiplier or selector, accumulator"),
        (("pes", 0, "area_um2"), "big", r"pes\.0\.area_um2: .*valid number \(big\)"),
        (("pes", 0, "area_um2"), 0, r"pes\.0\.area_um2: .*greater than 0 \(0\)"),
        (("pes", 0, "area_um2"), float("nan"), r"pes\.0\.area_um2: .*\(nan\)"),
        (("pes", 0, "energy"), {}, r"pes\.0\.energy\.ternary: .*required"),
        (("pes", 0, "parameters"), {}, r"pes\.0\.parameters: .*lacks ACC"),
        (("pes",), {}, r"pes: .*valid list"),
        (("primitives", 0, "low_pj"), "x", r"primitives\.0\.low_pj: .*\(x\)"),
        (("register",), None, "register: "),
    ],
)
def test_records_that_lack_something_are_refused_in_one_line_that_names_it(
    tmp_path: Path, place: tuple[str | int, ...], value: object, message: str
) -> None:
    record = json.loads(json.dumps(RECORDS["asap7"]))
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "x.json"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=message) as caught:
        circuits.picture([path])
    assert str(caught.value).startswith(f"{path}:{place[0]}")
    assert str(caught.value).endswith("; NAME.json of rtl synthesise")
    assert "\n" not in str(caught.value)
