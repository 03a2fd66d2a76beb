"""Axes of a sweep: the values of their paths, validated once each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import FIELDS_ONLY, DesignConfig, replaced, validate
from accelsim.errors import UserError
from accelsim.explore.config import FORMS, LinkedConfig, LogRangeConfig, PathConfig, RangeConfig
from accelsim.hardware.fields import resolve_names, value_at
from accelsim.hardware.memory import dram_prices
from accelsim.hardware.technology import Technology, load_technology

DESIGN = "design"  # the path of the axis that chooses among several bases
LONGEST_AXIS = 1 << 20
# Digits of a computed value: fewer than where the machine's logarithms could differ.
DIGITS = 12

Content = dict[str, Any]
Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Axis:
    """One axis with L levels.

    Attributes:
        paths: What it moves; the fields of linked paths move together.
        values: As they are written into a design, [L][paths].
        columns: By path, its numbers int64 or float64 [L]; None for a path of names and choices.
    """

    paths: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    columns: tuple[Column | None, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def chooses(self) -> bool:
        """Whether a level changes more than numbers, so that it has a family of its own."""
        return any(column is None for column in self.columns)

    def cells(self, path: int) -> list[str]:
        """Return the values of one path as text, [L]."""
        return [cell(row[path]) for row in self.values]


def cell(value: Any) -> str:
    """Return a value of an axis as it stands in a table."""
    return value if isinstance(value, str) else json.dumps(value)


def read_axes(
    axes: Sequence[PathConfig | LinkedConfig], bases: Mapping[str, Content], file: Path
) -> tuple[Axis, ...]:
    """Return the axes, led by one over the bases where there are several.

    Raises:
        UserError: An unknown path, an empty axis, linked axes of unequal length, or a value that
            no design can have.
    """
    result = [_bases_axis(tuple(bases))] if len(bases) > 1 else []
    taken = {DESIGN}
    technologies: dict[str, Technology] = {}
    for index, axis in enumerate(axes):
        linked = axis.linked if isinstance(axis, LinkedConfig) else [axis]
        key = f"axes.{index}"
        for path in (part.path for part in linked):
            if path in taken or any(_nested(path, other) for other in taken):
                raise UserError("is moved by two axes", file=file, key=key, value=path)
            taken.add(path)
        result.append(_read_axis(linked, bases, technologies, file, key))
    if math.prod(map(len, result)) < 2 and not result:
        raise UserError("has nothing to vary", file=file, key="axes")
    return tuple(result)


def _bases_axis(names: tuple[str, ...]) -> Axis:
    return Axis((DESIGN,), tuple((name,) for name in names), (None,))


def _nested(path: str, other: str) -> bool:
    return path.startswith(f"{other}.") or other.startswith(f"{path}.")


def _read_axis(
    linked: Sequence[PathConfig],
    bases: Mapping[str, Content],
    technologies: dict[str, Technology],
    file: Path,
    key: str,
) -> Axis:
    columns = [_values(part, bases, file, key) for part in linked]
    if len(set(map(len, columns))) != 1:
        lengths = ", ".join(f"{p.path}: {len(c)}" for p, c in zip(linked, columns, strict=True))
        raise UserError("linked axes differ in length", file=file, key=key, value=lengths)
    paths = tuple(part.path for part in linked)
    values = tuple(zip(*columns, strict=True))
    seen = [
        [_validated(base, paths, row, technologies, file) for row in values]
        for base in bases.values()
    ]  # [bases][L]
    numbers = tuple(_numbers(path, [c for row in seen for c in row], len(values)) for path in paths)
    return Axis(paths, values, numbers)


def _validated(
    base: Content,
    paths: Sequence[str],
    values: Sequence[Any],
    technologies: dict[str, Technology],
    file: object,
) -> DesignConfig:
    """Return a base with values at paths: every field checked, rules between fields not.

    Args:
        base: The content of a design.
        paths: Fields that change.
        values: What they become.
        technologies: Those read so far, by name; filled as names come up.
        file: For error messages.

    Raises:
        UserError: A path or a value that no design can have.
    """
    config = merged(base, paths, values, file)
    resolve_names(config, file)
    name = config.technology
    if name not in technologies:
        technologies[name] = load_technology(name)
    dram_prices(technologies[name], config.dram.kind, file=file)
    return config


def merged(
    base: Content, paths: Sequence[str], values: Sequence[Any], file: object
) -> DesignConfig:
    """Return a base with values at paths; names are not looked up."""
    content = base
    for path, value in zip(paths, values, strict=True):
        content = replaced(content, path, value, file)
    return validate(DesignConfig, content, file, FIELDS_ONLY)


def _numbers(path: str, configs: Sequence[DesignConfig], length: int) -> Column | None:
    """Return the numbers at ``path`` of the first ``length`` configs, None for anything else."""
    values = [value_at(config, path) for config in configs]
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        if all(type(value) is kind for value in values):
            column = np.array(values[:length], dtype=dtype)
            column.setflags(write=False)
            return column
    return None


def _values(part: PathConfig, bases: Mapping[str, Content], file: Path, key: str) -> list[Any]:
    """Return the values of one path: listed, or computed to what its field holds."""
    (form,) = (form for form in FORMS if getattr(part, form) is not None)
    if part.values is not None:
        values = list(part.values)
    elif part.range is not None:
        values = range_values(part.range)
    else:
        assert part.log_range is not None
        values = log_range_values(part.log_range)
        if _is_whole(part.path, bases):
            values = list(dict.fromkeys(round(value) for value in values))
    if not values or len(values) > LONGEST_AXIS:
        message = "axis is too long" if values else "axis is empty"
        allowed = f"allowed: up to {LONGEST_AXIS} values" if values else None
        shown = getattr(part, form)
        shown = shown if isinstance(shown, list) else shown.model_dump(exclude_none=True)
        raise UserError(message, file=file, key=f"{key}.{form}", value=shown, allowed=allowed)
    if len({cell(value) for value in values}) < len(values):
        raise UserError("names a value twice", file=file, key=f"{key}.{form}", value=part.path)
    return values


def _is_whole(path: str, bases: Mapping[str, Content]) -> bool:
    """Return whether the bases have an integer at ``path``."""
    for content in bases.values():
        found: Any = content
        for section in path.split("."):
            found = found.get(section) if isinstance(found, dict) else None
        if type(found) is not int:
            return False
    return True


def range_values(given: RangeConfig) -> list[Any]:
    """Return ``start + i * step`` up to and with ``stop``."""
    whole = all(isinstance(n, int) for n in (given.start, given.stop, given.step))
    count = math.floor((given.stop - given.start) / given.step + 1e-9) + 1
    count = min(count, LONGEST_AXIS + 1)
    steps = (given.start + i * given.step for i in range(max(count, 0)))
    return list(steps) if whole else [_rounded(value) for value in steps]


def log_range_values(given: LogRangeConfig) -> list[float]:
    """Return values at equal ratios; a falling range has no values."""
    if given.stop < given.start:
        return []
    ratio = given.stop / given.start
    if given.num is not None:
        steps = (ratio ** (i / (given.num - 1)) for i in range(given.num))
    else:
        assert given.factor is not None
        count = math.floor(math.log(ratio) / math.log(given.factor) + 1e-9) + 1
        steps = (float(given.factor) ** i for i in range(min(count, LONGEST_AXIS + 1)))
    return list(dict.fromkeys(_rounded(given.start * step) for step in steps))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
