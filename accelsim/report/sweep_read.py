"""The table of a sweep read back, a part at a time, so that memory does not grow with the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accelsim.errors import UserError
from accelsim.report.sweep_rows import Integers, SweepRows, level_text
from accelsim.result import COMPONENTS, PHASES, SweepAxis, SweepResult

# Designs that figures are made from, evenly by row; the front is always among them. Beyond this the
# memory of a report would grow with the sweep.
MOST_ROWS = 500_000
BATCH = 8192  # lines of a CSV table read at once; of Parquet it is a row group, a chunk's rows

# Returns some columns of one part of a table.
Part = Callable[[Sequence[str]], pd.DataFrame]


def read_rows(result: SweepResult, folder: Path) -> SweepRows:
    """Read the table that a sweep left in ``folder``; only what figures and page show.

    Raises:
        UserError: The table is missing, cut off, or of another sweep.
    """
    file = folder / result.table
    kept = _Kept(result)
    try:
        for part in _parts(file, kept):
            kept.add(part)
    except (OSError, ValueError, KeyError, IndexError) as cause:
        raise UserError("is no table of this sweep", file=file) from cause
    rows = kept.rows()
    if rows is None:
        raise UserError("is no table of this sweep", file=file)
    return rows


class _Kept:
    """What is kept of a table: room for it is made once, so that nothing is held twice."""

    def __init__(self, result: SweepResult) -> None:
        self._result = result
        prefix = str(result.workloads[0]["prefix"])
        self.paths = [path for axis in result.axes for path in axis.paths]
        self.objectives = [name for name, _ in result.objectives]
        self.energies = [
            [f"{prefix}{phase}.energy_by_component.{name}" for phase in PHASES]
            for name in COMPONENTS
        ]
        self._front = np.array([row.index for row in result.front], dtype=np.int64)
        self._step = max(1, -(-result.feasible // MOST_ROWS))
        most = -(-result.feasible // self._step) + len(self._front)
        self._index = np.empty(most, dtype=np.int64)
        self._levels = np.empty((most, len(result.axes)), dtype=np.int32)
        self._values = np.empty((most, len(self.objectives)))
        self._energy = np.full((len(self._front), len(COMPONENTS)), np.nan)
        self._seen = self._count = 0

    def add(self, part: Part) -> None:
        """Keep every so many feasible designs of a part, and those of the front."""
        state = part(["index", "feasible"])
        index = state["index"].to_numpy()
        feasible = state["feasible"].to_numpy() == 1
        on = np.isin(index, self._front)
        even = (self._seen + np.cumsum(feasible) - 1) % self._step == 0
        chosen = np.flatnonzero(feasible & (even | on))
        self._seen += int(feasible.sum())
        table = part([*self.paths, *self.objectives]).iloc[chosen]
        here = slice(self._count, self._count + len(chosen))
        self._count = here.stop
        self._index[here] = index[chosen]
        for place, axis in enumerate(self._result.axes):
            self._levels[here, place] = _levels(axis, table)
        for place, name in enumerate(self.objectives):
            self._values[here, place] = table[name].to_numpy()
        if on.any():
            self._add_energy(part, index, np.flatnonzero(on))

    def _add_energy(self, part: Part, index: Integers, chosen: Integers) -> None:
        """Keep the energy of designs that are on the front, at their place on it."""
        table = part([name for pair in self.energies for name in pair]).iloc[chosen]
        order = np.argsort(self._front)
        places = order[np.searchsorted(self._front, index[chosen], sorter=order)]
        for place, pair in enumerate(self.energies):
            self._energy[places, place] = table[pair].sum(axis=1).to_numpy()

    def rows(self) -> SweepRows | None:
        """Return what was kept, None where it is not what the sweep wrote."""
        result, front = self._result, self._front
        index, levels = self._index[: self._count], self._levels[: self._count]
        rows = pd.Index(index).get_indexer(pd.Index(front)).astype(np.int64)
        if self._seen != result.feasible or (rows < 0).any() or (levels < 0).any():
            return None
        knee = None if result.knee is None else int(rows[front.tolist().index(result.knee)])
        return SweepRows(
            result, index, levels, self._values[: self._count], self._energy, rows, knee
        )


def _parts(file: Path, kept: _Kept) -> Iterator[Part]:
    """Yield the parts of a table by index."""
    if file.suffix == ".csv":
        energies = [name for pair in kept.energies for name in pair]
        columns = ["index", "feasible", *kept.paths, *kept.objectives, *energies]
        # Axes are compared as text, so that "true", "os" and 0.5 are all what was written.
        types = dict.fromkeys(kept.paths, str)
        unique = list(dict.fromkeys(columns))
        with pd.read_csv(file, usecols=unique, dtype=types, chunksize=BATCH) as parts:
            for table in parts:
                yield partial(_some, table)
        return
    from pyarrow.parquet import ParquetFile

    for path in sorted(file.glob("*.parquet")):
        with ParquetFile(path) as part:
            for group in range(part.num_row_groups):
                yield partial(_row_group, part, group)


def _some(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    return table[list(dict.fromkeys(columns))]


def _row_group(part: Any, group: int, columns: Iterable[str]) -> pd.DataFrame:
    names = list(dict.fromkeys(columns))
    # Threads would each keep memory of their own for the columns they decode.
    table: pd.DataFrame = part.read_row_group(group, columns=names, use_threads=False).to_pandas()
    return table


def _levels(axis: SweepAxis, table: pd.DataFrame) -> npt.NDArray[np.int32]:
    """Return the level of every design on an axis, -1 where it is on none."""
    keys = [
        _keys(table[path], number) for path, number in zip(axis.paths, axis.numeric, strict=True)
    ]
    known: dict[tuple[Any, ...], int] = {}
    for level, row in enumerate(axis.values):
        known.setdefault(
            tuple(float(v) if n else level_text(v) for v, n in zip(row, axis.numeric, strict=True)),
            level,
        )
    codes, found = pd.factorize(pd.MultiIndex.from_arrays(keys) if len(keys) > 1 else keys[0])
    levels = [known.get(key if isinstance(key, tuple) else (key,), -1) for key in found]
    return np.array(levels, dtype=np.int32)[codes]


def _keys(column: pd.Series[Any], numeric: bool) -> Any:
    return column.astype(np.float64) if numeric else column.astype(str)
