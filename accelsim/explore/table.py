"""The table of a sweep: one row a design, by index, as CSV or as a Parquet dataset.

Floats are written with the shortest digits that read back exactly; a cell without a value is
empty (null in Parquet).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk
from accelsim.explore.plan import Plan
from accelsim.explore.store import CSV, GO_ON, PARQUET
from accelsim.files import whole_file, whole_folder
from accelsim.result import BOUNDS

# Above this many points a table is Parquet, unless CSV is asked for.
MOST_CSV_POINTS = 100_000
# Rows spelt at once: as text a row takes some ten times the memory of its numbers.
CSV_ROWS = 2048
# Points of one file of the dataset.
PART_POINTS = 1_000_000


def table_columns(plan: Plan) -> tuple[str, ...]:
    """Return the names of all columns, in order."""
    paths = [path for axis in plan.space.axes for path in axis.paths]
    return ("index", *paths, "feasible", "pareto", *(figure.name for figure in plan.figures))


def write_csv(plan: Plan, chunks: Iterable[tuple[Chunk, npt.NDArray[np.bool_]]], to: Path) -> None:
    """Write the whole table as CSV; each chunk comes with its flags of the front."""
    target = to / CSV
    with (
        whole_file(target, allowed=GO_ON, durable=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as out,
    ):
        out.write(",".join(map(_quoted, table_columns(plan))) + "\n")
        for chunk, pareto in chunks:
            columns = list(_columns(plan, chunk, pareto))
            for first in range(0, len(chunk.index), CSV_ROWS):
                some = slice(first, first + CSV_ROWS)
                cells = [_texts(column[some]) for column in columns]
                out.writelines(f"{line}\n" for line in map(",".join, zip(*cells, strict=True)))
        out.flush()


@dataclass(frozen=True)
class Words:
    """A column of words: distinct ones, and the place among them of every row, int64 [R]."""

    words: list[str]
    places: npt.NDArray[np.int64]

    def __getitem__(self, rows: slice) -> Words:
        return Words(self.words, self.places[rows])


def _columns(plan: Plan, chunk: Chunk, pareto: npt.NDArray[np.bool_]) -> Iterator[Any]:
    """Yield every column of a chunk: arrays of numbers, or Words."""
    yield chunk.index
    for a, axis in enumerate(plan.space.axes):
        level = chunk.levels[:, a]
        for position, column in enumerate(axis.columns):
            if column is None:
                yield Words(axis.cells(position), level)
            else:
                yield column[level]
    yield chunk.feasible.astype(np.int64)
    yield pareto.astype(np.int64)
    integers, floats = iter(chunk.integers), iter(chunk.floats)
    for figure in plan.figures:
        numbers = next(integers) if figure.whole else next(floats)
        if figure.words:
            yield Words([*BOUNDS, ""], np.where(numbers < 0, len(BOUNDS), numbers))
        else:
            yield numbers


def _texts(column: Any) -> list[str]:
    if isinstance(column, Words):
        quoted = [_quoted(word) for word in column.words]
        return [quoted[place] for place in column.places.tolist()]
    if column.dtype.kind == "i":
        return [str(number) for number in column.tolist()]
    texts = [repr(number) for number in column.tolist()]
    for row in np.flatnonzero(np.isnan(column)):
        texts[row] = ""
    return texts


def _quoted(word: str) -> str:
    if not word:
        return word
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([word])
    return out.getvalue()


def load_pyarrow() -> Any:
    """Return pyarrow and its Parquet module.

    Raises:
        UserError: They are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as cause:
        raise UserError(
            "needs pyarrow for a table of this size",
            file="sweep",
            allowed="pip install 'accelsim[parquet]', or ask for CSV with --csv",
        ) from cause
    return pyarrow


def write_parquet(
    plan: Plan, chunks: Iterable[tuple[Chunk, npt.NDArray[np.bool_]]], to: Path
) -> None:
    """Write the table as a Parquet dataset, a file for each million of points."""
    pyarrow = load_pyarrow()
    with whole_folder(to / PARQUET, allowed=GO_ON) as folder, ExitStack() as stack:
        writer: Any = None
        part = -1
        for chunk, pareto in chunks:
            content = _arrow(pyarrow, plan, chunk, pareto)
            for number, first, last in _parts(chunk.index):
                if number != part:
                    stack.close()
                    part = number
                    file = _writer(pyarrow, plan, content, folder / f"part-{part:06d}.parquet")
                    writer = stack.enter_context(file)
                writer.write_table(content.slice(first, last - first))
        if writer is None:  # no design can run, yet a table has columns
            stack.enter_context(_writer(pyarrow, plan, content, folder / "part-000000.parquet"))


def _writer(pyarrow: Any, plan: Plan, content: Any, name: Path) -> Any:
    """Return the writer of a file; columns of few values are kept as places in a list of them.

    Looking for repetitions in all the others would take most of the time of writing.
    """
    few = [path for axis in plan.space.axes for path in axis.paths]
    few += ["feasible", "pareto", *(figure.name for figure in plan.figures if figure.words)]
    return pyarrow.parquet.ParquetWriter(name, content.schema, use_dictionary=few)


def _parts(index: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each file that a chunk has rows in, and which rows, first to last."""
    numbers, first = np.unique(index // PART_POINTS, return_index=True)
    ends = [*first.tolist(), len(index)]
    yield from zip(numbers.tolist(), ends, ends[1:], strict=False)


def _arrow(pyarrow: Any, plan: Plan, chunk: Chunk, pareto: npt.NDArray[np.bool_]) -> Any:
    arrays = []
    for column in _columns(plan, chunk, pareto):
        if isinstance(column, Words):
            words = pyarrow.array([word or None for word in column.words], pyarrow.string())
            arrays.append(words.take(pyarrow.array(column.places)))
        else:
            arrays.append(pyarrow.array(column, from_pandas=True))
    return pyarrow.table(arrays, names=list(table_columns(plan)))
