"""Build a module of SystemVerilog once, then replay stimulus through it from numpy.

A circuit is compiled into a shared library that is kept under the user's cache folder, in a folder
named after everything it depends on: sources, top, parameters, this glue, tools and their versions.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import json
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from accelsim.locate import user_cache
from accelsim.rtl import cxxrtl, verilate
from accelsim.rtl.device import driver, stimulated
from accelsim.rtl.sources import SV_FOLDER, sources_of
from accelsim.rtl.tools import Tool, choose_backend, compiler, verilator
from accelsim.rtl.words import Port, Stimulus, ports_of, rows_of

Outputs = dict[str, npt.NDArray[np.unsignedinteger]]
Places = Path | Sequence[Path]
Progress = Callable[[str], None]

_LIBRARY, _PORTS, _DRIVER = "circuit.so", "ports.json", "driver.cc"
_FLAGS = ("-O1", "-fPIC", "-std=c++17", "-w", "-pthread", "-fvisibility=hidden")
_GLUE = ("circuit", "cxxrtl", "device", "verilate", "words")
_POINTER = ctypes.POINTER(ctypes.c_uint32)


def _silent(message: str) -> None:
    """Take a message and say nothing."""


@dataclass(frozen=True)
class Circuit:
    """A module, compiled for one set of parameters; ``clk`` is not among its ``inputs``."""

    top: str
    backend: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    library: ctypes.CDLL

    def replay(self, stimulus: Stimulus, *, seed: int = 0) -> Outputs:
        """Start from random registers, run one cycle per row of ``stimulus``, return the outputs.

        Args:
            stimulus: What stands at the inputs in each cycle, in the forms that `words.rows_of`
                takes. They change while the clock is low.
            seed: What registers hold at the start is drawn from it.

        Returns:
            What stands at the outputs just before the rising edge that ends each cycle, as
            `words.ports_of` gives it. A register shows in row t + 1 what it took in row t.
        """
        with self.start(seed=seed) as simulation:
            return simulation.run(stimulus)

    def start(self, *, seed: int = 0) -> Simulation:
        """Return a simulation that keeps its registers between runs, for stimulus in pieces."""
        return Simulation(self, seed)


class Simulation:
    """A circuit and the state of its registers. Close it, or use it in ``with``."""

    def __init__(self, circuit: Circuit, seed: int) -> None:
        self._circuit = circuit
        self._handle: int | None = circuit.library.circuit_start(seed)

    def run(self, stimulus: Stimulus) -> Outputs:
        """Go on for one cycle per row of ``stimulus``; see `Circuit.replay`."""
        if self._handle is None:
            raise ValueError("this simulation is closed")
        circuit = self._circuit
        rows = rows_of(circuit.inputs, stimulus)
        read = np.empty((len(rows), sum(port.words for port in circuit.outputs)), np.uint32)
        addresses = [array.ctypes.data_as(_POINTER) for array in (rows, read)]
        circuit.library.circuit_run(self._handle, len(rows), *addresses)
        return ports_of(circuit.outputs, read)

    def close(self) -> None:
        """Free its memory; a second call does nothing."""
        if self._handle is not None:
            self._circuit.library.circuit_stop(self._handle)
            self._handle = None

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def build(
    top: str,
    parameters: Mapping[str, int] | None = None,
    *,
    sources: Places = SV_FOLDER,
    backend: str | None = None,
    progress: Progress = _silent,
) -> Circuit:
    """Compile a module, or load what an earlier call compiled.

    Args:
        top: Name of the module, and of its file.
        parameters: Its integer parameters; the others keep their defaults.
        sources: Files, and folders of files; of two files of one name the later one counts.
        backend: One of `tools.BACKENDS`; by default ``ACCELSIM_RTL_BACKEND``, or the first that
            is installed.
        progress: Told what takes long: the first build of all takes about ten seconds, a large
            array up to a minute.

    Raises:
        UserError: A tool is missing, or the tool refuses the sources.
    """
    name, tool = choose_backend(backend)
    files = sources_of(top, [sources] if isinstance(sources, Path) else sources)
    values = dict(sorted((parameters or {}).items()))
    kept = cache_folder() / f"{top}-{_key(name, tool, top, values, files)}"
    if not (kept / _LIBRARY).exists():
        runtime = _runtime(tool, progress) if name != "cxxrtl" else None
        progress(f"compiling {top}")
        _keep(kept, lambda folder: _make(name, tool, top, values, files, runtime, folder))
    return _load(top, name, kept)


def lint(
    top: str, parameters: Mapping[str, int] | None = None, *, sources: Places = SV_FOLDER
) -> str:
    """Return the warnings of ``verilator --lint-only -Wall``; an empty string if there are none.

    Raises:
        UserError: Verilator is missing.
    """
    files = sources_of(top, [sources] if isinstance(sources, Path) else sources)
    return verilate.lint(verilator(), top, parameters or {}, files)


@functools.cache
def cache_folder() -> Path:
    """Return the folder for compiled circuits; a temporary one where the user's is not writable."""
    folder = user_cache() / "rtl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        warnings.warn(
            f"compiled circuits cannot be kept in {folder} ({error.strerror}); "
            "they are compiled again in each process",
            RuntimeWarning,
            stacklevel=3,
        )
        return _passing_folder()


def _passing_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="accelsim-rtl-"))


def _key(
    backend: str, tool: Tool, top: str, parameters: Mapping[str, int], files: Sequence[Path]
) -> str:
    digest = hashlib.sha256(f"{backend} {tool.version} {top} {parameters}".encode())
    digest.update(f"{compiler().version} {_FLAGS} {platform.machine()}".encode())
    for name in _GLUE:
        path = importlib.import_module(f"accelsim.rtl.{name}").__file__
        digest.update(Path(path or "").read_bytes())
    for file in files:
        digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:24]


def _make(
    backend: str,
    tool: Tool,
    top: str,
    parameters: Mapping[str, int],
    files: Sequence[Path],
    runtime: Path | None,
    folder: Path,
) -> None:
    """Put the library and its ports into ``folder``, and nothing else."""
    absolute = [file.resolve() for file in files]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        generate = cxxrtl.generate if backend == "cxxrtl" else verilate.generate
        generated = generate(tool, top, parameters, absolute, scratch)
        (scratch / _DRIVER).write_text(driver(generated), encoding="utf-8")
        objects: list[Path] = [] if runtime is None else sorted(runtime.glob("*.o"))
        shared: list[str | Path] = ["-shared", _DRIVER, *objects, "-o", folder / _LIBRARY]
        compiler().run([*_FLAGS, *_includes(tool), *shared], folder=scratch)
    ports = {"inputs": stimulated(generated.inputs), "outputs": generated.outputs}
    text = {way: [asdict(port) for port in some] for way, some in ports.items()}
    (folder / _PORTS).write_text(json.dumps(text), encoding="utf-8")


def _runtime(tool: Tool, progress: Progress) -> Path:
    """Return the folder with Verilator's runtime, compiled once for all circuits."""
    parts = f"{tool.version} {compiler().version} {_FLAGS} {platform.machine()}"
    kept = cache_folder() / f"runtime-{hashlib.sha256(parts.encode()).hexdigest()[:24]}"
    if not kept.exists():
        progress("compiling the runtime of Verilator, once")
        _keep(kept, lambda folder: _make_runtime(tool, folder))
    return kept


def _make_runtime(tool: Tool, folder: Path) -> None:
    assert tool.include is not None
    files = [tool.include / name for name in verilate.RUNTIME]
    compiler().run([*_FLAGS, *_includes(tool), "-c", *files], folder=folder)


def _includes(tool: Tool) -> list[str]:
    return [f"-I{tool.include}", f"-I{tool.include}/vltstd", "-I."]


def _keep(kept: Path, make: Callable[[Path], None]) -> None:
    """Let ``make`` fill a folder that appears as ``kept`` whole, or not at all."""
    fresh = Path(tempfile.mkdtemp(dir=kept.parent, prefix=f".{kept.name}."))
    try:
        make(fresh)
        try:
            os.rename(fresh, kept)
        except OSError:
            if not kept.exists():  # another process was faster: its folder holds the same
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _load(top: str, backend: str, kept: Path) -> Circuit:
    text = json.loads((kept / _PORTS).read_text(encoding="utf-8"))
    inputs, outputs = (tuple(Port(**port) for port in text[way]) for way in ("inputs", "outputs"))
    library = ctypes.CDLL(str(kept / _LIBRARY))
    library.circuit_start.restype = ctypes.c_void_p
    library.circuit_start.argtypes = [ctypes.c_uint64]
    library.circuit_stop.restype = None
    library.circuit_stop.argtypes = [ctypes.c_void_p]
    library.circuit_run.restype = None
    library.circuit_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64, _POINTER, _POINTER]
    return Circuit(top, backend, inputs, outputs, library)
