"""Hashes of everything that the numbers of a sweep follow from, by a name that a reader knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from accelsim.explore.config import SweepConfig
from accelsim.explore.plan import Plan
from accelsim.hardware.memory import SRAM_TABLE_FILE
from accelsim.hardware.technology import Technology
from accelsim.trace import Trace

# Rooms and modules whose code decides a number.
CODE = ("engine", "explore", "hardware", "config.py", "formats.py", "result.py", "trace.py")


def sweep_inputs(config: SweepConfig, plan: Plan) -> dict[str, str]:
    """Return a hash or version of every input: no time, no host, no path."""
    search = config.method.kind == "search"
    return {
        "sweep file": _digest([config.model_dump_json().encode()]),
        **{
            f"design {name}": _digest([json.dumps(content, sort_keys=True).encode()])
            for name, content in plan.space.bases.items()
        },
        **{
            f"technology {name}": technology_digest(technology)
            for name, technology in plan.technologies.items()
        },
        **{
            f"workload {run.prefix}{form}": trace_digest(trace)
            for run in plan.runs
            for form, trace in run.traces.items()
        },
        **code_inputs(),
        **({"package optuna": metadata.version("optuna")} if search else {}),
    }


def code_inputs() -> dict[str, str]:
    """Return what every evaluation follows from, whatever it evaluates."""
    versions = {f"package {name}": metadata.version(name) for name in ("numpy", "numba")}
    return {"code of accelsim": _code_digest(), **versions}


def technology_digest(technology: Technology) -> str:
    """Return a hash of all files that prices were read from."""
    files = {technology.file, *(entry.file for entry in technology.entries.values())}
    # Two files of one name differ in their folder, whose path is no part of the hash.
    contents = sorted((Path(file).name, Path(file).read_bytes()) for file in files)
    return _digest(content for _, content in (*contents, ("", SRAM_TABLE_FILE.read_bytes())))


def trace_digest(trace: Trace) -> str:
    """Return a hash of what a workload is."""
    head = (
        trace.network,
        trace.form,
        trace.layers,
        asdict(trace.workload),
        asdict(trace.footprint),
        trace.names,
    )
    return _digest([json.dumps(head).encode(), trace.operators.tobytes()])


def _code_digest() -> str:
    package = Path(__file__).resolve().parents[1]
    files = [path for part in CODE for path in sorted((package / part).rglob("*.py"))]
    files += [package / part for part in CODE if part.endswith(".py")]
    return _digest(path.read_bytes() for path in files)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
