"""The folder of a sweep: finished chunks that survive anything, then the table and sweep.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk, decode_chunk, encode_chunk
from accelsim.files import write_whole

CHUNKS, INPUTS, SWEEP, CSV, PARQUET, STUDY = (
    "chunks",
    "inputs.json",
    "sweep.json",
    "results.csv",
    "results.parquet",
    "study.log",
)
CHUNK = ".chunk"
PAGE = "report.html"  # what is made from the table, of no use without it
ELSEWHERE = "choose another folder with --out"
ANEW = f"start over with --force, or {ELSEWHERE}"
GO_ON = "free space, then go on with --resume"


class Store:
    """Chunks of one sweep in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._chunks = folder / CHUNKS

    def open(self, inputs: Mapping[str, str], *, resume: bool, force: bool) -> bool:
        """Make the folder ready; return whether the sweep is finished already.

        Raises:
            UserError: Results are there and neither option is given, or they follow from other
                inputs.
        """
        self._check_folder()
        if force:
            self.clear()
        began = self._inputs()
        if began is not None and not resume:
            finished = (self.folder / SWEEP).exists()
            raise UserError(
                "holds a sweep" if finished else "holds an unfinished sweep",
                file=self.folder,
                allowed=ANEW if finished else f"go on with --resume, {ANEW}",
            )
        if began is not None:
            self._compare(began, inputs)
        self._sweep_up()
        if (self.folder / SWEEP).exists():
            self.remove_chunks()
            return True
        if began is None:
            content = json.dumps(inputs, indent=2).encode()
            path = self._chunks / INPUTS
            write_whole(path, content, parents=True, allowed=ELSEWHERE, durable=True)
        return False

    def _check_folder(self) -> None:
        """Make the folder, so that one that cannot be is told at once and by its own name."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except (OSError, ValueError) as cause:
            raise UserError(
                "cannot be written",
                file=self.folder,
                value=getattr(cause, "strerror", None) or "no such name",
                allowed=ELSEWHERE,
            ) from cause

    def clear(self) -> None:
        """Remove a sweep and its page from the folder, and nothing else."""
        for name in (SWEEP, CSV, STUDY, PAGE):
            (self.folder / name).unlink(missing_ok=True)
        for name in (CHUNKS, PARQUET):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _inputs(self) -> dict[str, str] | None:
        """Return the inputs of the sweep that is here, None without one or its first chunk."""
        if not (self.folder / SWEEP).exists() and not self.finished():
            return None
        for path, key in ((self.folder / SWEEP, "inputs"), (self._chunks / INPUTS, None)):
            if path.exists():
                content = read_json(path)
                found = content if key is None else content.get(key)
                if not isinstance(found, dict):
                    raise UserError("holds no sweep", file=path, allowed=ANEW)
                return found
        return None

    def _compare(self, began: Mapping[str, str], inputs: Mapping[str, str]) -> None:
        names = dict.fromkeys([*began, *inputs])
        changed = [name for name in names if began.get(name) != inputs.get(name)]
        if changed:
            raise UserError(
                f"began with other inputs: {', '.join(changed)} changed",
                file=self.folder,
                allowed=f"put back what changed, {ANEW}",
            )

    def _sweep_up(self) -> None:
        """Remove what a killed run was writing."""
        for folder in (self.folder, self._chunks):
            for path in folder.glob(".*.tmp"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def finished(self) -> set[int]:
        """Return the numbers of the chunks that are here."""
        return {int(path.stem) for path in self._chunks.glob(f"*{CHUNK}")}

    def save(self, chunk: Chunk) -> None:
        """Keep a chunk for good; raise UserError where the disk does not take it."""
        path = self._path(chunk.number)
        write_whole(path, encode_chunk(chunk), allowed=GO_ON, durable=True)

    def load(self, number: int) -> Chunk:
        """Return a chunk that was saved."""
        path = self._path(number)
        try:
            return decode_chunk(path.read_bytes())
        except (OSError, ValueError) as cause:
            raise UserError("is no chunk of a sweep", file=path, allowed=ANEW) from cause

    def remove_chunks(self) -> None:
        """Remove the chunks once their rows stand in the table."""
        shutil.rmtree(self._chunks, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._chunks / f"{number:09d}{CHUNK}"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raise UserError where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise UserError("cannot be read", file=path, value=cause.strerror) from cause
    except ValueError as cause:
        raise UserError("is not valid JSON", file=path) from cause
