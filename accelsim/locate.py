"""Where files lie, shipped ones and the user's cache, and how a name becomes a path."""

from __future__ import annotations

import os
from pathlib import Path

from accelsim.errors import UserError, did_you_mean

NETWORKS, DESIGNS, TECHNOLOGIES, SWEEPS = (
    "models",
    "hw_configs",
    "hw_configs/technology",
    "hw_configs/sweeps",
)


def shipped(folder: str) -> Path:
    """Return a folder of shipped data: beside this package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def user_cache() -> Path:
    """Return the user's folder for what can be made again; it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "accelsim"


def names(folder: str) -> list[str]:
    """Return the names that resolve in ``folder``: YAML files, and folders with a checkpoint."""
    root = shipped(folder)
    files = [p.stem for p in root.glob("*.yaml")]
    folders = [p.parent.name for p in root.glob("*/config.json")]
    return sorted(files + folders)


def resolve(name: str, folder: str, *, option: str) -> Path:
    """Return the path of a shipped ``name``, or ``name`` itself where it is a path.

    Args:
        name: ``ternary_os_32x32``, or any path that exists.
        folder: One of the folders above.
        option: What the user typed it for, named in the error.
    """
    given = Path(name)
    if given.suffix in (".yaml", ".yml", ".gguf") or len(given.parts) > 1:
        if given.exists():
            return given
        inside = shipped(folder) / given.name
        if len(given.parts) == 1 and inside.exists():
            return inside
        raise UserError(
            "no such file",
            file=option,
            value=name,
            allowed="or a shipped name: " + ", ".join(names(folder)),
        )
    for candidate in (shipped(folder) / f"{name}.yaml", shipped(folder) / name / "config.json"):
        if candidate.exists():
            return candidate if candidate.suffix == ".yaml" else candidate.parent
    if given.exists():
        return given
    raise UserError(
        "unknown name", file=option, value=name, allowed=did_you_mean(name, names(folder))
    )
