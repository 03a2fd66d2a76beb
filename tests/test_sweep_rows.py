"""A row of a sweep runs again: with the same inputs silently, with others and a note on which."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sweep_factory import AXES, NETWORK, write_sweep

from accelsim import sweeps
from accelsim.cli import main
from accelsim.locate import DESIGNS, shipped

ROW = 3  # of eight designs, four of which cannot be built


@pytest.fixture(autouse=True)
def _a_finished_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped("hw_configs/technology"), "technology")
    content = yaml.safe_load((shipped(DESIGNS) / "ternary_os_32x32.yaml").read_text())
    content["technology"] = "technology/7nm.yaml"
    Path("base.yaml").write_text(yaml.safe_dump(content))
    write_sweep(base="base.yaml", axes=AXES[2:])
    sweeps.sweep("sweep.yaml", out=Path("out"))


def again(*options: str, row: int = ROW) -> tuple[dict[str, Any], str]:
    """Return the summary of a row that runs again, and what a terminal shows of it."""
    command = ["run", f"out#{row}", "--no-report", "--out", "again", *options]
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 0, shown.output
    return json.loads(Path("again/summary.json").read_text()), shown.stdout


def change_network() -> None:
    Path("net.yaml").write_text(yaml.safe_dump(NETWORK | {"intermediate_size": 128}))


def change_price() -> None:
    path = Path("technology/7nm.yaml")
    text = path.read_text()
    assert "32: {value: 0.03," in text
    path.write_text(text.replace("32: {value: 0.03,", "32: {value: 0.05,"))


def change_comment() -> None:
    """Another hash, the same numbers: who only sees hashes cannot know, and says so."""
    path = Path("technology/7nm.yaml")
    path.write_text(path.read_text() + "# a remark\n")


def of_notes(notes: list[str]) -> list[str]:
    return [note for note in notes if "of the sweep" in note]


def test_a_row_with_the_inputs_of_its_sweep_has_no_note_on_them() -> None:
    summary, shown = again()
    assert not of_notes(summary["notes"])
    assert "changed since" not in shown


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_network, "workload ternary"),
        (change_price, "technology technology/7nm.yaml"),
        (change_comment, "technology technology/7nm.yaml"),
    ],
)
def test_a_row_with_other_inputs_names_what_changed(change: Callable[[], None], what: str) -> None:
    change()
    summary, shown = again()
    (note,) = of_notes(summary["notes"])
    assert note.startswith(f"{what} changed since row {ROW} of sweep small was evaluated: ")
    assert " ".join(f"note: {note}".split()) in " ".join(shown.split())
    manifest = json.loads(Path("again/manifest.json").read_text())
    assert note in manifest["notes"]


def test_other_code_is_named_with_whatever_else_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    change_network()
    monkeypatch.setattr("accelsim.explore.inputs._code_digest", lambda: "another")
    (note,) = of_notes(again()[0]["notes"])
    assert note.startswith("code of accelsim, workload ternary changed since row 3 of sweep small")


def test_fields_that_a_reader_sets_are_no_change_of_inputs() -> None:
    content, _ = again("--set", "technology=45nm", "--set", "clock_mhz=100")
    assert not of_notes(content["notes"])
    assert content["clock_mhz"] == 100


def test_a_comparison_of_rows_brings_its_own_workload_and_names_changed_prices() -> None:
    change_network()
    change_price()
    options = ["--network", "net.yaml", "--prefill", "9", "--decode", "1", "--out", "both"]
    shown = CliRunner().invoke(main, ["compare", "out#1", "out#3", "--no-report", *options])
    assert shown.exit_code == 0, shown.output
    for design in json.loads(Path("both/compare.json").read_text())["designs"]:
        (note,) = of_notes(design["notes"])
        assert note.startswith("technology technology/7nm.yaml changed since row ")
