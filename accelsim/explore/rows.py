"""One row of a finished sweep, back as the design it stands for: ``RESULT#ROW``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.config import DesignConfig, replaced, validate
from accelsim.errors import UserError, did_you_mean
from accelsim.explore.axes import DESIGN, cell
from accelsim.explore.inputs import code_inputs, technology_digest, trace_digest
from accelsim.explore.store import CSV, PARQUET, SWEEP
from accelsim.explore.sweep import load_sweep
from accelsim.explore.table import load_pyarrow
from accelsim.hardware.technology import Technology
from accelsim.result import SweepResult
from accelsim.trace import Trace


@dataclass(frozen=True)
class Row:
    """A design of a sweep, and the workload it ran.

    Attributes:
        config: The design.
        file: sweep.json, which holds all it is made of.
        workload: What the sweep ran, as it wrote it down.
        place: Sweep and index, as a reader is told.
        inputs: Hash or version of what the table follows from, by name.
    """

    config: DesignConfig
    file: Path
    workload: Mapping[str, Any]
    place: str
    inputs: Mapping[str, str]

    def changes(
        self, config: DesignConfig, technology: Technology, trace: Trace | None
    ) -> list[str]:
        """Return a note on what a run has other than the sweep had, none where it has the same.

        Args:
            config: The design that runs, which may be changed from the row's.
            technology: Its prices.
            trace: What it runs, None where that is not the sweep's workload.
        """
        now = code_inputs() | {f"technology {config.technology}": technology_digest(technology)}
        if trace is not None:
            prefix = self.workload["prefix"]
            now[f"workload {prefix}{config.network_form}"] = trace_digest(trace)
        changed = [name for name in now if self.inputs.get(name, now[name]) != now[name]]
        if not changed:
            return []
        return [
            f"{', '.join(changed)} changed since {self.place} was evaluated: "
            "the table of the sweep can hold other numbers"
        ]


def is_row(name: str) -> bool:
    """Return whether ``name`` names a row of a sweep rather than a design."""
    place, mark, row = name.rpartition("#")
    return bool(mark) and bool(place) and row.partition("/")[0].isdigit()


def read_row(name: str) -> Row:
    """Return the design that ``RESULT#ROW`` names.

    Args:
        name: A sweep's folder or any of its files, ``#``, the index of a row, and where there are
            several workloads ``/NAME``.

    Raises:
        UserError: No such sweep, row or workload.
    """
    place, _, rest = name.rpartition("#")
    number, _, wanted = rest.partition("/")
    folder = _folder(Path(place))
    result = load_sweep(folder)
    workload = _workload(result, wanted, name)
    cells = _cells(result, folder, int(number))
    content: dict[str, Any] = {}
    base = cells.get(DESIGN, next(iter(result.bases)))
    content = dict(result.bases[base])
    for axis in result.axes:
        level = _level(axis.paths, axis.values, axis.numeric, cells, folder)
        for path, value in zip(axis.paths, axis.values[level], strict=True):
            if path != DESIGN:
                content = replaced(content, path, value, folder)
    content["name"] = f"{result.name}-{number}"[:80]
    config = validate(DesignConfig, content, name)
    place = f"row {number} of sweep {result.name}"
    return Row(config, folder / SWEEP, workload, place, result.inputs)


def _folder(place: Path) -> Path:
    folder = place if place.is_dir() and place.name != PARQUET else place.parent
    if not (folder / SWEEP).exists():
        raise UserError(
            "holds no finished sweep",
            file=place,
            allowed="expected the folder of a sweep, or a file in it",
        )
    return folder


def _workload(result: SweepResult, wanted: str, name: str) -> Mapping[str, Any]:
    names = [str(workload["name"]) for workload in result.workloads]
    if len(names) == 1 and wanted in ("", names[0]):
        return result.workloads[0]
    if wanted not in names:
        raise UserError(
            "names no workload of the sweep",
            file=name,
            value=wanted,
            allowed="expected RESULT#ROW/NAME, " + did_you_mean(wanted, names),
        )
    return result.workloads[names.index(wanted)]


def _cells(result: SweepResult, folder: Path, number: int) -> dict[str, str]:
    """Return the cells of a row as text, by column."""
    path = folder / result.table
    wanted = ["index", *(path for axis in result.axes for path in axis.paths)]
    rows = _csv_rows(path, number) if result.table == CSV else _parquet_rows(path, number, wanted)
    for row in rows:
        return row
    allowed = f"allowed: 0 to {result.points - 1}"
    if number < result.points:
        allowed = "it was refused; sweep.json counts the reasons"
    raise UserError("has no such row", file=path, value=number, allowed=allowed)


def _csv_rows(path: Path, number: int) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            start = f"{number},"
            header = next(lines)
            for line in lines:
                if line.startswith(start):
                    yield next(csv.DictReader([header, line]))
    except OSError as cause:
        raise UserError("cannot be read", file=path, value=cause.strerror) from cause


def _parquet_rows(path: Path, number: int, columns: list[str]) -> Iterator[dict[str, str]]:
    pyarrow = load_pyarrow()
    try:
        found = pyarrow.parquet.read_table(path, columns=columns, filters=[("index", "=", number)])
    except (OSError, ValueError) as cause:
        raise UserError("cannot be read", file=path) from cause
    for row in found.to_pylist():
        yield {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _level(
    paths: tuple[str, ...],
    values: tuple[tuple[Any, ...], ...],
    numeric: tuple[bool, ...],
    cells: Mapping[str, str],
    folder: Path,
) -> int:
    """Return the level of an axis whose values stand in the cells of a row."""
    for level, row in enumerate(values):
        pairs = zip(paths, row, numeric, strict=True)
        if all(_equal(value, cells[path], number) for path, value, number in pairs):
            return level
    raise UserError("row has values that its axes lack", file=folder, value=paths[0])


def _equal(value: Any, text: str, number: bool) -> bool:
    return float(value) == float(text) if number else cell(value) == text
