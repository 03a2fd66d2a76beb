"""`inspect` as a reader gets it: JSON, tables, CSV, figures and the page."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from checkpoint_factory import Recipe, write_checkpoint
from click.testing import CliRunner, Result
from rich.console import Console

from accelsim.cli import main
from accelsim.inference import inspect
from accelsim.report.anatomy import by_kind, dead_note, inspect_table, narrow_note
from accelsim.report.anatomy_figures import inspection_figures
from accelsim.report.tables import TENSOR_COLUMNS
from accelsim.report.write import write_inspection

KEYS = {
    "checkpoint", "sha256", "config", "linear_weights", "zero_fraction", "tensors", "dense",
    "footprint", "text",
}  # fmt: skip
TENSOR_KEYS = {
    "name", "layer", "kind", "shape", "format", "zeros", "plus", "minus", "dead_outputs",
    "dead_inputs", "dead_weights", "entropy_bits", "widest_sum", "worst_bits", "any_weights_bits",
}  # fmt: skip
TEXT_KEYS = {"text_sum", "text_prefix", "text_magnitude", "text_bits"}
FOOTPRINT_KEYS = {
    "packing", "bytes", "bits_per_weight", "lossless", "decoder", "file_bytes", "refused",
}  # fmt: skip
FIGURES = {"weights_by_layer", "zeros_by_layer", "footprint_by_packing", "accumulator_bits"}
KINDS = ["q", "k", "v", "o", "gate", "up", "down"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "c", Recipe(layers=3))


@pytest.fixture(scope="module")
def inspected(folder: Path) -> dict[str, Any]:
    return inspect(str(folder), token_ids="1,2,3,4,5,6", tokens=5)


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(linear_class=None, layers=1)
    return write_checkpoint(tmp_path_factory.mktemp("floats") / "f", recipe)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="accelsim")


def shown(renderable: Any) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text()


class _References(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"img", "image", "link", "iframe"}:
            self.found.append(tag)
        self.found += [v or "" for name, v in attrs if name in {"src", "srcset"}]


def test_the_keys_of_the_json_are_stable(folder: Path) -> None:
    answer = json.loads(call("inspect", folder, "--json").stdout)
    assert set(answer) == KEYS
    assert answer["text"] is None
    assert all(set(row) == TENSOR_KEYS for row in answer["tensors"])
    assert all(set(row) == FOOTPRINT_KEYS for row in answer["footprint"])
    assert all(set(row) == {"name", "shape", "format", "bytes"} for row in answer["dense"])
    measured = json.loads(call("inspect", folder, "--token-ids", "1,2", "--json").stdout)
    assert measured["text"] == {"source": "prompt", "tokens": 2}
    assert all(set(row) == TENSOR_KEYS | TEXT_KEYS for row in measured["tensors"])


def test_totals_are_sums_of_the_tensors(inspected: dict[str, Any]) -> None:
    weights = sum(row["shape"][0] * row["shape"][1] for row in inspected["tensors"])
    counted = sum(row["zeros"] + row["plus"] + row["minus"] for row in inspected["tensors"])
    assert inspected["linear_weights"] == weights == counted
    zeros = sum(row["zeros"] for row in inspected["tensors"])
    assert inspected["zero_fraction"] == zeros / weights
    assert inspected["text"]["tokens"] == 5


def test_kinds_sum_their_layers_up(inspected: dict[str, Any]) -> None:
    kinds = by_kind(inspected["tensors"])
    assert [row["kind"] for row in kinds] == KINDS
    for kind in kinds:
        rows = [row for row in inspected["tensors"] if row["kind"] == kind["kind"]]
        shares = [row["zeros"] / (row["shape"][0] * row["shape"][1]) for row in rows]
        assert kind["tensors"] == 3
        assert kind["zero"] == pytest.approx(sum(shares) / 3)
        assert (kind["zero_low"], kind["zero_high"]) == (min(shares), max(shares))
        assert kind["minus"] + kind["zero"] + kind["plus"] == pytest.approx(1)
        assert kind["text_bits"] == max(row["text_bits"] for row in rows)


def test_notes_count_dead_weights_and_narrow_accumulators() -> None:
    row = {"format": "ternary", "shape": [4, 10], "worst_bits": 16, "dead_weights": 10}
    wide = {**row, "worst_bits": 17, "text_bits": 12, "dead_weights": 0}
    assert narrow_note([row]) == "16 bits hold any sum of 1 of 1 ternary linears."
    rows = [{**row, "text_bits": 17}, wide]
    assert narrow_note(rows).endswith("and every running sum of 1 of them on the text.")
    assert dead_note([row, wide]).startswith("10 weights (12.5 %) ")


def test_the_terminal_shows_kinds_layers_sums_and_packings(inspected: dict[str, Any]) -> None:
    text = shown(inspect_table(inspected))
    for line in (
        "weights by kind",
        "share of zero weights by layer",
        "signed accumulator bits",
        "all ternary weights in every packing",
        "entropy limit",
        "tq1_0: no file: inputs do not fit the packing (32)",
        "The text: 5 tokens of prompt.",
        "beside the linears: model.embed_tokens.weight 61 x 32 BF16",
    ):
        assert line in text
    assert "linear class" in text
    rows = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert all(rows.count(kind) == 2 for kind in KINDS)  # weights, then sums
    assert "…" not in text


def test_figures_have_a_title_a_caption_and_axes_with_units(inspected: dict[str, Any]) -> None:
    pictures = {picture.name: picture for picture in inspection_figures(inspected)}
    assert set(pictures) == FIGURES
    for picture in pictures.values():
        assert picture.title
        assert picture.caption.endswith(".")
        drawn = [axes for axes in picture.figure.axes if axes.get_visible()]
        labels = {axes.get_xlabel() for axes in drawn} | {axes.get_ylabel() for axes in drawn}
        assert labels - {""}
    assert len([a for a in pictures["weights_by_layer"].figure.axes if a.get_visible()]) == 7


@pytest.mark.parametrize("layers", [1, 40])
def test_figures_hold_for_one_layer_and_for_many(inspected: dict[str, Any], layers: int) -> None:
    first = inspected["tensors"][:7]
    many = [{**row, "layer": layer} for layer in range(layers) for row in first]
    pictures = list(inspection_figures({**inspected, "tensors": many}))
    assert {picture.name for picture in pictures} == FIGURES


def test_a_folder_gets_json_csv_figures_and_a_page(
    inspected: dict[str, Any], tmp_path: Path
) -> None:
    written = write_inspection(inspected, tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in written} == {
        "inspect.json",
        "tensors.csv",
        "report.html",
        *(f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")),
    }
    written_rows = json.loads((tmp_path / "inspect.json").read_text())
    assert written_rows == json.loads(json.dumps(inspected))
    for name in FIGURES:
        assert (tmp_path / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        drawing = ElementTree.parse(tmp_path / f"figures/{name}.svg")
        tags = {element.tag.rpartition("}")[2] for element in drawing.iter()}
        assert "path" in tags
        assert "image" not in tags  # the page may not show one
    page = (tmp_path / "report.html").read_text()
    references = _References()
    references.feed(page)
    assert references.found == []
    for row in inspected["tensors"]:
        assert row["name"] in page


def test_the_csv_holds_a_line_per_tensor(inspected: dict[str, Any], tmp_path: Path) -> None:
    write_inspection(inspected, tmp_path)
    with (tmp_path / "tensors.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(inspected["tensors"])
    for line, row in zip(lines, inspected["tensors"], strict=True):
        assert tuple(line) == TENSOR_COLUMNS
        assert [int(line["outputs"]), int(line["inputs"])] == row["shape"]
        assert int(line["text_prefix"]) == row["text_prefix"]
        assert float(line["entropy_bits"]) == row["entropy_bits"]


def test_the_same_checkpoint_gives_the_same_bytes(
    inspected: dict[str, Any], tmp_path: Path
) -> None:
    first = write_inspection(inspected, tmp_path / "a")
    second = write_inspection(inspected, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_a_network_of_floats_is_shown_without_ternary_tables(floats: Path, tmp_path: Path) -> None:
    outcome = call("inspect", floats, "--out", tmp_path / "out")
    assert outcome.exit_code == 0
    assert "32 x 32" in outcome.stdout
    assert "packing" not in outcome.stdout
    assert not (tmp_path / "out/figures").exists()
    assert "model.layers.0.mlp.up_proj" in (tmp_path / "out/report.html").read_text()


def test_without_a_folder_nothing_is_written_and_the_way_to_figures_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("inspect", folder)
    assert outcome.stdout.splitlines()[-1] == "figures and tables: --out DIR"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--prompt", "a", "--token-ids", "1"), "inspect: give one of --text, --prompt"),
        (("--token-ids", "1", "--tokens", "0"), "--tokens: out of range (0); allowed: 1 or more"),
        (("--token-ids", "99"), "--token-ids: token outside the vocabulary (99)"),
        (("--token-ids", "a"), "--token-ids: is no list of token ids (a)"),
        (("--prompt", "a"), "has no tokenizer.json"),
    ],
)
def test_a_wrong_text_is_refused(folder: Path, options: tuple[str, ...], line: str) -> None:
    outcome = call("inspect", folder, *options)
    assert outcome.exit_code == 2
    assert line in outcome.stderr


def test_a_text_is_cut_to_the_longest_context(folder: Path) -> None:
    ids = ",".join(["5"] * 100)
    assert inspect(str(folder), token_ids=ids)["text"]["tokens"] == 96


def test_a_text_needs_ternary_linears(floats: Path) -> None:
    outcome = call("inspect", floats, "--token-ids", "1")
    assert outcome.exit_code == 2
    assert "no linear is ternary" in outcome.stderr
