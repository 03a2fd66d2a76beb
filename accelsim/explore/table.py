"""The table of a sweep: one row a design, by index, as CSV or as a Parquet dataset.

Floats are written with the shortest digits that read back exactly; a cell without a value is
empty (null in Parquet).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk
from accelsim.explore.figures import bound_words
from accelsim.explore.plan import Plan
from accelsim.explore.store import CSV, GO_ON, PARQUET
from accelsim.files import whole_file, whole_folder

# Above this many points a table is Parquet, unless CSV is asked for.
MOST_CSV_POINTS = 100_000
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
            cells = [_texts(column) for column in _columns(plan, chunk, pareto)]
            out.writelines(f"{line}\n" for line in map(",".join, zip(*cells, strict=True)))
        out.flush()


def _columns(plan: Plan, chunk: Chunk, pareto: npt.NDArray[np.bool_]) -> Iterator[Any]:
    """Yield every column of a chunk: numbers as arrays, words as lists."""
    yield chunk.index
    for a, axis in enumerate(plan.space.axes):
        level = chunk.levels[:, a]
        for position, column in enumerate(axis.columns):
            if column is None:
                words = axis.cells(position)
                yield [words[at] for at in level.tolist()]
            else:
                yield column[level]
    yield chunk.feasible.astype(np.int64)
    yield pareto.astype(np.int64)
    integers, floats = iter(chunk.integers), iter(chunk.floats)
    for figure in plan.figures:
        numbers = next(integers) if figure.whole else next(floats)
        yield bound_words(numbers) if figure.words else numbers


def _texts(column: Any) -> list[str]:
    if isinstance(column, list):
        quoted = {word: _quoted(word) for word in set(column)}
        return [quoted[word] for word in column]
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
    with whole_folder(to / PARQUET, allowed=GO_ON) as folder:
        writer: Any = None
        part = -1
        for chunk, pareto in chunks:
            content = _arrow(pyarrow, plan, chunk, pareto)
            for number, rows in _parts(chunk.index):
                if number != part:
                    if writer is not None:
                        writer.close()
                    name = folder / f"part-{number:06d}.parquet"
                    writer, part = pyarrow.parquet.ParquetWriter(name, content.schema), number
                writer.write_table(content.take(pyarrow.array(rows)))
        if writer is not None:
            writer.close()


def _parts(index: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    numbers = index // PART_POINTS
    for number in np.unique(numbers).tolist():
        yield number, np.flatnonzero(numbers == number)


def _arrow(pyarrow: Any, plan: Plan, chunk: Chunk, pareto: npt.NDArray[np.bool_]) -> Any:
    arrays = []
    for column in _columns(plan, chunk, pareto):
        if isinstance(column, list):
            arrays.append(pyarrow.array([word or None for word in column], pyarrow.string()))
        else:
            arrays.append(pyarrow.array(column, from_pandas=True))
    return pyarrow.table(arrays, names=list(table_columns(plan)))
