"""What it takes to repeat a run: versions, hashes, seed."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim import __version__

if TYPE_CHECKING:
    from accelsim.workloads import Source

PACKAGES = ("numpy", "numba", "pydantic", "PyYAML")


def build_manifest(source: Source, files: Sequence[Path], command: str | None) -> dict[str, Any]:
    """Return versions, config hashes, the seed and what was typed; no time, no host."""
    return {
        **({"command": command} if command else {}),
        "accelsim": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "seed": source.seed,
        "network": source.name,
        "configs": {file.name: sha256(file) for file in files},
    }


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
