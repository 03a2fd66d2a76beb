"""The report of a sweep: what its axes explain, its figures, and the page that a reader filters."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accelsim.errors import UserError
from accelsim.report.sweep_figures import front_figure, sweep_figures, two_axes
from accelsim.report.sweep_page import DRAWN, sweep_page
from accelsim.report.sweep_read import read_rows
from accelsim.report.sweep_rows import (
    SweepRows,
    axis_name,
    best_of_cells,
    column_label,
    explained,
    level_names,
    measured,
)
from accelsim.report.write import write_sweep_report
from accelsim.result import COMPONENTS, PHASES, FrontRow, SweepAxis, SweepBound, SweepResult

SIZES, DATAFLOWS, GATES = (8, 16, 32, 64), ("os", "ws"), (True, False)
AXES = (
    SweepAxis(("array.rows", "array.cols"), tuple((s, s) for s in SIZES), (True, True)),
    SweepAxis(("array.dataflow",), tuple((d,) for d in DATAFLOWS), (False,)),
    SweepAxis(("array.overlap",), tuple((g,) for g in GATES), (False,)),
)


def table(seed: int = 0) -> pd.DataFrame:
    """Return a grid over AXES; energies are random, an objective follows the size."""
    random = np.random.default_rng(seed)
    rows = []
    for index, (s, d, g) in enumerate((s, d, g) for s in SIZES for d in DATAFLOWS for g in GATES):
        row: dict[str, Any] = {
            "index": index, "array.rows": s, "array.cols": s, "array.dataflow": d,
            "array.overlap": json.dumps(g), "feasible": int(index != 5), "pareto": 0,
            "speed": s * (1.5 if d == "ws" else 1.0) + random.random(), "area_mm2": s * s / 100,
        }  # fmt: skip
        for phase in PHASES:
            for name in COMPONENTS:
                row[f"{phase}.energy_by_component.{name}"] = random.random()
        rows.append(row)
    return pd.DataFrame(rows)


def result(frame: pd.DataFrame, objectives: Sequence[tuple[str, str]], axes: Any = AXES) -> Any:
    """Return the result of ``frame``; its front is found by comparing all pairs."""
    good = frame[frame["feasible"] == 1]
    signs = np.array([1.0 if goal == "min" else -1.0 for _, goal in objectives])
    values = good[[name for name, _ in objectives]].to_numpy() * signs
    on = [
        not any((other <= row).all() and (other < row).any() for other in values) for row in values
    ]
    members = good[np.array(on, dtype=bool)].sort_values(
        objectives[0][0], ascending=objectives[0][1] == "min"
    )
    front = tuple(
        FrontRow(int(row["index"]), tuple(0 for _ in axes), tuple(row[n] for n, _ in objectives))
        for _, row in members.iterrows()
    )
    return SweepResult(
        schema_version=1, name="sizes", description="which size <b>&</b>", bases={"base": {}},
        axes=axes, constraints=(SweepBound("area_mm2", None, 30.0, 1),),
        objectives=tuple(objectives),
        workloads=({"prefix": "", "name": "net", "prefill": 4, "decode": 2, "batch": 1},),
        method={"kind": "grid"}, points=len(frame), designs=len(frame), feasible=len(good),
        refused={"array.rows: too large": 3}, front=front,
        knee=front[len(front) // 2].index if front else None, columns=tuple(frame.columns),
        table="results.csv", inputs={},
    )  # fmt: skip


OBJECTIVES = (("speed", "max"), ("area_mm2", "min"))


@pytest.fixture
def rows(tmp_path: Path) -> SweepRows:
    frame = table()
    frame.to_csv(tmp_path / "results.csv", index=False)
    return read_rows(result(frame, OBJECTIVES), tmp_path)


def test_rows_are_the_feasible_designs_with_the_level_of_every_axis(rows: SweepRows) -> None:
    assert 5 not in rows.index
    for row, index in enumerate(rows.index.tolist()):
        assert rows.levels[row].tolist() == [index // 4, index // 2 % 2, index % 2]
    assert rows.index[rows.front].tolist() == [row.index for row in rows.result.front]
    frame = table()
    by_hand = frame["prefill.energy_by_component.sram"] + frame["decode.energy_by_component.sram"]
    of_front = [by_hand[row.index] for row in rows.result.front]
    assert rows.energy[:, COMPONENTS.index("sram")].tolist() == of_front


def test_parquet_and_csv_are_read_alike(tmp_path: Path, rows: SweepRows) -> None:
    pytest.importorskip("pyarrow")
    frame = table()
    (tmp_path / "results.parquet").mkdir()
    frame.to_parquet(tmp_path / "results.parquet" / "part-000000.parquet")
    changed = result(frame, OBJECTIVES).__class__(
        **{**vars(rows.result), "table": "results.parquet"}
    )
    again = read_rows(changed, tmp_path)
    assert np.array_equal(again.levels, rows.levels)
    assert np.array_equal(again.objectives, rows.objectives)
    assert np.array_equal(again.energy, rows.energy)


def test_explained_variance_is_that_of_group_means(rows: SweepRows) -> None:
    shares = explained(rows)
    area = np.log(rows.objectives[:, 1])
    frame = pd.DataFrame({"size": rows.levels[:, 0], "flow": rows.levels[:, 1], "area": area})
    for axis, name in ((0, "size"), (1, "flow")):
        means = frame.groupby(name)["area"].transform("mean")
        assert shares[axis, 1] == pytest.approx(means.var(ddof=0) / area.var())
    assert shares[0, 1] == pytest.approx(1.0)  # the size alone decides the area


def test_an_axis_that_does_nothing_in_a_full_grid_explains_nothing(tmp_path: Path) -> None:
    frame = table()
    frame["feasible"] = 1
    frame.to_csv(tmp_path / "results.csv", index=False)
    shares = explained(read_rows(result(frame, OBJECTIVES), tmp_path))
    assert shares[2, 1] == pytest.approx(0.0, abs=1e-12)


def test_cells_of_the_map_hold_the_best_over_the_other_axes(rows: SweepRows) -> None:
    cells = best_of_cells(rows, (1, 0), 0)
    frame = table()
    frame = frame[frame["feasible"] == 1]
    for down, flow in enumerate(DATAFLOWS):
        for across, size in enumerate(SIZES):
            chosen = frame[(frame["array.dataflow"] == flow) & (frame["array.rows"] == size)]
            assert cells[down, across] == chosen["speed"].max()
    assert two_axes(rows, explained(rows)) == (1, 0)


def test_every_figure_has_a_caption_and_the_page_shows_it(tmp_path: Path, rows: SweepRows) -> None:
    written = write_sweep_report(rows.result, tmp_path)
    names = {path.stem for path in written if path.suffix == ".png"}
    assert names == {"front", "sensitivity", "map", "energy_along_front"}
    page = (tmp_path / "report.html").read_text()
    for name in names:
        assert f'id="figure-{name}"' in page
    assert "which size &lt;b&gt;" in page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "array.rows: too large" in page


def test_the_page_holds_the_designs_that_it_draws(rows: SweepRows) -> None:
    page = sweep_page(rows, [], "here")
    match = re.search(r'<script type="application/json" id="points">(.*?)</script>', page, re.S)
    assert match is not None
    points = json.loads(match.group(1))
    assert points["index"] == rows.index.tolist()
    assert points["levels"] == rows.levels.T.tolist()
    assert points["values"][0] == pytest.approx(rows.objectives[:, 0].tolist(), rel=1e-3)
    assert [i for i, on in zip(points["index"], points["front"], strict=True) if on] == sorted(
        row.index for row in rows.result.front
    )


def test_a_large_sweep_is_thinned_but_never_its_front(tmp_path: Path) -> None:
    frame = pd.concat([table(seed) for seed in range(300)], ignore_index=True)
    frame["index"] = range(len(frame))
    frame.loc[:, "feasible"] = 1
    frame.to_csv(tmp_path / "results.csv", index=False)
    rows = read_rows(result(frame, OBJECTIVES), tmp_path)
    shown = rows.spread(DRAWN)
    assert DRAWN <= len(shown) <= DRAWN + len(rows.front)
    assert set(rows.front) <= set(shown)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_of_a_huge_sweep_even_rows_and_the_whole_front_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    frame = pd.concat([table(seed) for seed in range(9)], ignore_index=True)
    frame["index"] = range(len(frame))
    if form == "csv":
        frame.to_csv(tmp_path / "results.csv", index=False)
    else:
        pytest.importorskip("pyarrow")
        (tmp_path / "results.parquet").mkdir()
        for part, first in enumerate((0, 50)):
            some = frame[first : first + 50 if part == 0 else None]
            some.to_parquet(tmp_path / "results.parquet" / f"part-{part:06d}.parquet")
    found = result(frame, OBJECTIVES)
    found = replace(found, table=f"results.{form}")
    whole = read_rows(found, tmp_path)
    monkeypatch.setattr("accelsim.report.sweep_read.MOST_ROWS", 30)
    monkeypatch.setattr("accelsim.report.sweep_read.BATCH", 7)
    rows = read_rows(found, tmp_path)
    front = [row.index for row in found.front]
    step = -(-len(whole) // 30)
    assert step > 1
    assert rows.index.tolist() == sorted({*whole.index[::step].tolist(), *front})
    assert rows.index[rows.front].tolist() == front
    assert np.array_equal(rows.energy, whole.energy)
    assert np.array_equal(rows.levels, whole.levels[np.isin(whole.index, rows.index)])
    assert rows.knee is not None
    assert rows.index[rows.knee] == found.knee


def test_a_page_holds_no_more_of_a_huge_front_than_of_the_rest(tmp_path: Path) -> None:
    frame = pd.concat([table(seed) for seed in range(300)], ignore_index=True)
    frame["index"] = range(len(frame))
    frame["feasible"] = 1
    frame["speed"] = np.arange(len(frame))[::-1]  # no design beats another
    frame["area_mm2"] = frame["speed"] / 100
    frame.to_csv(tmp_path / "results.csv", index=False)
    rows = read_rows(result(frame, OBJECTIVES), tmp_path)
    assert len(rows.front) == len(frame) == 4800
    shown = rows.spread(1000)
    assert len(shown) <= 2001
    assert rows.knee in shown
    names = [picture.name for picture in sweep_figures(rows)]
    assert "front" in names


CORNERS = [
    (("min", "min"), [(1, 3), (2, 3), (2, 1)]),
    (("min", "max"), [(1, 1), (2, 1), (2, 3)]),
    (("max", "min"), [(1, 1), (1, 3), (2, 3)]),
    (("max", "max"), [(1, 3), (1, 1), (2, 1)]),
]


@pytest.mark.parametrize(("goals", "corners"), CORNERS)
def test_the_line_of_a_front_encloses_what_its_designs_dominate(
    tmp_path: Path, goals: tuple[str, str], corners: list[tuple[float, float]]
) -> None:
    frame = table().iloc[:2].copy()
    frame["speed"], frame["area_mm2"] = [1.0, 2.0], [corners[0][1], corners[-1][1]]
    frame.to_csv(tmp_path / "results.csv", index=False)
    objectives = (("speed", goals[0]), ("area_mm2", goals[1]))
    rows = read_rows(result(frame, objectives), tmp_path)
    axes = front_figure(rows).figure.axes[0]
    (line,) = (
        line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xydata()) == 2
    )
    drawn = line.get_path().vertices
    steps = {"steps-post": lambda a, b: (b[0], a[1]), "steps-pre": lambda a, b: (a[0], b[1])}
    first, last = drawn[0], drawn[-1]
    corner = steps[line.get_drawstyle()](first, last)
    assert [tuple(first), tuple(corner), tuple(last)] == corners


def test_logarithmic_axes_carry_numbers_a_reader_can_tell(rows: SweepRows) -> None:
    axes = front_figure(rows).figure.axes[0]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 3


def test_values_take_the_prefix_that_fits_and_their_label_says_it() -> None:
    values, label = measured(np.array([0.006, np.nan, 0.02]), "energy (J)")
    assert label == "energy (mJ)"
    assert values[[0, 2]] == pytest.approx([6.0, 20.0])
    same, label = measured(np.array([0.006]), "area (mm²)")
    assert (same.tolist(), label) == ([0.006], "area (mm²)")


def test_one_objective_and_one_axis_leave_out_what_they_cannot_fill(tmp_path: Path) -> None:
    frame = table().iloc[:4]
    axes = (SweepAxis(("array.overlap",), ((True,), (False,)), (False,)),)
    frame = frame[frame["array.dataflow"] == "os"]
    frame.to_csv(tmp_path / "results.csv", index=False)
    rows = read_rows(result(frame, (("speed", "max"),), axes), tmp_path)
    names = [picture.name for picture in sweep_figures(rows)]
    assert names == ["sensitivity", "energy_along_front"]
    assert "accelsim run" in sweep_page(rows, [], "here")


def test_a_sweep_without_a_feasible_design_still_has_a_page(tmp_path: Path) -> None:
    frame = table()
    frame["feasible"] = 0
    frame.to_csv(tmp_path / "results.csv", index=False)
    rows = read_rows(result(frame, OBJECTIVES), tmp_path)
    assert list(sweep_figures(rows)) == []
    assert "Left out" in sweep_page(rows, [], "here")


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_table_that_is_not_the_sweeps_is_refused(tmp_path: Path, damage: str) -> None:
    frame = table()
    path = tmp_path / "results.csv"
    if damage == "cut":
        frame.iloc[:3].to_csv(path, index=False)
    elif damage == "other":
        frame.assign(**{"array.dataflow": "is"}).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"results\.csv: is no table of this sweep"):
        read_rows(result(frame, OBJECTIVES), tmp_path)


def test_names_say_paths_levels_and_units() -> None:
    assert axis_name(AXES[0]) == "array.rows = cols"
    assert level_names(AXES[0]) == ["8", "16", "32", "64"]
    assert level_names(AXES[2]) == ["true", "false"]
    assert column_label("decode.tokens_per_second") == "decode tokens/s"
    assert column_label("area_mm2") == "area (mm²)"
