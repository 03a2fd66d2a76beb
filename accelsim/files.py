"""Files appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelsim.errors import UserError


@contextmanager
def whole_file(
    target: Path, *, parents: bool = False, allowed: str | None = None, durable: bool = False
) -> Iterator[Path]:
    """Yield a temporary name beside ``target``; what is written there ends up under ``target``.

    Args:
        target: Where it goes.
        parents: Make the folder if need be.
        allowed: What the user may do where this fails.
        durable: Return only when the content would survive a loss of power.

    Raises:
        UserError: The file cannot be written; nothing of it is left, as after any other error.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(21, "a folder of that name is in the way")
        try:
            yield temporary
            if durable:
                _synchronise(temporary)
            os.replace(temporary, target)
            if durable:
                _synchronise(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as cause:
        raise UserError(
            "cannot be written", file=target, value=cause.strerror, allowed=allowed
        ) from cause


@contextmanager
def whole_folder(target: Path, *, allowed: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder whose files end up under ``target``, in place of what is there.

    Raises:
        UserError: It cannot be written; nothing of it is left, as after any other error.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for path in (*temporary.iterdir(), temporary):
                _synchronise(path)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
            _synchronise(target.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as cause:
        raise UserError(
            "cannot be written", file=target, value=cause.strerror, allowed=allowed
        ) from cause


def write_whole(
    target: Path,
    content: bytes,
    *,
    parents: bool = False,
    allowed: str | None = None,
    durable: bool = False,
) -> Path:
    """Write ``content`` to ``target`` as `whole_file` does, and return ``target``.

    Args:
        target: Where it goes.
        content: All of it.
        parents: Make the folder if need be.
        allowed: What the user may do where this fails.
        durable: Return only when the content would survive a loss of power.

    Raises:
        UserError: The file cannot be written; nothing of it is left.
    """
    with whole_file(target, parents=parents, allowed=allowed, durable=durable) as temporary:
        temporary.write_bytes(content)
    return target


def _synchronise(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to its disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
