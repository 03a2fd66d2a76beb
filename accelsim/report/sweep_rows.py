"""The designs of a sweep as columns, and what its axes explain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.report.quantities import digits, quantity, scale
from accelsim.result import SweepAxis, SweepResult

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SweepRows:
    """Up to N of the designs of a sweep that meet all constraints, by index.

    Attributes:
        result: What the sweep found.
        index: Numbers of the designs, int64 [N].
        levels: Level of every axis, int32 [N, axes].
        objectives: Column of every objective, float64 [N, objectives]; NaN where it has no value.
        energy: Joules of the first workload by component, both phases, of the designs on the
            front, float64 [front, components].
        front: Rows that are on the Pareto front, in its order, int64 [front].
        knee: Row of the knee, None without a front.
    """

    result: SweepResult
    index: Integers
    levels: npt.NDArray[np.int32]
    objectives: Floats
    energy: Floats
    front: Integers
    knee: int | None

    def __len__(self) -> int:
        return len(self.index)

    def spread(self, most: int) -> Integers:
        """Return up to ``most`` rows evenly by index, up to as many of the front, and the knee."""
        if len(self) <= most:
            return np.arange(len(self))
        knee = [] if self.knee is None else [self.knee]
        front = self.front[_even(len(self.front), most)]
        return np.unique(np.concatenate([_even(len(self), most), front, knee])).astype(np.int64)


def _even(size: int, most: int) -> Integers:
    """Return up to ``most`` of ``size`` places, evenly."""
    if size <= most:
        return np.arange(size)
    return np.linspace(0, size - 1, most).round().astype(np.int64)


def level_text(value: Any) -> str:
    """Return a value of an axis as it stands in a table."""
    return value if isinstance(value, str) else json.dumps(value)


LABELS = {
    "tokens_per_second": "tokens/s",
    "energy_j_per_token": "energy a token (J)",
    "energy_j": "energy (J)",
    "energy_j_low": "energy, low (J)",
    "energy_j_high": "energy, high (J)",
    "energy_delay_js": "energy x time (J s)",
    "area_mm2": "area (mm²)",
    "average_power_w": "power (W)",
    "seconds": "time (s)",
    "dram_bytes": "DRAM traffic (B)",
    "sram_bytes": "SRAM traffic (B)",
}
SCALED = ("J", "s", "W", "B")  # units that take a prefix


def column_label(name: str) -> str:
    """Return a column of results in words and with its unit."""
    head, _, last = name.rpartition(".")
    words = [*head.split("."), LABELS.get(last, last.replace("_", " "))]
    return " ".join(word.replace("_", " ") for word in words if word)


def measured(values: Floats, label: str) -> tuple[Floats, str]:
    """Return values in a unit that fits the largest of them, and their label with that unit."""
    words, mark, unit = label.rstrip(")").rpartition(" (")
    if not mark or unit not in SCALED:
        return values, label
    step, prefix = scale(values[np.isfinite(values)].ravel().tolist())
    return values / step, f"{words} ({prefix}{unit})"


def spelt_objectives(rows: SweepRows, member: int | None) -> list[str]:
    """Return the objectives of a design in words, ``energy 7.36 mJ``."""
    if member is None:
        return []
    texts = []
    for (name, _), value in zip(
        rows.result.objectives, rows.objectives[member].tolist(), strict=True
    ):
        label = column_label(name)
        words, mark, unit = label.rstrip(")").rpartition(" (")
        if mark:
            spelt = quantity(value, unit) if unit in SCALED else f"{digits(value)} {unit}"
            texts.append(f"{words} {spelt}")
        else:
            texts.append(f"{digits(value)} {label}")
    return texts


def axis_name(axis: SweepAxis) -> str:
    """Return what an axis is called: its paths without what they share."""
    if len(axis.paths) == 1:
        return axis.paths[0]
    parts = [path.split(".") for path in axis.paths]
    shared = 0
    while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    head = ".".join(parts[0][:shared])
    return (f"{head}." if head else "") + " = ".join(".".join(p[shared:]) for p in parts)


def level_names(axis: SweepAxis) -> list[str]:
    """Return every level of an axis as text; linked paths of one value say it once."""
    names = []
    for row in axis.values:
        texts = [digits(v) if isinstance(v, float) else level_text(v) for v in row]
        names.append(texts[0] if len(set(texts)) == 1 else " / ".join(texts))
    return names


def logarithmic(values: Floats) -> bool:
    """Whether values span so much that ratios say more than differences."""
    finite = values[np.isfinite(values)]
    return bool(len(finite)) and finite.min() > 0 and finite.max() > 8 * finite.min()


def explained(rows: SweepRows) -> Floats:
    """Return which share of an objective's variance each axis explains alone.

    The variance of the means over the levels of an axis, over the whole variance: the first-order
    index of a variance-based sensitivity analysis (Sobol 1993), exact where designs fill the grid.
    Positive objectives that span much are taken by their logarithms.

    Returns:
        float64 [axes, objectives], 0 where an objective does not vary.
    """
    shares = np.zeros((rows.levels.shape[1], rows.objectives.shape[1]))
    for column in range(rows.objectives.shape[1]):
        values = rows.objectives[:, column]
        there = np.isfinite(values)
        values = np.log(values[there]) if logarithmic(values) else values[there]
        whole = float(np.var(values)) if len(values) else 0.0
        for axis in range(len(shares)):
            if whole > 0:
                shares[axis, column] = _between(rows.levels[there, axis], values) / whole
    return shares


def _between(levels: npt.NDArray[np.int32], values: Floats) -> float:
    """Return the variance of the means of ``values`` over ``levels``, weighted by their counts."""
    counts = np.bincount(levels)
    means = np.bincount(levels, weights=values)[counts > 0] / counts[counts > 0]
    return float(np.average((means - values.mean()) ** 2, weights=counts[counts > 0]))


def best_of_cells(rows: SweepRows, axes: Sequence[int], objective: int) -> Floats:
    """Return the best of an objective at every pair of levels of two axes, NaN where none is."""
    down, across = axes
    shape = (len(rows.result.axes[down].values), len(rows.result.axes[across].values))
    least = rows.result.objectives[objective][1] == "min"
    cells = np.full(shape, np.inf if least else -np.inf)
    values = rows.objectives[:, objective]
    there = np.isfinite(values)
    places = (rows.levels[there, down], rows.levels[there, across])
    (np.minimum if least else np.maximum).at(cells, places, values[there])
    return np.where(np.isfinite(cells), cells, np.nan)
