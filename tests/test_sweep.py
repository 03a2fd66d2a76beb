"""Sweeps: equal to nested loops of single designs, and what they say to wrong input."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from sweep_factory import AXES, SWEEP, files, table, write_sweep

from accelsim import api, sweeps
from accelsim.cli import main
from accelsim.config import DesignConfig, load_design_config, replaced, validate
from accelsim.engine.bill import build_bill
from accelsim.engine.feasible import check_design
from accelsim.errors import UserError
from accelsim.explore.sweep import Order
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import Family
from accelsim.hardware.technology import Technology, load_technology
from accelsim.locate import DESIGNS, SWEEPS, TECHNOLOGIES, names, shipped
from accelsim.report.summary import summary
from accelsim.trace import Trace
from accelsim.workloads import Request, open_source


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


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            cells |= flat(value, f"{prefix}{key}.")
        else:
            cells[prefix + key] = value
    return cells


def as_text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)


def compare_row(row: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Compare a row with the summary of a run, byte by byte; all of the row must be known."""
    compared = {"area_mm2" if k == "total" else f"area_mm2.{k}" for k in content["area_mm2"]}
    for name, value in content["area_mm2"].items():
        assert row["area_mm2" if name == "total" else f"area_mm2.{name}"] == as_text(value)
    for phase, figures in content["phases"].items():
        for name, value in flat(figures, f"{phase}.").items():
            if "energy_by_operator_kind" not in name and not name.endswith(".tokens"):
                assert row[name] == as_text(value), name
                compared.add(name)
    left = {name for name in row if "." in name and name.split(".")[0] in ("prefill", "decode")}
    assert left <= compared


# A point is what a run of that design is


def by_hand(
    content: dict[str, Any], traces: dict[str, Trace], technologies: dict[str, Technology]
) -> bool:
    """Return whether a single design can be validated, built, run and priced."""
    try:
        config = validate(DesignConfig, content, "by hand")
        designs, technology = build_designs([config]), technologies[config.technology]
        check_design(designs, 0, traces[config.network_form], technology, "by hand")
        build_bill(Family(config, designs.units, designs.machines), technology)
    except UserError:
        return False
    return True


AWKWARD: dict[str, list[Any]] = {
    "array.organisation": ["systolic", "dot_product"],
    "array.lanes": [1, 4],
    "array.dataflow": ["os", "ws"],
    "array.accumulator.bits": [12, 24],
    "mac": [None, {"pe": "bf16_fused", "organisation": "dot_product", "rows": 4, "cols": 4,
                   "lanes": 4, "accumulator": {"bits": 32}, "latency": 5}],
    "sram.weight.capacity_kib": [1, 8, 512],
    "sram.weight.stream_kib": [1, 256],
}  # fmt: skip
MORE_AWKWARD: dict[str, list[Any]] = {
    "array.pe": ["ternary_add", "fp16_fmac"],
    "weights.packing": ["ternary2", "fp16"],
    "network_form": ["ternary", "fp16_twin"],
    "sram.output.capacity_kib": [2, 256],
    "sram.output.stream_kib": [2, 64],
    "dram.capacity_gib": [0.00001, 8],
    "array.latency": [None, 4],
    "sram.activation.banks": [4, 1024],
    "technology": ["7nm", "45nm"],
}


@pytest.mark.parametrize("axes", [AWKWARD, MORE_AWKWARD], ids=["units", "choices"])
def test_a_grid_is_nested_loops_that_leave_out_what_a_run_refuses(axes: dict[str, Any]) -> None:
    write_sweep(axes=[{"path": path, "values": values} for path, values in axes.items()])
    result, folder = sweeps.sweep("sweep.yaml", order=Order(csv=True))
    base = load_design_config(shipped(DESIGNS) / "ternary_os_32x32.yaml").model_dump(mode="json")
    source = open_source(Request(network="net.yaml", prefill=3, decode=2))
    traces = {form: source.trace(form, lambda _: None) for form in ("ternary", "fp16_twin")}
    technologies = {name: load_technology(name) for name in names(TECHNOLOGIES)}
    possible = []
    for index, values in enumerate(itertools.product(*axes.values())):
        content = base
        for path, value in zip(axes, values, strict=True):
            content = replaced(content, path, value, "by hand")
        if by_hand(content, traces, technologies):
            possible.append(str(index))
    rows = table(folder)
    assert [row["index"] for row in rows] == possible
    assert 0 < len(possible) == result.designs < result.points == index + 1
    assert sum(result.refused.values()) == result.points - result.designs


def test_a_row_is_byte_for_byte_what_a_run_of_that_design_says() -> None:
    write_sweep()
    result, folder = sweeps.sweep("sweep.yaml")
    rows = table(folder)
    assert 0 < result.designs < result.points
    for row in (rows[0], rows[-1], rows[len(rows) // 2]):
        again = api.run(f"{folder}#{row['index']}")
        assert not isinstance(again, dict)
        compare_row(row, summary(again))
        assert again.design_config["array"]["rows"] == int(row["array.rows"])


def test_a_row_runs_again_from_the_command_line_and_nothing_else_may_change_its_workload() -> None:
    write_sweep()
    assert call("sweep", "sweep.yaml", "--out", "out").exit_code == 0
    rows = table("out")
    for name in ("out", "out/sweep.json", "out/results.csv"):
        printed = call("run", f"{name}#{rows[1]['index']}", "--json", "--no-report")
        assert printed.exit_code == 0, printed.output
        compare_row(rows[1], json.loads(printed.stdout))
    assert "brings its own workload" in refuse("run", "out#1", "--prefill", 7)
    assert "results.csv: has no such row (0); it was refused" in refuse("run", "out#0")
    assert "results.csv: has no such row (99); allowed: 0 to 47" in refuse("run", "out#99")
    assert "nowhere: holds no finished sweep" in refuse("run", "nowhere#1")
    other = call("run", f"out#{rows[1]['index']}", "--json", "--no-report", "--set", "clock_mhz=1")
    assert json.loads(other.stdout)["clock_mhz"] == 1.0


def test_several_workloads_have_columns_of_their_own() -> None:
    short = {"name": "short", "network": "net.yaml", "prefill": 2, "decode": 0}
    long = {"name": "long", "network": "net.yaml", "prefill": 9, "decode": 3, "batch": 2}
    objectives = [
        {"quantity": "long.decode.energy_j_per_token", "goal": "min"},
        {"quantity": "short.seconds", "goal": "min"},
    ]
    write_sweep(workloads=[short, long], objectives=objectives, axes=AXES[1:2])
    result, folder = sweeps.sweep("sweep.yaml")
    row = table(folder)[1]
    for name in ("short", "long"):
        prefix = f"{name}."
        run = api.run(f"{folder}#{row['index']}/{name}")
        own = {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
        compare_row(row | own, summary(run))
    assert row["short.decode.tokens_per_second"] == row["short.decode.bound"] == ""
    assert "names no workload" in refuse("run", f"{folder}#1")
    assert "names no workload" in refuse("run", f"{folder}#1/lon")
    assert result.front


def test_bases_are_an_axis_and_linked_paths_move_together() -> None:
    linked = [
        {"path": "array.rows", "log_range": {"start": 4, "stop": 16, "factor": 2}},
        {"path": "array.cols", "values": [2, 3, 5]},
    ]
    write_sweep(base=["ternary_os_32x32", "int8_os_32x32"], axes=[{"linked": linked}])
    _, folder = sweeps.sweep("sweep.yaml")
    cells = [(r["design"], r["array.rows"], r["array.cols"]) for r in table(folder)]
    shapes = [("4", "2"), ("8", "3"), ("16", "5")]
    both = ("ternary_os_32x32", "int8_os_32x32")
    assert cells == [(base, *shape) for base in both for shape in shapes]


RANGES = [
    ({"range": {"start": 1, "stop": 7, "step": 2}}, [1, 3, 5, 7]),
    ({"range": {"start": 1, "stop": 8, "step": 2}}, [1, 3, 5, 7]),
    ({"log_range": {"start": 1, "stop": 64, "num": 4}}, [1, 4, 16, 64]),
    ({"log_range": {"start": 1, "stop": 8, "num": 5}}, [1, 2, 3, 5, 8]),
    ({"log_range": {"start": 2, "stop": 50, "factor": 3}}, [2, 6, 18]),
]


@pytest.mark.parametrize(("form", "values"), RANGES)
def test_ranges_have_the_values_a_person_expects(form: dict[str, Any], values: list[int]) -> None:
    write_sweep(axes=[{"path": "array.rows", **form}])
    _, folder = sweeps.sweep("sweep.yaml")
    assert [int(row["array.rows"]) for row in table(folder)] == values


def test_decimal_ranges_end_on_the_digits_that_were_written() -> None:
    form = {"range": {"start": 0.1, "stop": 0.7, "step": 0.1}}
    write_sweep(axes=[{"path": "dram.sustained", **form}])
    _, folder = sweeps.sweep("sweep.yaml")
    assert [row["dram.sustained"] for row in table(folder)] == [f"0.{i}" for i in range(1, 8)]


def test_constraints_on_figures_mark_designs_and_those_on_inputs_leave_them_out() -> None:
    write_sweep()
    sweeps.sweep("sweep.yaml", out=Path("free"))
    areas = sorted(float(row["area_mm2"]) for row in table("free"))
    limit = areas[len(areas) // 2]
    bounds = [
        {"quantity": "area_mm2", "at_most": limit},
        {"quantity": "array.rows", "at_least": 5},
        {"quantity": "decode.tokens_per_second", "at_least": 1},
    ]
    write_sweep(constraints=bounds)
    result, _ = sweeps.sweep("sweep.yaml", out=Path("bound"))
    free = {row["index"]: row for row in table("free")}
    rows = table("bound")
    assert [row["index"] for row in rows] == [i for i in free if int(free[i]["array.rows"]) >= 5]
    for row in rows:
        assert row["feasible"] == str(int(float(row["area_mm2"]) <= limit))
        assert row["feasible"] == "1" or row["pareto"] == "0"
    assert result.refused["constraint: array.rows >= 5"] == 8  # of 16, half were refused before
    assert result.constraints[0].failed == sum(row["feasible"] == "0" for row in rows)
    assert result.feasible == sum(row["feasible"] == "1" for row in rows)


def test_the_front_is_marked_in_the_table_and_listed_best_first() -> None:
    write_sweep()
    result, folder = sweeps.sweep("sweep.yaml")
    rows = {int(row["index"]): row for row in table(folder)}
    points = {
        i: (-float(row["decode.tokens_per_second"]), float(row["energy_j"]))
        for i, row in rows.items()
    }
    front = {
        i
        for i, (x, y) in points.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    }
    assert {i for i, row in rows.items() if row["pareto"] == "1"} == front
    assert {row.index for row in result.front} == front
    best = [row.objectives[0] for row in result.front]
    assert best == sorted(best, reverse=True)
    for row in result.front:
        assert row.objectives == (-points[row.index][0], points[row.index][1])
    assert result.knee in front


def test_parquet_holds_what_csv_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_sweep(workloads=[{"network": "net.yaml", "prefill": 2, "decode": 0}],
                objectives=[{"quantity": "energy_j", "goal": "min"}])  # fmt: skip
    sweeps.sweep("sweep.yaml", out=Path("csv"))
    monkeypatch.setattr("accelsim.explore.sweep.MOST_CSV_POINTS", 10)
    monkeypatch.setattr("accelsim.explore.table.PART_POINTS", 20)
    result, _ = sweeps.sweep("sweep.yaml", out=Path("parquet"))
    assert result.table == "results.parquet"
    parts = sorted(path.name for path in Path("parquet/results.parquet").iterdir())
    assert parts == [f"part-{number:06d}.parquet" for number in range(3)]
    found = parquet.read_table("parquet/results.parquet").to_pylist()
    assert [{k: as_text(v) for k, v in row.items()} for row in found] == table("csv")
    index = found[3]["index"]
    assert api.run(f"parquet#{index}").design_config == api.run(f"csv#{index}").design_config
    monkeypatch.setattr("accelsim.explore.table.CSV_ROWS", 7)
    sweeps.sweep("sweep.yaml", out=Path("again"), order=Order(csv=True))
    assert files("again") == files("csv")


@pytest.mark.parametrize("name", names(SWEEPS))
def test_shipped_sweeps_are_valid_and_named_like_their_file(name: str) -> None:
    from accelsim.explore.config import load_sweep_config

    path = shipped(SWEEPS) / f"{name}.yaml"
    config = load_sweep_config(path)
    assert config.name == name
    assert sweeps.read_space(config, path).points > 1


def test_the_sweep_of_the_page_is_valid() -> None:
    from accelsim.explore.config import load_sweep_config

    page = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text()
    Path("mine.yaml").write_text(page.split("```yaml")[1].split("```")[0])
    config = load_sweep_config(Path("mine.yaml"))
    assert sweeps.read_space(config, Path("mine.yaml")).points == 2 * 5 * 5 * 4


# Stopping and going on


def test_a_sweep_does_not_write_over_another() -> None:
    write_sweep(axes=AXES[1:2])
    sweeps.sweep("sweep.yaml", out=Path("out"))
    before = files("out")
    line = refuse("sweep", "sweep.yaml", "--out", "out")
    assert line.startswith("out: holds a sweep; start over with --force")
    assert files("out") == before
    resumed = call("sweep", "sweep.yaml", "--out", "out", "--resume", "--no-report")
    assert resumed.exit_code == 0
    Path("out/report.html").write_text("of the sweep before")
    again = call("sweep", "sweep.yaml", "--out", "out", "--force", "--no-report")
    assert again.exit_code == 0
    assert files("out") == before


def stopped(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    """Run a sweep whose third chunk cannot be saved."""
    replace, count = os.replace, itertools.count()

    def failing(source: object, target: object) -> None:
        if str(target).endswith(".chunk") and next(count) == 2:
            raise error
        replace(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        return call("sweep", "sweep.yaml", "--out", "out")


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(28, "No space left on device"), "No space left"), (KeyboardInterrupt(), "stopped")],
)
def test_what_was_finished_before_a_stop_is_kept(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    write_sweep(chunk_rows=5)
    result = stopped(monkeypatch, error)
    assert result.exit_code != 0
    assert told in result.stderr
    assert len(list(Path("out/chunks").glob("*.chunk"))) == 2
    assert "holds an unfinished sweep; go on with" in refuse("sweep", "sweep.yaml", "--out", "out")
    evaluated: list[int] = []
    from accelsim.explore import executors

    whole = executors.evaluate_task
    monkeypatch.setattr(
        executors, "evaluate_task", lambda p, t: evaluated.append(t.number) or whole(p, t)
    )
    resumed = call("sweep", "sweep.yaml", "--out", "out", "--resume", "--no-report")
    assert resumed.exit_code == 0
    assert sorted(evaluated[1:]) == list(range(2, 10))  # the first compiles
    assert call("sweep", "sweep.yaml", "--out", "fresh", "--no-report").exit_code == 0
    assert files("out") == files("fresh")


def change_sweep() -> None:
    write_sweep(chunk_rows=5, objectives=SWEEP["objectives"][:1])


def change_design() -> None:
    content = yaml.safe_load(Path("base.yaml").read_text())
    Path("base.yaml").write_text(yaml.safe_dump(content | {"description": "another"}))


def change_network() -> None:
    content = yaml.safe_load(Path("net.yaml").read_text())
    Path("net.yaml").write_text(yaml.safe_dump(content | {"intermediate_size": 128}))


def change_technology() -> None:
    path = Path("technology/7nm.yaml")
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_sweep, "sweep file"),
        (change_design, "design ternary_os_32x32"),
        (change_network, "workload ternary"),
        (change_technology, "technology technology/7nm.yaml"),
    ],
)
def test_a_changed_input_refuses_to_resume_and_is_named(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], what: str
) -> None:
    import shutil

    shutil.copytree(shipped("hw_configs/technology"), "technology")
    content = yaml.safe_load((shipped(DESIGNS) / "ternary_os_32x32.yaml").read_text())
    content["technology"] = "technology/7nm.yaml"
    Path("base.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setitem(SWEEP, "base", "base.yaml")
    write_sweep(chunk_rows=5)
    stopped(monkeypatch, OSError(28, "No space left on device"))
    change()
    line = refuse("sweep", "sweep.yaml", "--out", "out", "--resume")
    assert line.startswith(f"out: began with other inputs: {what} changed; put back")
    assert len(list(Path("out/chunks").glob("*.chunk"))) == 2
