"""The contract of summary.json, and files that agree with it to the last joule."""

import csv
import io
import json
import math
import subprocess
import sys
from importlib.resources import files
from types import MappingProxyType

import jsonschema
import numpy as np
import pytest
from referencing import Registry, Resource
from result_factory import make_comparison, make_result

from accelsim.errors import UserError
from accelsim.report.summary import compare_summary, summary
from accelsim.report.write import folder_names, write_numbers
from accelsim.result import CAUSES, COMPONENTS, HOWS, PHASES, Gain

NUMBER_FILES = ["summary.json", "operators.csv", "energy.csv", "area.csv", "manifest.json"]


def schema(name):
    return json.loads(files("accelsim.report").joinpath(f"{name}.schema.json").read_text())


def check(name, content):
    documents = [schema("summary"), schema("compare")]
    registry = Registry().with_resources((d["$id"], Resource.from_contents(d)) for d in documents)
    validator = jsonschema.Draft202012Validator(schema(name), registry=registry)
    validator.validate(json.loads(json.dumps(content, allow_nan=False)))


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.mark.parametrize("result", [make_result(), make_result(decode=0)])
def test_summary_follows_its_schema(result):
    check("summary", summary(result))


def test_summary_has_the_keys_of_the_contract_and_no_others():
    content = summary(
        make_result(quality={"perplexity": 9.0, "bits_per_character": 1, "tokens": 5})
    )
    assert list(content) == list(schema("summary")["properties"])
    phase = content["phases"]["decode"]
    assert list(phase) == list(schema("summary")["$defs"]["phase"]["properties"])
    assert list(phase["energy_by_component"]) == list(COMPONENTS)
    assert list(phase["cycles_by_cause"]) == list(CAUSES)
    assert list(content["price_share"]) == list(HOWS)


def test_schema_refuses_nan_text_and_a_missing_key():
    for key, value in (("energy_j", "1"), ("bound", "luck"), ("tokens", -1)):
        content = summary(make_result())
        content["phases"]["prefill"][key] = value
        with pytest.raises(jsonschema.ValidationError):
            check("summary", content)
    content = summary(make_result())
    del content["price_share"]["measured"]
    with pytest.raises(jsonschema.ValidationError):
        check("summary", content)


def test_compare_follows_its_schema_and_carries_each_phase_of_the_gain():
    comparison = make_comparison()
    content = compare_summary(comparison)
    check("compare", content)
    gain = content["gain"]["ternary_os_32x32"]
    for split in (gain, gain["prefill"], gain["decode"]):
        assert split["format"] * split["arithmetic"] == pytest.approx(split["total"], rel=1e-12)
    designs = [d["phases"]["decode"]["energy_j"] for d in content["designs"]]
    assert gain["decode"]["total"] == pytest.approx(designs[0] / designs[1], rel=1e-12)
    last = content["waterfall"]["decode"]["ternary_os_32x32"][-1]
    assert [last["baseline_j"], last["candidate_j"]] == pytest.approx(designs, rel=1e-12)


def test_a_gain_that_is_missing_or_not_finite_is_null():
    gain = Gain({"total": 1.5}, {"total": math.nan}, {"total": math.inf, "prefill": 2.0})
    content = compare_summary(make_comparison(gain={"ternary_os_32x32": gain}))
    check("compare", content)
    row = content["gain"]["ternary_os_32x32"]
    assert (row["format"], row["arithmetic"], row["total"]) == (1.5, None, None)
    assert row["decode"] == {"format": None, "arithmetic": None, "total": None}


@pytest.mark.parametrize("phase", PHASES)
def test_energy_splits_sum_to_the_energy(phase):
    content = summary(make_result())["phases"][phase]
    added = 0.0
    for joules in content["energy_by_component"].values():
        added += joules
    assert added == content["energy_j"]
    assert math.fsum(content["energy_by_operator_kind"].values()) == pytest.approx(
        content["energy_j"], rel=1e-12
    )
    assert content["energy_j_low"] < content["energy_j"] < content["energy_j_high"]


def test_price_shares_sum_to_one_and_weigh_by_energy():
    result = make_result()
    share = summary(result)["price_share"]
    assert math.fsum(share.values()) == pytest.approx(1, rel=1e-12)
    energy = sum(float(phase.energy_pj.sum()) for phase in result.phases)
    published = sum(c.energy_pj for c in result.charges if c.price.how == "published")
    assert share["published"] == pytest.approx(published / energy, rel=1e-12)
    assert share["measured"] == 0


def test_time_power_and_utilisation_follow_from_cycles():
    content = summary(make_result())["phases"]["prefill"]
    cycles = content["cycles_by_cause"]
    assert sum(cycles.values()) == content["cycles"]
    assert content["seconds"] == pytest.approx(content["cycles"] / 1e9, rel=1e-12)
    assert content["tokens_per_second"] == pytest.approx(256 / content["seconds"], rel=1e-12)
    assert content["average_power_w"] * content["seconds"] == pytest.approx(content["energy_j"])
    mapped = cycles["ideal"] + cycles["spatial_stall"]
    assert content["utilisation"] == pytest.approx(
        {
            "mapping": cycles["ideal"] / mapped,
            "compute": cycles["ideal"] / (mapped + cycles["temporal_stall"]),
            "overall": cycles["ideal"] / content["cycles"],
        }
    )


def test_bound_is_the_largest_busy_time():
    result = make_result()
    for index, expected in ((0, "compute"), (1, "memory")):
        busy = result.phases[index].busy
        assert ("compute", "memory", "vector")[int(np.argmax(busy))] == expected
        assert summary(result)["phases"][PHASES[index]]["bound"] == expected


def test_a_phase_without_tokens_has_null_ratios():
    phase = summary(make_result(decode=0))["phases"]["decode"]
    nothing = ("tokens_per_second", "energy_j_per_token", "average_power_w", "bound")
    assert [phase[key] for key in nothing] == [None] * 4
    assert phase["utilisation"] == {"mapping": None, "compute": None, "overall": None}
    assert (phase["tokens"], phase["cycles"], phase["energy_j"]) == (0, 0, 0)


def test_csv_totals_equal_the_summary(tmp_path):
    result = make_result()
    write_numbers(result, tmp_path)
    content = json.loads((tmp_path / "summary.json").read_text())
    for phase in PHASES:
        expected = content["phases"][phase]
        lines = [r for r in read_csv(tmp_path / "energy.csv") if r["phase"] == phase]
        for column, key in (
            ("energy_j", "energy_j"),
            ("energy_j_low", "energy_j_low"),
            ("energy_j_high", "energy_j_high"),
        ):
            found = math.fsum(float(r[column]) for r in lines)
            assert found == pytest.approx(expected[key], rel=1e-12)
        rows = [r for r in read_csv(tmp_path / "operators.csv") if r["phase"] == phase]
        assert sum(int(r["cycles"]) for r in rows) == expected["cycles"]
        assert sum(int(r["dram_bytes"]) for r in rows) == expected["dram_bytes"]
        for component, joules in expected["energy_by_component"].items():
            found = math.fsum(float(r[f"{component}_j"]) for r in rows)
            assert found == pytest.approx(joules, rel=1e-12)
    areas = math.fsum(float(r["area_mm2"]) for r in read_csv(tmp_path / "area.csv"))
    assert areas == pytest.approx(content["area_mm2"]["total"], rel=1e-12)


def test_every_joule_can_be_traced_to_a_count_and_a_sourced_price(tmp_path):
    write_numbers(make_result(), tmp_path)
    lines = read_csv(tmp_path / "energy.csv")
    known = {p["name"]: p for p in json.loads((tmp_path / "manifest.json").read_text())["prices"]}
    for line in lines:
        picojoules = float(line["count"]) * float(line["quantity"]) * float(line["price_value"])
        assert float(line["energy_j"]) == pytest.approx(picojoules * 1e-12, rel=1e-12)
        assert line["source"] == known[line["price"]]["source"] != ""
        assert line["how"] in HOWS


def test_manifest_holds_versions_hashes_seed_and_the_design():
    from accelsim.report.tables import manifest_json

    result = make_result(manifest=MappingProxyType({"seed": np.int64(7), "versions": {"n": "2"}}))
    content = json.loads(manifest_json(result))
    assert (content["seed"], content["versions"]) == (7, {"n": "2"})
    assert content["design_config"]["array"]["rows"] == 32
    assert content["workload"] == {"prefill": 256, "decode": 64, "batch": 1}
    names = [p["name"] for p in content["prices"]]
    assert names == sorted(names)


def test_two_writes_give_the_same_bytes(tmp_path):
    first = write_numbers(make_result(), tmp_path / "a")
    second = write_numbers(make_result(), tmp_path / "b")
    assert [p.name for p in first] == NUMBER_FILES
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_a_comparison_writes_each_design_in_its_folder(tmp_path):
    paths = write_numbers(make_comparison(), tmp_path)
    assert paths[0] == tmp_path / "compare.json"
    for name in ("fmac_fp16_16x16", "ternary_os_32x32"):
        assert [tmp_path / name / file for file in NUMBER_FILES] == [
            p for p in paths if p.parent.name == name
        ]


def test_folder_names_stay_inside_and_apart():
    names = ["a", "A", "../../etc", "figures", "..", "a"]
    results = [make_result(design=name) for name in names]
    assert folder_names(results) == ["a", "A-2", "_.._etc", "figures-2", "design", "a-3"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_numbers(make_result(), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr("os.replace", _full_disk)
    with pytest.raises(UserError, match=r"summary\.json: cannot be written \(No space left\)"):
        write_numbers(make_result(design="other"), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def _full_disk(*_):
    raise OSError(28, "No space left")


def test_a_file_where_the_folder_should_be_is_a_user_error(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="cannot be written"):
        write_numbers(make_result(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_where_a_file_should_be_is_a_user_error(tmp_path):
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(UserError, match=r"summary\.json: cannot be written \(a folder"):
        write_numbers(make_result(), tmp_path)


def test_numbers_need_no_plotting_templates_or_pandas():
    code = (
        "import sys, accelsim.report.write;"
        "print([m for m in ('matplotlib', 'jinja2', 'pandas', 'rich', 'yaml') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
