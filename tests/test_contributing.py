"""The examples of CONTRIBUTING.md, run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from accelsim import formats
from accelsim.cli import main
from accelsim.formats import Packing
from accelsim.hardware import pe
from accelsim.hardware.pe import PE
from accelsim.locate import TECHNOLOGIES, shipped

PAGE = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def block(marker: str) -> str:
    """Return the one fenced block that holds ``marker``."""
    (found,) = [b for b in re.findall(r"```\w+\n(.*?)```", PAGE, flags=re.DOTALL) if marker in b]
    return found


def run(design: str, *more: str) -> dict[str, Any]:
    Path("mine.yaml").write_text(block("# mine.yaml"))
    arguments = ["run", design, "--network", "mine.yaml", "--prefill", "4", "--decode", "2"]
    result = CliRunner().invoke(main, [*arguments, "--json", "--no-report", "--out", "out", *more])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def technology() -> Path:
    """A copy of the technologies, to change."""
    shutil.copytree(shipped(TECHNOLOGIES), "technology")
    return Path("technology")


def test_the_design_and_the_network_run() -> None:
    Path("tiny.yaml").write_text(block("# tiny.yaml"))
    summary = run("tiny.yaml")
    assert summary["design"] == "tiny"
    assert summary["network"] == "mine"


def test_the_price_replaces_the_estimate(technology: Path) -> None:
    content = yaml.safe_load((technology / "7nm.yaml").read_text())
    content["name"] = "mine"
    content["prices"] |= yaml.safe_load(block("# 7nm-mine.yaml"))["prices"]
    (technology / "mine.yaml").write_text(yaml.safe_dump(content))
    before = run("ternary_os_32x32", "--set", f"technology={technology / '7nm.yaml'}")
    after = run("ternary_os_32x32", "--set", f"technology={technology / 'mine.yaml'}")
    assert before["price_share"]["synthesised"] == 0 < after["price_share"]["synthesised"]


def test_the_pe_computes_and_is_priced(technology: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = eval(block('name="int8_int4_mac"'), {"PE": PE})
    monkeypatch.setitem(pe.PES, row.name, row)
    formulas = technology / "shared" / "formulas.yaml"
    content = yaml.safe_load(formulas.read_text())
    content["prices"] |= yaml.safe_load(block("# formulas.yaml"))["prices"]
    formulas.write_text(yaml.safe_dump(content))
    at = ("--set", f"technology={technology / '7nm.yaml'}")
    narrow = run("int8_os_32x32", "--set", f"array.pe={row.name}", *at)
    wide = run("int8_os_32x32", *at)
    assert narrow["area_mm2"]["array"] < wide["area_mm2"]["array"]
    for phase, cost in narrow["phases"].items():
        array = wide["phases"][phase]["energy_by_component"]["array"]
        assert 0 < cost["energy_by_component"]["array"] < array


def test_the_packing_moves_its_own_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    row = eval(block('Packing("ternary3in5"'), {"Packing": Packing})
    monkeypatch.setitem(formats.PACKINGS, row.name, row)
    thin = run("ternary_os_32x32", "--set", f"weights.packing={row.name}")["phases"]
    wide = run("ternary_os_32x32")["phases"]
    assert thin["decode"]["dram_bytes"] < wide["decode"]["dram_bytes"]
