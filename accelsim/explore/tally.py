"""What is known of the chunks of a sweep so far: counts, and the front of all their designs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.explore.chunk import Chunk, objective_rows
from accelsim.explore.pareto import front_mask
from accelsim.explore.plan import Plan


@dataclass
class Tally:
    """Counts of all chunks added, in any order; of designs only the F on their front.

    Attributes:
        index: Points of the front, int64 [F].
        levels: Of every axis, int64 [F, axes].
        points: What the front minimises, float64 [F, objectives].
        designs: How many could be evaluated.
        feasible: How many of these meet all constraints.
        refused: Points left out, by reason.
        failed: Evaluated designs that break each constraint.
    """

    index: npt.NDArray[np.int64]
    levels: npt.NDArray[np.int64]
    points: npt.NDArray[np.float64]
    designs: int
    feasible: int
    refused: Counter[str]
    failed: Counter[str]

    def add(self, plan: Plan, chunk: Chunk) -> None:
        """Count a chunk, and keep what is on the front of all so far."""
        self.designs += len(chunk.index)
        self.feasible += int(chunk.feasible.sum())
        self.refused.update(chunk.refused)
        self.failed.update(chunk.failed)
        good = np.flatnonzero(chunk.feasible)
        points = np.concatenate([self.points, objective_rows(plan, chunk)[good]])
        on = front_mask(points)
        self.points = points[on]
        self.index = np.concatenate([self.index, chunk.index[good]])[on]
        self.levels = np.concatenate([self.levels, chunk.levels[good]])[on]


def empty_tally(plan: Plan) -> Tally:
    """Return the tally of no chunk."""
    axes, objectives = len(plan.space.axes), len(plan.objectives)
    return Tally(
        np.empty(0, dtype=np.int64),
        np.empty((0, axes), dtype=np.int64),
        np.empty((0, objectives)),
        0,
        0,
        Counter(),
        Counter(),
    )
