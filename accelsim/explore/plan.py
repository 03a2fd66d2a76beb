"""What a sweep asks for, checked: everything a worker needs, and nothing of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.errors import UserError, did_you_mean
from accelsim.explore.axes import Axis
from accelsim.explore.config import ConstraintConfig, ObjectiveConfig, SweepConfig
from accelsim.explore.figures import Figure, figure_table
from accelsim.explore.space import Space
from accelsim.hardware.technology import Technology
from accelsim.trace import Trace

# Chunks of a sweep: enough of them to share out and to save often, each long enough to pay.
CHUNKS, SMALLEST_CHUNK, LARGEST_CHUNK = 64, 128, 8192


@dataclass(frozen=True)
class Run:
    """One workload: its trace for each network form that designs ask for."""

    prefix: str  # of its columns, empty where there is one workload
    traces: Mapping[str, Trace]
    mapping: str = "fixed"


@dataclass(frozen=True)
class Plan:
    """One sweep.

    Attributes:
        space: Bases, axes and method.
        runs: Workloads.
        technologies: Prices by the name that designs use.
        constraints: Bounds of figures and of swept numbers.
        objectives: What good designs have little or much of.
        chunk_rows: Designs evaluated at once.
    """

    space: Space
    runs: tuple[Run, ...]
    technologies: Mapping[str, Technology]
    constraints: tuple[ConstraintConfig, ...]
    objectives: tuple[ObjectiveConfig, ...]
    chunk_rows: int

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Every column of figures, in order."""
        return figure_table([run.prefix for run in self.runs])

    @cached_property
    def chunks(self) -> int:
        """How many chunks the points are cut into."""
        return -(-self.space.points // self.chunk_rows)

    def swept(self, path: str) -> tuple[int, int] | None:
        """Return axis and position of a swept path with numbers, None for anything else."""
        for a, axis in enumerate(self.space.axes):
            if path in axis.paths:
                position = axis.paths.index(path)
                return None if axis.columns[position] is None else (a, position)
        return None


def chunk_rows(config: SweepConfig, space: Space) -> int:
    """Return the designs of a chunk: stated, a generation of a search, or a share of the whole."""
    if space.method.kind == "search":
        return space.population
    if config.chunk_rows is not None:
        return config.chunk_rows
    return min(max(-(-space.points // CHUNKS), SMALLEST_CHUNK), LARGEST_CHUNK)


def check_plan(plan: Plan, file: Path) -> None:
    """Refuse quantities that are no numbers of this sweep, and bounds that no value meets.

    Raises:
        UserError: The first of them.
    """
    for index, constraint in enumerate(plan.constraints):
        _check_quantity(plan, constraint.quantity, file, f"constraints.{index}.quantity")
    for index, objective in enumerate(plan.objectives):
        _check_quantity(plan, objective.quantity, file, f"objectives.{index}.quantity")
    for index, bound in enumerate(plan.constraints):
        place = plan.swept(bound.quantity)
        if place is not None and not within(bound, _column(plan.space.axes, place)).any():
            raise UserError(
                f"no value of {bound.quantity} meets the constraint",
                file=file,
                key=f"constraints.{index}",
                value=bound_text(bound),
            )


def _column(axes: tuple[Axis, ...], place: tuple[int, int]) -> Any:
    return axes[place[0]].columns[place[1]]


def _check_quantity(plan: Plan, name: str, file: Path, key: str) -> None:
    numbers = [figure.name for figure in plan.figures if not figure.words]
    if name in numbers or plan.swept(name) is not None:
        return
    paths = [path for axis in plan.space.axes for path in axis.paths if plan.swept(path)]
    hint = did_you_mean(name, [*numbers, *paths]).partition("? ")
    start = hint[0] + "? " if hint[1] else ""
    raise UserError(
        "is no number of this sweep",
        file=file,
        key=key,
        value=name,
        allowed=start + "a column of its results or a swept number, area_mm2 for instance",
    )


def within(bound: ConstraintConfig, values: Any) -> Any:
    """Return where values meet a constraint; NaN never does."""
    holds = ~np.isnan(values)
    if bound.at_least is not None:
        holds &= values >= bound.at_least
    if bound.at_most is not None:
        holds &= values <= bound.at_most
    return holds


def bound_text(bound: ConstraintConfig) -> str:
    """Return a constraint as a reader writes it, ``area_mm2 <= 10``."""
    parts = []
    if bound.at_least is not None:
        parts.append(f"{bound.quantity} >= {bound.at_least:g}")
    if bound.at_most is not None:
        parts.append(f"{bound.quantity} <= {bound.at_most:g}")
    return " and ".join(parts)
