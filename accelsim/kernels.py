"""The one way numba is used here: a decorator with a safe cache and a choice of instruction set.

Only kernel modules import this one, so numba loads with the first kernel and not before.

``ACCELSIM_PORTABLE=1`` compiles for plain x86-64 (SSE2) or plain AArch64 instead of this machine's
CPU. No kernel may contract a multiply and an add into one rounding, so both give the same bytes.

Compiled code is kept under ``$XDG_CACHE_HOME/accelsim`` (or ``~/.cache/accelsim``) in a folder
named after everything it depends on: the text of every kernel module, the versions of Python,
numpy, numba and llvmlite, and the CPU. numba's own check looks at one file at a time and would keep
a caller whose callee, in another file, has changed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from accelsim.locate import user_cache

Function = TypeVar("Function", bound=Callable[..., Any])

PORTABLE_VARIABLE = "ACCELSIM_PORTABLE"
_PLAIN_CPU = {"x86_64": "x86-64", "amd64": "x86-64"}
_IMPORT_LINE = "from accelsim.kernels import"


def kernel(function: Function) -> Function:
    """Compile ``function`` at its first call, in IEEE order, without the interpreter lock.

    No fast-math: additions keep their order and nothing is contracted. Division by zero follows
    IEEE instead of raising. Signatures come from the arguments, so a wrapper must pass one dtype
    and one memory layout per argument.
    """
    return _compiled(function, callable_from_python=True)


def inner_kernel(function: Function) -> Function:
    """Compile ``function`` as ``kernel`` does, for calls by other kernels alone.

    Without an entry from Python a large kernel of many parts compiles a fifth sooner.
    """
    return _compiled(function, callable_from_python=False)


def lean_kernel(function: Function) -> Function:
    """Compile ``function`` as ``inner_kernel`` does, without counting references to arrays.

    Counting costs more than a kernel of some dozen operations does. Arrays can be read and written,
    but not made.
    """
    return _compiled(function, callable_from_python=False, lean=True)


def inlined_kernel(function: Function) -> Function:
    """Compile ``function`` as ``lean_kernel`` does, into each place that calls it.

    For the bodies of inner loops, which then keep what does not change in registers. Every place
    costs compile time.
    """
    return _compiled(function, callable_from_python=False, lean=True, inlined=True)


def _compiled(
    function: Function, *, callable_from_python: bool, lean: bool = False, inlined: bool = False
) -> Function:
    numba = _numba()
    folder = cache_folder()
    options = {
        "nogil": True,
        "fastmath": False,
        "error_model": "numpy",
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": not callable_from_python,
        "_nrt": not lean,
        "forceinline": inlined,
    }
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        compiled: Function = numba.njit(cache=folder is not None, **options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled


def is_portable() -> bool:
    """Return whether the environment asks for plain instructions instead of this machine's."""
    return os.environ.get(PORTABLE_VARIABLE, "").strip().lower() in {"1", "true", "yes"}


@functools.cache
def cpu_has(feature: str) -> bool:
    """Return whether kernels compiled here may use a CPU feature, by LLVM's name for it.

    False with ``ACCELSIM_PORTABLE`` and wherever numba was told to compile for another CPU.
    """
    config = _numba().config
    if is_portable() or config.CPU_NAME or config.CPU_FEATURES:
        return False
    binding = importlib.import_module("llvmlite.binding")
    return bool(binding.get_host_cpu_features().get(feature, False))


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder for compiled kernels; None, with one warning, where it is not writable."""
    folder = user_cache() / cache_key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({error.strerror}); "
            "they are compiled again in each process",
            RuntimeWarning,
            stacklevel=3,
        )
        return None
    return folder


def is_cold() -> bool:
    """Return whether nothing is compiled yet, so that the next run starts with compiling."""
    folder = cache_folder()
    return folder is None or not any(folder.rglob("*.nbi"))


@functools.cache
def cache_key() -> str:
    """Return the name under which code compiled by this process may be kept and found again."""
    versions = [importlib.import_module(name).__version__ for name in ("numpy", "llvmlite")]
    parts = [sys.version, _numba().__version__, *versions, _target()]
    digest = hashlib.sha256("\n".join(parts).encode())
    package = Path(__file__).resolve().parent
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if path.name == "kernels.py" or _IMPORT_LINE.encode() in text:
            digest.update(str(path.relative_to(package)).encode() + b"\0" + text)
    return digest.hexdigest()[:24]


def _target() -> str:
    """Name the instruction set that kernels are compiled for."""
    config = _numba().config
    if is_portable() or config.CPU_NAME or config.CPU_FEATURES:
        return f"{platform.machine()} as {config.CPU_NAME} {config.CPU_FEATURES}"
    binding = importlib.import_module("llvmlite.binding")
    return f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"


@functools.cache
def _numba() -> ModuleType:
    """Import numba once, its target chosen before any of its code runs."""
    loaded = "numba" in sys.modules
    if is_portable():
        plain = _PLAIN_CPU.get(platform.machine().lower(), "generic")
        os.environ["NUMBA_CPU_NAME"] = plain
        os.environ["NUMBA_CPU_FEATURES"] = ""
    module = importlib.import_module("numba")
    if is_portable() and loaded:
        module.config.reload_config()
    return module
