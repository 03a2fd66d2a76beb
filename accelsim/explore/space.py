"""The space of a sweep: points become families of designs, and any point a design of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.explore.axes import DESIGN, Axis, Content, merged
from accelsim.explore.config import MethodConfig
from accelsim.explore.points import Levels, grid_levels, latin_hypercube_levels, random_levels
from accelsim.hardware.fields import Fields

POPULATION, GENERATIONS = 64, 32


@dataclass(frozen=True)
class Space:
    """Bases and axes, and which of their combinations are asked for.

    Attributes:
        bases: Contents of the base designs by name.
        axes: Checked, [A].
        method: How points are chosen.
    """

    bases: Mapping[str, Content]
    axes: tuple[Axis, ...]
    method: MethodConfig

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Levels of each axis."""
        return tuple(map(len, self.axes))

    @property
    def points(self) -> int:
        """How many points are asked for."""
        method = self.method
        if method.kind == "grid":
            return math.prod(self.lengths)
        if method.kind == "search":
            return self.population * (method.generations or GENERATIONS)
        assert method.samples is not None
        return method.samples

    @property
    def population(self) -> int:
        """Designs of a generation of a search."""
        return self.method.population or POPULATION

    def levels(self, index: Levels) -> Levels:
        """Return the levels [G, A] of points by index; a search has none before it is run."""
        if self.method.kind == "grid":
            return grid_levels(self.lengths, index)
        if self.method.kind == "random":
            return random_levels(self.lengths, index, self.method.seed)
        if self.method.kind == "latin_hypercube":
            return latin_hypercube_levels(self.lengths, index, self.points, self.method.seed)
        raise ValueError("points of a search follow from its results")

    def families(self, levels: Levels) -> Iterator[tuple[npt.NDArray[np.int64], Fields]]:
        """Yield the positions of designs that differ in numbers only, and their fields."""
        choosing = [a for a, axis in enumerate(self.axes) if axis.chooses]
        numeric = [
            (a, p, path)
            for a, axis in enumerate(self.axes)
            for p, path in enumerate(axis.paths)
            if axis.columns[p] is not None
        ]
        for members in _groups(levels[:, choosing]):
            config = self.config(levels[members[0]], choosing)
            columns = {
                path: self.axes[a].columns[p][levels[members, a]]  # type: ignore[index]
                for a, p, path in numeric
            }
            yield members, Fields(config, columns, len(members))

    def config(self, levels: Any, axes: Any = None) -> DesignConfig:
        """Return the design with some axes (by default all) at their levels, [A]."""
        base, paths, values = next(iter(self.bases)), [], []
        for a in range(len(self.axes)) if axes is None else axes:
            for path, value in zip(
                self.axes[a].paths, self.axes[a].values[int(levels[a])], strict=True
            ):
                if path == DESIGN:
                    base = value
                else:
                    paths.append(path)
                    values.append(value)
        return merged(self.bases[base], paths, values, base)


def _groups(rows: Levels) -> list[npt.NDArray[np.int64]]:
    """Return the positions of equal rows, by row; ascending in each group."""
    if not len(rows):
        return []
    if not rows.shape[1]:
        return [np.arange(len(rows))]
    order = np.lexsort(rows.T[::-1])
    ranked = rows[order]
    starts = np.flatnonzero((ranked[1:] != ranked[:-1]).any(axis=1)) + 1
    return np.split(order, starts)
