"""Figures, page, timeline and terminal tables: complete, self-contained, the same bytes."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib
import pytest
from result_factory import make_comparison, make_result
from rich.console import Console

from accelsim.errors import UserError
from accelsim.report.figures import run_figures
from accelsim.report.palette import COLOURS, PALETTE
from accelsim.report.style import inline, png, svg
from accelsim.report.terminal import (
    compare_tables,
    gemm_table,
    infer_table,
    listing_table,
    mapping_table,
    run_tables,
)
from accelsim.report.timeline import timeline_json
from accelsim.report.write import write_report
from accelsim.result import HOWS, Segment

RUN_FIGURES = {
    "waterfall",
    "energy_by_component",
    "energy_by_operator",
    "cycles_by_operator",
    "area_by_component",
    "roofline",
}
COMPARE_FIGURES = {
    "waterfall",
    "gain",
    "energy_by_component",
    "energy_by_kind",
    "time_by_design",
    "area_by_component",
    "roofline",
}
EVIL = "<script>alert('$x$')</script>"


class Page(HTMLParser):
    """Tags, attributes and text of a page; void elements aside, tags must close in order."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)

    def values(self, attribute):
        return [value for _, name, value in self.attributes if name == attribute]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_report(make_result(), folder)
    return folder


@pytest.fixture(scope="module")
def compare_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_report(make_comparison(), folder)
    return folder


def page_of(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("which", "names"), [("run_folder", RUN_FIGURES), ("compare_folder", COMPARE_FIGURES)]
)
def test_every_figure_is_there_as_png_svg_and_in_the_page(which, names, request):
    folder = request.getfixturevalue(which)
    assert {p.name for p in (folder / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in names for suffix in ("png", "svg")
    }
    for name in names:
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert {v for v in page_of(folder).values("id") if v.startswith("figure-")} == {
        f"figure-{name}" for name in names
    }


@pytest.mark.parametrize("which", ["run_folder", "compare_folder"])
def test_page_is_well_formed_and_refers_to_nothing_outside(which, request):
    page = page_of(request.getfixturevalue(which))
    assert page.open == []
    assert not {"img", "link", "iframe", "object", "base"} & set(page.tags)
    assert page.values("src") == []
    targets = page.values("href") + page.values("xlink:href")
    assert targets
    assert all(target.startswith("#") for target in targets)
    text = "".join(page.words) + " ".join(value for *_, value in page.attributes)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", text))


@pytest.mark.parametrize("which", ["run_folder", "compare_folder"])
def test_page_links_reach_an_id_that_exists_once(which, request):
    page = page_of(request.getfixturevalue(which))
    ids = [value for tag, name, value in page.attributes if name == "id"]
    anchors = [v for tag, name, v in page.attributes if (tag, name) == ("a", "href")]
    assert all(ids.count(anchor[1:]) == 1 for anchor in anchors)
    references = {v[1:] for v in page.values("xlink:href")}
    assert references <= set(ids)


def test_page_is_accessible(run_folder):
    page = page_of(run_folder)
    assert ("html", "lang", "en") in page.attributes
    roles = [name for tag, name, value in page.attributes if (name, value) == ("role", "img")]
    assert len(roles) >= len(RUN_FIGURES)
    heads = page.tags.count("th")
    assert heads == sum(1 for tag, name, _ in page.attributes if (tag, name) == ("th", "scope"))


def test_page_tells_prices_with_sources_marks_and_notes(run_folder):
    result, page = make_result(), page_of(run_folder)
    words = " ".join("".join(page.words).split())
    for price in {charge.price for charge in result.charges}:
        assert price.name in words
        assert price.source in words
    marked = {how for how in HOWS[-3:] if any(c.price.how == how for c in result.charges)}
    html = (run_folder / "report.html").read_text(encoding="utf-8")
    assert all(f'<span class="mark">{how}</span>' in html for how in marked)
    assert '<span class="mark">published</span>' not in html
    assert result.notes[0] in words
    assert (
        "accelsim run ternary_os_32x32.yaml --network bitnet-b1.58-2b-4t "
        "--prefill 256 --decode 64 --batch 1 --seed 0"
    ) in words


def test_compare_page_tells_the_gain_and_its_split(compare_folder):
    words = " ".join("".join(page_of(compare_folder).words).split())
    gain = make_comparison().gain["ternary_os_32x32"]
    for part in (gain.total, gain.format, gain.arithmetic):
        assert f"{part['total']:.2f}×" in words


def test_names_are_escaped_everywhere(tmp_path):
    plain = make_result()
    operators = tuple(replace(row, name=EVIL) for row in plain.operators)
    result = make_result(
        design=EVIL,
        network=EVIL,
        description=EVIL,
        technology=EVIL,
        notes=(EVIL,),
        operators=operators,
        manifest={EVIL: EVIL, "command": ["accelsim", "run", "my file.yaml"]},
        design_config={EVIL: EVIL},
        paper={EVIL: {"x": EVIL}},
    )
    write_report(result, tmp_path)
    page = page_of(tmp_path)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert EVIL in "".join(page.words)
    assert "accelsim run 'my file.yaml'" in "".join(page.words)


def test_comparison_of_evil_names_stays_in_its_folder_and_escapes(tmp_path):
    comparison = make_comparison()
    first, second = comparison.results
    evil = make_comparison(
        results=(first, replace(second, design=EVIL)),
        waterfall={
            phase: {EVIL: next(iter(rows.values()))} for phase, rows in comparison.waterfall.items()
        },
        gain={EVIL: next(iter(comparison.gain.values()))},
    )
    write_report(evil, tmp_path)
    assert page_of(tmp_path).tags.count("script") == 1
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 3


def test_two_reports_have_the_same_bytes(compare_folder, tmp_path):
    for path in write_report(make_comparison(), tmp_path):
        assert path.read_bytes() == (compare_folder / path.relative_to(tmp_path)).read_bytes()


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    picture = next(run_figures(make_result()))
    assert png(picture)
    assert svg(picture)
    assert dict(matplotlib.rcParams) == before


def test_a_run_without_decode_shows_one_phase_and_repeats(tmp_path):
    first = write_report(make_result(decode=0), tmp_path / "a")
    second = write_report(make_result(decode=0), tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    words = "".join(page_of(tmp_path / "a").words)
    assert "NaN" not in words
    assert "n/a" not in words
    assert "memory-bound" not in words.partition("Where the energy goes")[0]


def test_several_candidates_have_a_waterfall_each(tmp_path):
    two = make_comparison()
    first, second = two.results
    third = replace(second, design="third")
    rows = {p: {**by, "third": next(iter(by.values()))} for p, by in two.waterfall.items()}
    gain = {**two.gain, "third": two.gain["ternary_os_32x32"]}
    write_report(
        make_comparison(results=(first, second, third), waterfall=rows, gain=gain), tmp_path
    )
    names = {p.stem for p in (tmp_path / "figures").iterdir()}
    assert {"waterfall_1", "waterfall_2"} <= names


def test_an_unwritable_page_is_a_user_error(tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(make_result(), tmp_path)


def test_colours_differ_in_lightness_and_become_variables():
    def lightness(colour):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    levels = [lightness(colour) for colour in PALETTE.values()]
    assert all(b - a > 20 for a, b in pairwise(levels))
    assert len(set(COLOURS.values())) == len(COLOURS)
    drawn = f'<?xml?><svg viewBox="0 0 1 1"><path id="p" style="fill: {PALETTE["p0"]}"/></svg>'
    assert "fill: var(--p0)" in inline(drawn.encode())


def test_timeline_tracks_run_forward_without_overlap():
    late = Segment("prefill", "q_proj", "array", 10**9, 30, 10**9 - 400, 430)
    long = Segment("prefill", "o_proj", "array", 10**9 + 30, 30, 10**9 - 100, 160)
    result = make_result(clock_mhz=700.0)
    result = replace(result, timeline=(*result.timeline, late, long))
    events = json.loads(timeline_json(result))["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    ends = {}
    for event in spans:
        track = (event["pid"], event["tid"])
        assert event["dur"] > 0
        assert event["ts"] >= ends.get(track, 0.0) - 1e-6
        ends[track] = event["ts"] + event["dur"]
    assert ends[0, 3] == pytest.approx((10**9 + 60) / 700.0, abs=1e-5)
    assert len({event["pid"] for event in spans}) == 3
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {"array", "mac", "vector", "dram"}


def test_timeline_times_are_cycles_at_the_clock_and_args_hold_shapes():
    segments = (Segment("prefill", "q_proj", "array", 10, 30, 0, 20),)
    events = json.loads(timeline_json(make_result(timeline=segments, clock_mhz=500.0)))
    unit, dram = [e for e in events["traceEvents"] if e["ph"] == "X"]
    assert (unit["ts"], unit["dur"], dram["ts"], dram["dur"]) == (0.02, 0.06, 0.0, 0.04)
    assert {key: unit["args"][key] for key in "mkn"} == {"m": 256, "k": 2560, "n": 2560}


def shown(renderable, width=90):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text()


def test_terminal_tells_rates_causes_energy_evidence_and_notes():
    text = shown(run_tables(make_result()), width=80)
    for words in (
        "tokens/s",
        "49.1 mJ",
        "memory stall",
        "DRAM",
        "! extrapolated",
        "note: Operands",
    ):
        assert words in text
    assert "…" not in text


def test_terminal_does_not_read_markup_in_names():
    text = shown(run_tables(make_result(design="[bold]x[/bold]", notes=("[red]n[/red]",))))
    assert "[bold]x[/bold]" in text
    assert "[red]n[/red]" in text


def test_terminal_comparison_ends_with_the_gain():
    text = shown(compare_tables(make_comparison()), width=120)
    for words in ("6.52×", "leakage and idle", "arithmetic", "baseline energy over this"):
        assert words in text


def test_terminal_shows_a_gemm():
    gemm = {
        "m": 4,
        "k": 64,
        "n": 32,
        "cycles": 1234,
        "folds": 2,
        "cycles_by_cause": {"ideal": 1000, "spatial_stall": 200, "temporal_stall": 34},
        "utilisation": {"mapping": 0.83, "compute": 0.81, "overall": 0.81},
        "counts": {"steps": 8192, "accumulator_writes": 128},
        "energy_pj": 1500.0,
        "energy_by_component_pj": {"array": 500.0, "sram": 1000.0, "dram": 0.0},
    }
    text = shown(gemm_table(gemm))
    for words in ("4 x 64 x 32", "1,234 in 2 folds", "8,192", "1.50 nJ", "66.7 %"):
        assert words in text
    assert "DRAM" not in text
    without = {**gemm, "energy_pj": None, "energy_by_component_pj": None}
    assert "energy" not in shown(gemm_table(without))


def test_terminal_shows_plain_rows_mappings_and_text():
    rows = [{"name": "[a]", "layers": 1200, "ternary": True}, {"name": "b", "layers": 3}]
    text = shown(listing_table(rows))
    assert [line.split() for line in text.splitlines()] == [
        ["name", "layers", "ternary"],
        ["[a]", "1,200", "yes"],
        ["b", "3"],
    ]
    assert "0.500" in shown(mapping_table({"a": {"fp16_add": 0.5}, "b": None}))
    said = {"checkpoint": "c", "sha256": "ff", "tokens": [7, 9], "text": None}
    assert shown(infer_table(said)).startswith("7 9")
    quality = {"perplexity": 9.5, "bits_per_character": 1.25, "tokens": 1000}
    assert "perplexity 9.5" in shown(infer_table({**said, "text": "hi", "quality": quality}))


def test_terminal_shows_what_an_emulation_changed():
    tally = {
        "outputs": 4000,
        "differing": 500,
        "relative_rms_error": 0.25,
        "largest_sum": 3210,
        "sum_bits": 13,
        "largest_prefix": 5432,
        "prefix_bits": 14,
    }
    prompt = {"positions": 8, "changed": 2, "tokens": [7, 8], "text": None, "first_difference": 1}
    quality = {"perplexity": 19.5, "bits_per_character": 2.5, "tokens": 1000}
    emulation = {
        "arithmetic": "saturate:12",
        "prompt": prompt,
        "text": {"positions": 1000, "changed": 30, "quality": quality},
        "linears": {"q_proj": tally, "all": tally},
    }
    said = {"checkpoint": "c", "sha256": "ff", "tokens": [7, 9], "text": None}
    text = shown(infer_table({**said, "emulation": emulation}))
    for words in ("7 9", "as saturate:12:", "7 8", "2 of 8 prompt positions", "from number 1"):
        assert words in text
    for words in ("perplexity 19.5", "30 of 1,000 text positions", "(3.0 %)"):
        assert words in text
    cells = ["4,000", "500", "12.5", "%", "25.0", "%", "3,210", "13", "5,432", "14"]
    assert [line.split() for line in text.splitlines() if line.startswith(("q proj", "all"))] == [
        ["q", "proj", *cells],
        ["all", *cells],
    ]
    same = {**emulation, "prompt": {**prompt, "first_difference": None}}
    assert "the same new tokens" in shown(infer_table({**said, "emulation": same}))
