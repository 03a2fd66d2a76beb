"""What a sweep says to wrong input: one line, before anything is evaluated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from sweep_factory import AXES, table, write_sweep

from accelsim.cli import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="accelsim")


def refuse(*arguments: object) -> str:
    """Return the one line of a command that fails."""
    result = call(*arguments)
    assert isinstance(result.exception, SystemExit), f"{result.exception!r}: {result.output}"
    assert result.exit_code == 2, result.output
    (line,) = [told for told in result.stderr.splitlines() if not told.startswith("first run: ")]
    return line


AXIS_LINES = [
    ("path: array.rowz, values: [1]", 'array.rowz: unknown key (1); did you mean "rows"?'),
    ("path: array.rows, values: []", "axes.0.values: axis is empty ([])"),
    ("path: array.rows, range: {start: 9, stop: 2, step: 1}", "axes.0.range: axis is empty"),
    ("path: array.rows, range: {start: 1, stop: 2, step: 0}", "axes.0.range.step: input should"),
    ("path: array.rows, range: {start: 1, stop: 9999999, step: 1}", "range: axis is too long"),
    ("path: array.rows, log_range: {start: 9, stop: 2, num: 3}", "axes.0.log_range: axis is empty"),
    ("path: array.rows, log_range: {start: 1, stop: 2}", "axes.0.log_range.num: num or factor"),
    ("path: array.rows, log_range: {start: 0, stop: 2, num: 3}", "axes.0.log_range.start: input"),
    ("path: array.rows", "axes.0.values: needs one form of values; allowed: values, range, log_r"),
    ("path: array.rows, value: [3]", 'axes.0.value: unknown key ([3]); did you mean "values"?'),
    ("path: array.rows, values: [4, 0]", "array.rows: input should be greater than or equal to 1"),
    ("path: array.rows, values: [4, 4]", "axes.0.values: names a value twice (array.rows)"),
    ("path: array.rows, values: [4, x]", "array.rows: input should be a valid integer"),
    ("path: clock_mhz, values: [.nan]", "clock_mhz: input should be a finite number (nan)"),
    ("path: name.first, values: [a]", "name.first: has no keys below it"),
    ("path: array.pe, values: [ternary_ad]", "array.pe: unknown PE type (ternary_ad); did you"),
    ("path: technology, values: [8nm]", 'technology: unknown technology (8nm); did you mean "7nm"'),
    ("path: dram.kind, values: [lpddr9]", "dram.kind: unknown external memory (lpddr9)"),
    ("linked: []", "axes.0.linked: list should have at least 1 item"),
    (
        "linked: [{path: array.rows, values: [4, 8]}, {path: array.cols, values: [1]}]",
        "axes.0: linked axes differ in length (array.rows: 2, array.cols: 1)",
    ),
]


@pytest.mark.parametrize(("axis", "line"), AXIS_LINES)
def test_a_wrong_axis_is_one_line(axis: str, line: str) -> None:
    write_sweep(axes=[yaml.safe_load(f"{{{axis}}}")])
    assert line in refuse("sweep", "sweep.yaml", "--out", "out")
    assert not Path("out").exists()


ROWS = "{path: array.rows, values: [4, 8]}"
MANY = "range: {start: 1, stop: 1001, step: 1}"
LINES = [
    (f"axes: [{ROWS}, {ROWS}]", "axes.1: is moved by two axes (array.rows)"),
    (f"axes: [{ROWS}, {{path: array, values: [{{}}]}}]", "axes.1: is moved by two axes (array)"),
    ("axes: []", "axes: has nothing to vary"),
    ("axes: 3", "axes: input should be a valid list (3)"),
    ("base: ternary_os_32x3", 'sweep.yaml:base: unknown name (ternary_os_32x3); did you mean "ter'),
    ("base: []", "base: names no design"),
    ("base: [ternary_os_32x32, ternary_os_32x32]", "base: two bases have one name (ternary_os_32"),
    ("colour: red", "sweep.yaml:colour: unknown key (red)"),
    ("name: a/b", "sweep.yaml:name: string should match pattern"),
    ("objectives: null", "sweep.yaml:objectives: is missing"),
    (
        "objectives: [{quantity: decode.joules, goal: min}]",
        "objectives.0.quantity: is no number of this sweep (decode.joules)",
    ),
    ("objectives: [{quantity: decode.bound, goal: min}]", "0.quantity: is no number of this sweep"),
    ("objectives: [{quantity: energy_j, goal: least}]", "objectives.0.goal: input should be 'min'"),
    (
        "constraints: [{quantity: aera_mm2, at_most: 1}]",
        'is no number of this sweep (aera_mm2); did you mean "area_mm2"?',
    ),
    (
        "constraints: [{quantity: area_mm2, at_most: 1, at_least: 2}]",
        "constraints.0.at_least: contradicts at_most of area_mm2",
    ),
    ("constraints: [{quantity: area_mm2}]", "constraints.0.at_most: has no bound; allowed: at_le"),
    (
        "constraints: [{quantity: area_mm2, at_most: 1}, {quantity: area_mm2, at_least: 2}]",
        "constraints: constraints on area_mm2 contradict each other (at_least 2, at_most 1)",
    ),
    (
        "constraints: [{quantity: array.rows, at_most: 3}]",
        "constraints.0: no value of array.rows meets the constraint (array.rows <= 3)",
    ),
    ("method: {kind: random}", "method.samples: does not fit method random; allowed: a number of"),
    ("method: {kind: grid, sampler: tpe}", "method.sampler: does not fit method grid; allowed: se"),
    ("method: {kind: gird}", "method.kind: input should be 'grid', 'random'"),
    ("workloads: [{network: net.yaml}, {network: net.yaml}]", "workloads: several workloads need"),
    ("workloads: [{network: net.yaml, prefill: 0}]", "--prefill: out of range (0)"),
    ("workloads: [{network: nett.yaml}]", "--network: no such file (nett.yaml)"),
    (
        f"axes: [{{path: array.rows, {MANY}}}, {{path: array.cols, {MANY}}}]",
        "axes: has more than 1,000,000 points (1,002,001); --yes runs it",
    ),
]


@pytest.mark.parametrize(("changes", "line"), LINES)
def test_a_wrong_sweep_is_one_line(changes: str, line: str) -> None:
    write_sweep(**yaml.safe_load(changes))
    assert line in refuse("sweep", "sweep.yaml", "--out", "out")
    assert not Path("out").exists()


def test_a_space_that_no_index_counts_is_refused_even_with_yes() -> None:
    buffers = [f"sram.{name}" for name in ("activation", "weight", "output")]
    paths = [f"{b}.{field}" for b in buffers for field in ("capacity_kib", "stream_kib", "banks")]
    paths.append("vector.lanes")
    write_sweep(axes=[{"path": p, "values": list(range(256, 356))} for p in paths])
    line = refuse("sweep", "sweep.yaml", "--out", "out", "--yes")
    assert "axes: has more points than an index can count" in line


def test_a_sweep_without_one_good_design_says_why_and_keeps_its_table() -> None:
    write_sweep(constraints=[{"quantity": "area_mm2", "at_most": 0.1}])
    result = call("sweep", "sweep.yaml", "--out", "out")
    assert result.exit_code == 2
    assert "none of 48 designs can run and meets all constraints; 24 x " in result.stderr
    assert "24 x area_mm2: at_most 0.1" in result.stderr
    assert len(table("out")) == 24
    write_sweep(axes=[{"path": "sram.weight.capacity_kib", "values": [1, 2]}])
    result = call("sweep", "sweep.yaml", "--out", "none")
    assert "2 x sram.weight.stream_kib: larger than capacity_kib" in result.stderr
    assert table("none") == []


def test_a_parquet_table_without_one_design_still_has_columns_and_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = pytest.importorskip("pyarrow.dataset")
    monkeypatch.setattr("accelsim.explore.sweep.MOST_CSV_POINTS", 1)
    write_sweep(axes=[{"path": "sram.weight.capacity_kib", "values": [1, 2]}])
    result = call("sweep", "sweep.yaml", "--out", "none")
    assert result.exit_code == 2
    assert "2 x sram.weight.stream_kib: larger than capacity_kib" in result.stderr
    found = dataset.dataset("none/results.parquet").to_table()
    assert found.num_rows == 0
    assert found.column_names[:2] == ["index", "sram.weight.capacity_kib"]
    assert Path("none/report.html").exists()


MISSING = [
    ("pyarrow", {}, (), "pip install 'accelsim[parquet]'"),
    ("optuna", {"method": {"kind": "search"}}, (), "pip install 'accelsim[search]'"),
    ("distributed", {}, ("--scheduler", "tcp://127.0.0.1:1"), "pip install 'accelsim[dist]'"),
]


@pytest.mark.parametrize(("package", "changes", "options", "line"), MISSING)
def test_a_missing_extra_is_named_before_anything_is_evaluated(
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    changes: dict[str, Any],
    options: tuple[str, ...],
    line: str,
) -> None:
    monkeypatch.setattr(
        "accelsim.explore.sweep.MOST_CSV_POINTS", 10 if package == "pyarrow" else 99
    )
    monkeypatch.delitem(sys.modules, "accelsim.explore.cluster", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    write_sweep(**changes)
    assert line in refuse("sweep", "sweep.yaml", "--out", "out", *options)
    assert not list(Path().rglob("*.chunk"))


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("accelsim.explore.cluster.CONNECT_SECONDS", 1)
    write_sweep(axes=AXES[1:2])
    for address in ("tcp://127.0.0.1:1", "nonsense", "tcp://", "tcp://host", "tcp://:1"):
        line = refuse("sweep", "sweep.yaml", "--out", "out", "--scheduler", address)
        assert f"--scheduler: cannot be reached ({address}); expected the address of" in line
    assert not list(Path("out").rglob("*.chunk"))


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/proc/nothing", "No such file or directory"),
        ("/dev/null/below", "Not a directory"),
        ("sweep.yaml", "File exists"),
        ("long" * 100, "File name too long"),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_line(place: str, why: str) -> None:
    write_sweep(axes=AXES[1:2])
    line = refuse("sweep", "sweep.yaml", "--out", place)
    assert line == f"{place}: cannot be written ({why}); choose another folder with --out"
