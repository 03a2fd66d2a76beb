"""Small sweeps on a small network, and their tables, for the tests of sweeps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

NETWORK: dict[str, Any] = {
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
# Some of these 48 designs cannot be built: stream_kib of the weight buffer is 256.
AXES: list[dict[str, Any]] = [
    {"path": "array.dataflow", "values": ["os", "ws"]},
    {"path": "array.rows", "values": [4, 8, 16]},
    {"path": "clock_mhz", "range": {"start": 250, "stop": 1000, "step": 250}},
    {"path": "sram.weight.capacity_kib", "values": [128, 512]},
]
SWEEP: dict[str, Any] = {
    "name": "small",
    "description": "made up for tests",
    "base": "ternary_os_32x32",
    "axes": AXES,
    "workloads": [{"network": "net.yaml", "prefill": 3, "decode": 2}],
    "objectives": [
        {"quantity": "decode.tokens_per_second", "goal": "max"},
        {"quantity": "energy_j", "goal": "min"},
    ],
}


def write_sweep(path: str = "sweep.yaml", **changes: Any) -> str:
    """Write a sweep and its network into the current folder; a change to None removes a key."""
    Path("net.yaml").write_text(yaml.safe_dump(NETWORK))
    content = {key: value for key, value in (SWEEP | changes).items() if value is not None}
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def table(folder: Path | str) -> list[dict[str, str]]:
    """Return the rows of a CSV table, cells as text."""
    with (Path(folder) / "results.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def files(folder: Path | str) -> dict[str, bytes]:
    """Return every file of a finished sweep by its relative path, less optuna's own journal."""
    root = Path(folder)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "study.log"
    }
