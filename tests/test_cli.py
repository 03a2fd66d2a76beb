"""The command line: what it imports, what it prints, and what it says to wrong input."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from accelsim import __version__
from accelsim.cli import main
from accelsim.locate import DESIGNS, SWEEPS, TECHNOLOGIES, names, shipped

HERE = Path(__file__).resolve().parent
TINY = HERE / "golden" / "bitnet_tiny"
HEAVY = ("numpy", "numba", "pandas", "pydantic", "matplotlib")
SHAPE = {
    "name": "two-layers",
    "source": "made up for tests",
    "ternary": True,
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 16,
    "sub_norms": True,
    "max_positions": 4096,
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shape() -> str:
    Path("shape.yaml").write_text(yaml.safe_dump(SHAPE))
    return "shape.yaml"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="accelsim")


def answer(*arguments: object) -> Any:
    """Return the JSON that a command prints, and nothing else, on stdout."""
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refuse(*arguments: object) -> str:
    """Return the one line a wrong command prints; nothing else may have happened."""
    result = call(*arguments)
    assert isinstance(result.exception, SystemExit), f"{result.exception!r}: {result.output}"
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = [told for told in result.stderr.splitlines() if not told.startswith("first run: ")]
    assert not Path("out").exists()
    return line


def load(kind: str) -> Any:
    schema = json.loads(call("schema", kind).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def run_shape(shape: str, *more: object) -> tuple[object, ...]:
    return ("run", "ternary_os_32x32", "--network", shape, "--prefill", 3, "--decode", 2, *more)


# What it loads


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from accelsim.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as end: assert not end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_version_is_the_package_version() -> None:
    assert call("--version").stdout.strip().endswith(__version__)


def test_help_lists_every_command() -> None:
    text = call("--help").stdout
    for command in ("run", "compare", "gemm", "sweep", "infer", "inspect", "list", "schema"):
        assert f"\n  {command} " in text


def test_a_first_run_says_that_it_compiles(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelsim import kernels

    monkeypatch.setattr(kernels, "is_cold", lambda: True)
    told = call(*run_shape(shape, "--out", "out", "--no-report")).stderr.splitlines()
    assert told == ["first run: compiling, about half a minute, once"]
    # What is refused before anything compiles stays one line.
    assert call("run", "missing.yaml").stderr.count("\n") == 1
    assert call("infer", "missing/folder", "--token-ids", "1").stderr.count("\n") == 1


# What ships


@pytest.mark.parametrize("what", ["designs", "networks", "technologies", "pes", "sweeps"])
def test_what_ships_is_listed_in_full(what: str) -> None:
    listed = [row["name"] for row in answer("list", what)]
    assert listed
    shown = call("list", what).stdout
    for name in listed:
        assert name in shown  # a name cut by a narrow column could not be typed


def test_designs_and_technologies_on_disk_are_those_listed() -> None:
    assert [row["name"] for row in answer("list", "designs")] == names(DESIGNS)
    assert [row["name"] for row in answer("list", "technologies")] == names(TECHNOLOGIES)


@pytest.mark.parametrize("name", names(DESIGNS))
def test_shipped_designs_hold_to_the_printed_schema(name: str) -> None:
    content = yaml.safe_load((shipped(DESIGNS) / f"{name}.yaml").read_text())
    jsonschema.validate(content, load("design"))


@pytest.mark.parametrize("name", names(SWEEPS))
def test_shipped_sweeps_hold_to_the_printed_schema(name: str) -> None:
    content = yaml.safe_load((shipped(SWEEPS) / f"{name}.yaml").read_text())
    jsonschema.validate(content, load("sweep"))


def test_the_design_schema_refuses_an_unknown_key() -> None:
    content = yaml.safe_load((shipped(DESIGNS) / "ternary_os_32x32.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate(content | {"colour": "red"}, load("design"))


# What it answers


def test_a_run_prints_its_summary_and_writes_the_same(shape: str) -> None:
    printed = answer(*run_shape(shape, "--out", "out", "--no-report"))
    jsonschema.validate(printed, load("summary"))
    assert printed == json.loads(Path("out/summary.json").read_text())
    assert printed["weights"]["kind"] == "synthetic"
    for phase in printed["phases"].values():
        assert sum(phase["cycles_by_cause"].values()) == phase["cycles"]
        parts = sum(phase["energy_by_component"].values())
        assert parts == pytest.approx(phase["energy_j"], rel=1e-12)
        assert phase["energy_j_low"] <= phase["energy_j"] <= phase["energy_j_high"]
    assert sum(printed["price_share"].values()) == pytest.approx(1.0)
    written = {path.name for path in Path("out").iterdir()}
    assert written == {"summary.json", "operators.csv", "energy.csv", "area.csv", "manifest.json"}


def test_inference_names_the_weights_it_ran() -> None:
    printed = answer("infer", TINY, "--token-ids", "1,17,99", "--new-tokens", 4)
    assert len(printed["tokens"]) == 4
    assert (
        printed["sha256"] == hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()
    )


def test_the_shipped_network_runs_with_its_own_weights() -> None:
    printed = answer("run", "ternary_os_32x32", *("--prefill", 8, "--decode", 2), "--no-report")
    jsonschema.validate(printed, load("summary"))
    assert printed["network"] == "austen-12m"
    assert printed["weights"]["kind"] == "checkpoint"
    folder = Path("reports/ternary_os_32x32--austen-12m")
    assert json.loads((folder / "summary.json").read_text()) == printed


def test_the_same_command_writes_the_same_bytes(shape: str) -> None:
    for folder in ("first", "second"):
        assert call(*run_shape(shape, "--out", folder, "--no-report")).exit_code == 0
    for path in sorted(Path("first").iterdir()):
        assert path.read_bytes() == (Path("second") / path.name).read_bytes(), path.name


def test_a_comparison_prints_its_waterfall(shape: str) -> None:
    printed = answer(
        "compare",
        *("fp16_ws_32x32_packed", "int8_ws_32x32", "ternary_os_32x32"),
        *("--network", shape, "--prefill", 3, "--decode", 2, "--out", "out", "--no-report"),
    )
    jsonschema.validate(printed, load("compare"))
    assert [design["design"] for design in printed["designs"]] == [
        "fp16_ws_32x32_packed",
        "int8_ws_32x32",
        "ternary_os_32x32",
    ]
    for phase, candidates in printed["waterfall"].items():
        for name, rows in candidates.items():
            (design,) = (d for d in printed["designs"] if d["design"] == name)
            assert rows[-1]["candidate_j"] == pytest.approx(design["phases"][phase]["energy_j"])
    for gain in printed["gain"].values():
        assert gain["format"] * gain["arithmetic"] == pytest.approx(gain["total"])


def test_overrides_change_the_design(shape: str) -> None:
    small = answer(*run_shape(shape, "--out", "a", "--no-report", "--set", "array.rows=16"))
    large = answer(*run_shape(shape, "--out", "b", "--no-report"))
    assert small["area_mm2"]["array"] < large["area_mm2"]["array"]


GOLDEN_ROWS = [
    row
    for row in csv.DictReader((HERE / "golden" / "scalesim_16x16.csv").read_text().splitlines())
    if row["M"] in {"1", "16", "64", "100"}
]


@pytest.mark.parametrize("row", GOLDEN_ROWS, ids=lambda r: f"{r['dataflow']}-{r['M']}-{r['N']}")
def test_gemm_with_scalesim_timing_counts_as_that_simulator(row: dict[str, str]) -> None:
    design = f"ternary_{row['dataflow']}_32x32"
    size = ("--set", "array.rows=16", "--set", "array.cols=16")
    printed = answer("gemm", design, row["M"], row["K"], row["N"], "--timing", "scalesim", *size)
    assert printed["cycles"] == int(row["total_cycles"]) + 1


def test_gemm_prints_counts_a_person_can_check() -> None:
    printed = answer("gemm", "ternary_os_32x32", 32, 64, 32)
    assert printed["counts"]["steps"] == 32 * 64 * 32
    assert printed["counts"]["sram_output_writes"] == 32 * 32
    # docs/timing.md: a plain os tile takes K + 2 R + C - 1 cycles.
    assert printed["cycles"] == 64 + 2 * 32 + 32 - 1
    assert printed["cycles_by_cause"]["ideal"] == 64
    total = sum(printed["energy_by_component_pj"].values())
    assert printed["energy_pj"] == pytest.approx(total)


# What it says to wrong input

SET_CASES = [
    ("array.rowz=3", 'array.rowz: unknown key (3); did you mean "rows"?'),
    ("colour=red", "colour: unknown key (red)"),
    ("array.rows=many", "array.rows: input should be a valid integer (many)"),
    ("array.rows=0", "array.rows: input should be greater than or equal to 1 (0)"),
    ("array.rows=-5", "array.rows: input should be greater than or equal to 1 (-5)"),
    ("array.rows=1000000000", "array.rows: input should be less than or equal to 4096"),
    ("array.rows=1.5", "array.rows: input should be a valid integer"),
    ("array.dataflow=wss", "array.dataflow: input should be 'os', 'ws' or 'is' (wss)"),
    ("array.lanes=4", "array.lanes: a systolic PE has one lane; allowed: 1"),
    ("array.pe=ternary_ad", 'array.pe: unknown PE type (ternary_ad); did you mean "ternary_add"?'),
    ("array.accumulator.bits=8", "array.accumulator.bits: accumulator is too narrow"),
    ("technology=8nm", 'technology: unknown technology (8nm); did you mean "7nm"?'),
    ("weights.packing=ternary3", "weights.packing: unknown weight packing (ternary3)"),
    ("formats.kv=fp17", 'formats.kv: unknown number format (fp17); did you mean "fp16"?'),
    ("dram.kind=lpddr6", "dram.kind: unknown external memory"),
    ("dram.capacity_gib=0.000001", "dram.capacity_gib: weights and KV cache of two-layers do not"),
    ("clock_mhz=.nan", "clock_mhz: input should be a finite number (nan)"),
    ("clock_mhz=0", "clock_mhz: input should be greater than 0"),
    ("sram.weight.stream_kib=9999", "sram.weight.stream_kib: larger than capacity_kib"),
    ("sram={}", "sram.activation: is missing"),
    ("mac=null", "placement.attention: the design has no mac; allowed: array, vector"),
    ("array.rows", "--set: is no assignment (array.rows); expected KEY=VALUE"),
    ("array=[1", "--set:array: value is not valid YAML"),
    ("name.first=x", "--set:name.first: has no keys below it"),
]


@pytest.mark.parametrize(("assignment", "line"), SET_CASES)
def test_a_wrong_field_is_named(shape: str, assignment: str, line: str) -> None:
    assert line in refuse(*run_shape(shape, "--out", "out", "--set", assignment))


def test_a_tile_that_does_not_fit_is_refused(shape: str) -> None:
    size = ("--set", "array.rows=256", "--set", "array.cols=256", "--set", "array.dataflow=ws")
    line = refuse(*run_shape(shape, "--out", "out", *size, "--set", "sram.weight.stream_kib=1"))
    assert "sram.weight.stream_kib: cannot hold two tiles of the array (1); allowed: at" in line


def test_a_clock_above_the_best_of_the_technology_is_refused(shape: str) -> None:
    line = refuse(
        *("run", "fp16_os_32x32", "--network", shape, "--out", "out"),
        *("--set", "technology=45nm", "--set", "clock_mhz=5000"),
    )
    assert "clock_mhz: array PE fp16_fmac does not reach this clock in 45nm (5000.0)" in line
    assert "allowed: up to " in line


def test_a_missing_price_is_named(shape: str) -> None:
    shutil.copytree(shipped(TECHNOLOGIES), "technology")
    path = Path("technology/7nm.yaml")
    content = yaml.safe_load(path.read_text())
    needed = [name for name in content["prices"] if name.startswith("pe.fp16_fmac.")]
    for name in needed:
        del content["prices"][name]
    path.write_text(yaml.safe_dump(content))
    shared = Path("technology/shared/formulas.yaml")
    content = yaml.safe_load(shared.read_text())
    content["prices"] = {
        name: entry
        for name, entry in content["prices"].items()
        if not name.startswith("pe.fp16_fmac.accumulate.energy")
    }
    shared.write_text(yaml.safe_dump(content))
    technology = path.resolve()
    line = refuse(
        *("run", "fp16_os_32x32", "--network", shape, "--out", "out"),
        *("--set", f"technology={technology}"),
    )
    assert "missing price" in line
    assert "prices.pe.fp16_fmac." in line


WORKLOAD_CASES = [
    (("--prefill", 0), "--prefill: out of range (0); allowed: 1 to "),
    (("--prefill", -3), "--prefill: out of range (-3)"),
    (("--decode", -1), "--decode: out of range (-1); allowed: 0 to "),
    (("--batch", 0), "--batch: out of range (0); allowed: 1 to "),
    (("--prefill", 10**20), "--prefill: out of range (100000000000000000000)"),
    (("--prefill", 2 * 10**9, "--decode", 2 * 10**9), "--prefill: out of range (2000000000)"),
    (("--prefill", "x"), "accelsim run: Invalid value for '--prefill'"),
    (("--prompt", "hello"), "--prompt: needs weights, --network has shapes only (hello)"),
    (("--checkpoint", TINY), "--network: excludes --checkpoint"),
    (("--accounting", "half"), "accelsim run: Invalid value for '--accounting'"),
    (("--foo",), "accelsim run: No such option '--foo'"),
]


@pytest.mark.parametrize(("options", "line"), WORKLOAD_CASES)
def test_a_wrong_workload_is_refused(shape: str, options: tuple[object, ...], line: str) -> None:
    start = ("run", "ternary_os_32x32", "--network", shape, "--out", "out")
    assert line in refuse(*start, *options)


NAME_CASES = [
    (("run", "ternary_os_32x33"), 'DESIGN: unknown name (ternary_os_32x33); did you mean "tern'),
    (("run", "missing.yaml"), "DESIGN: no such file (missing.yaml)"),
    (("run", "ternary_os_32x32", "--network", "lama-3.2-1b"), 'did you mean "llama-3.2-1b"?'),
    (("run", "ternary_os_32x32", "--checkpoint", "no/where"), "--checkpoint: no such file"),
    (("compare", "ternary_os_32x32"), "compare: needs a baseline and a candidate"),
    (("compare", "int8_os_32x32", "int8_os_32x32"), "name: two designs have one name"),
    (("compare", "int8_os_32x32", "ternary_os_32x32", "--iso", "area"), "--iso: is not supported"),
    (("gemm", "ternary_os_32x32", 0, 1, 1), "gemm:M: out of range (0)"),
    (("gemm", "ternary_os_32x32", 1, 10**12, 1), "gemm:K: out of range (1000000000000)"),
    (("gemm", "ternary_os_32x32", 1, "a", 1), "accelsim gemm: Invalid value for 'K'"),
    (("gemm", "ternary_dot_8x8x16", 1, 1, 1, "--timing", "scalesim"), "--timing: SCALE-Sim has no"),
    (("list", "things"), "'things' is not one of 'designs', 'networks', 'technologies', 'pes'"),
    (("runn",), "accelsim: No such command 'runn'. Did you mean 'run'?"),
    (("run",), "accelsim run: Missing argument 'DESIGN'."),
]


@pytest.mark.parametrize(("arguments", "line"), NAME_CASES)
def test_a_wrong_name_is_refused(arguments: tuple[object, ...], line: str) -> None:
    assert line in refuse(*arguments)


BYTES_CASES = [
    (b"", "holds no mapping"),
    (b"- 1\n- 2\n", "holds no mapping ([1, 2]); expected KEY: VALUE lines"),
    (b"\xff\xfe\x00\x9c", "is not UTF-8 text"),
    (b"a: [1, 2\n", "is not valid YAML"),
    (b"a: &x 1\nb: *x\n", "line 2: is not valid YAML: aliases are not allowed"),
    (b"name: x\nname: y\n", "line 2: is not valid YAML: key 'name' is given twice"),
    (b"a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    (b"a: 1\n" + b"#" * (1 << 20), "file is too large"),
    (b"[" * 5000, "is not valid YAML"),
]


@pytest.mark.parametrize(("content", "line"), BYTES_CASES, ids=[c[1][:20] for c in BYTES_CASES])
def test_bytes_that_are_no_design_are_refused(content: bytes, line: str) -> None:
    Path("d.yaml").write_bytes(content)
    told = refuse("run", "d.yaml")
    assert told.startswith("d.yaml:")
    assert line in told


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_cut_design_is_refused(share: float) -> None:
    whole = (shipped(DESIGNS) / "ternary_os_32x32.yaml").read_bytes()
    Path("cut.yaml").write_bytes(whole[: int(len(whole) * share)])
    assert refuse("run", "cut.yaml", "--out", "out").startswith("cut.yaml:")


def test_a_cut_network_is_refused(shape: str) -> None:
    text = Path(shape).read_text()
    Path("cut.yaml").write_text(text[: len(text) // 2])
    line = refuse("run", "ternary_os_32x32", "--network", "cut.yaml", "--out", "out")
    assert line.startswith("cut.yaml:")


# Checkpoints


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _cut_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def _remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _remove_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _cut_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_bytes(path.read_bytes()[:40])


def _other_shape(folder: Path) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"vocab_size": content["vocab_size"] + 4}))


def _noise(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8)


CHECKPOINT_CASES: list[tuple[Callable[[Path], None], str]] = [
    (_truncate, "model.safetensors: wrong file size"),
    (_cut_header, "model.safetensors: header is longer than the file"),
    (_remove_weights, "model.safetensors: cannot be read"),
    (_remove_config, "config.json: cannot be read"),
    (_cut_config, "config.json"),
    (_other_shape, "model.safetensors:model.embed_tokens.weight: wrong shape"),
    (_noise, "model.safetensors: header is longer than the file"),
]


@pytest.mark.parametrize(("damage", "line"), CHECKPOINT_CASES)
@pytest.mark.parametrize("command", ["infer", "inspect", "run"])
def test_a_damaged_checkpoint_is_refused(
    command: str, damage: Callable[[Path], None], line: str
) -> None:
    shutil.copytree(TINY, "checkpoint")
    damage(Path("checkpoint"))
    arguments = {
        "infer": ("infer", "./checkpoint", "--token-ids", "1,2"),
        "inspect": ("inspect", "./checkpoint"),
        "run": ("run", "ternary_os_32x32", "--checkpoint", "./checkpoint", "--out", "out"),
    }
    assert line in refuse(*arguments[command])


def _sums(folder: Path) -> str:
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    )


def test_a_checkpoint_that_matches_its_hashes_runs() -> None:
    shutil.copytree(TINY, "checkpoint")
    Path("checkpoint/SHA256SUMS").write_text(_sums(Path("checkpoint")))
    assert answer("infer", "./checkpoint", "--token-ids", "1", "--new-tokens", 1)["tokens"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_checkpoint_that_differs_from_its_hashes_is_refused(name: str) -> None:
    shutil.copytree(TINY, "checkpoint")
    sums = _sums(Path("checkpoint")).splitlines(keepends=True)
    changed = [f"{'0' * 64}  {name}\n" if line.endswith(f" {name}\n") else line for line in sums]
    Path("checkpoint/SHA256SUMS").write_text("".join(changed))
    line = refuse("infer", "./checkpoint", "--token-ids", "1")
    assert f"checkpoint/{name}: does not match its hash" in line
    assert f"SHA256SUMS says {'0' * 64}" in line


@pytest.mark.parametrize("line", ["nonsense", f"{'0' * 64}  ../secret", f"{'0' * 63}  x"])
def test_malformed_hashes_are_refused(line: str) -> None:
    shutil.copytree(TINY, "checkpoint")
    Path("checkpoint/SHA256SUMS").write_text(f"{line}\n")
    told = refuse("infer", "./checkpoint", "--token-ids", "1")
    assert "checkpoint/SHA256SUMS:line 1: is no line of sha256sum" in told


INFER_CASES = [
    ((), "infer: nothing to do; give --prompt, --token-ids or --text"),
    (("--token-ids", ""), "--token-ids: is no list of token ids ()"),
    (("--token-ids", "1,x"), "--token-ids: is no list of token ids (1,x)"),
    (("--token-ids", "1,300"), "--token-ids: token outside the vocabulary (300); allowed: 0 to"),
    (("--token-ids", "-1"), "--token-ids: token outside the vocabulary (-1)"),
    (("--token-ids", "9" * 40), "--token-ids: token outside the vocabulary (99999"),
    (("--token-ids", "1" + ",1" * 300), "--token-ids: is longer than the network's longest"),
    (
        ("--token-ids", "1", "--new-tokens", -1),
        "--new-tokens: out of range (-1); allowed: 0 to 256",
    ),
    (("--token-ids", "1", "--new-tokens", 257), "--new-tokens: out of range (257); allowed: 0 to"),
    (("--token-ids", "1", "--prompt", "x"), "--token-ids: excludes --prompt (1)"),
    (("--prompt", "x"), "has no tokenizer.json"),
    (("--text", "missing.txt"), "missing.txt: cannot be read"),
    (("--token-ids", "1", "--temperature", -1), "--temperature: out of range (-1.0)"),
    (("--token-ids", "1", "--temperature", 1, "--top-k", 0), "--top-k: out of range (0)"),
    (("--token-ids", "1", "--temperature", 1, "--top-p", 2), "--top-p: out of range (2.0)"),
    (("--token-ids", "1", "--dump", "no/folder/x.npz"), "no/folder/x.npz: cannot be written"),
    (
        ("--token-ids", "1", "--emulate", "wrap:99"),
        "--emulate: no arithmetic of this name (wrap:99); allowed: exact, wrap:BITS, saturate:BITS",
    ),
    (("--token-ids", "1", "--emulate", "q8_k"), "q_proj: rows do not fit q8_k (128 weights)"),
    (("--token-ids", "1,x", "--emulate", "wrap:8"), "--token-ids: is no list of token ids (1,x)"),
    (("--text", "missing.txt", "--emulate", "wrap:8"), "missing.txt: cannot be read"),
]


@pytest.mark.parametrize(("options", "line"), INFER_CASES)
def test_wrong_inference_is_refused(options: tuple[object, ...], line: str) -> None:
    assert line in refuse("infer", TINY, *options)


def test_an_emulation_stands_beside_the_exact_answer() -> None:
    prompt = ("infer", TINY, "--token-ids", "1,17,99", "--new-tokens", 4)
    both = answer(*prompt, "--emulate", "wrap:9", "--dump", "narrow.npz")
    emulation = both.pop("emulation")
    assert both == answer(*prompt) == answer(*prompt, "--emulate", "exact")
    assert emulation["arithmetic"] == "wrap:9"
    assert emulation["prompt"]["positions"] == 3
    sums = [value for key, value in np.load("narrow.npz").items() if key.endswith(".acc")]
    assert min(map(np.min, sums)) == -256
    assert max(map(np.max, sums)) == 255
    assert np.load("narrow.npz")["tokens"].tolist() == emulation["prompt"]["tokens"]


def test_the_last_position_of_the_context_can_be_used() -> None:
    printed = answer("infer", TINY, "--token-ids", "1", "--new-tokens", 256)
    assert len(printed["tokens"]) == 256


SHIPPED_CASES = [
    (("run", "ternary_os_32x32", "--prompt", ""), "--prompt: the text is empty"),
    (("run", "ternary_os_32x32", "--prompt", "a", "--prefill", 9), "--prefill: asks for more tok"),
    (("run", "ternary_os_32x32", "--prefill", 600), "--prefill: prefill and decode pass the long"),
    (("run", "ternary_os_32x32", "--prompt", "a", "--batch", 2), "--prompt:--batch: takes one"),
    (("run", "ternary_os_32x32", "--text", "missing.txt"), "missing.txt: cannot be read"),
    (("infer", "austen-12m", "--prompt", ""), "--prompt: the text is empty"),
    (("infer", "austen-12m", "--text", "empty.txt"), "empty.txt: the text is empty"),
    (("infer", "austen-12m", "--text", "bytes.txt"), "bytes.txt: is not UTF-8 text"),
]


@pytest.mark.parametrize(("arguments", "line"), SHIPPED_CASES)
def test_a_wrong_text_for_the_shipped_network_is_refused(
    arguments: tuple[object, ...], line: str
) -> None:
    Path("empty.txt").write_bytes(b"")
    Path("bytes.txt").write_bytes(b"\xff\xfe")
    out = ("--out", "out") if arguments[0] == "run" else ()
    assert line in refuse(*arguments, *out)


# Output


def test_a_file_in_the_way_of_the_output_stays_as_it_is(shape: str) -> None:
    Path("taken").write_text("mine")
    line = refuse(*run_shape(shape, "--out", "taken", "--no-report"))
    assert "cannot be written" in line
    assert "choose another folder with --out" in line
    assert Path("taken").read_text() == "mine"


def test_an_unwritable_folder_leaves_nothing(shape: str) -> None:
    line = refuse(*run_shape(shape, "--out", "/dev/null/x", "--no-report"))
    assert "/dev/null/x" in line
    assert "cannot be written" in line


def test_a_failed_write_leaves_no_partial_file(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = call(*run_shape(shape, "--out", "full"))
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert not [path for path in Path("full").rglob("*") if path.is_file()]
