"""Files appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelsim.errors import UserError


@contextmanager
def whole_file(
    target: Path, *, parents: bool = False, allowed: str | None = None
) -> Iterator[Path]:
    """Yield a temporary name beside ``target``; what is written there ends up under ``target``.

    Args:
        target: Where it goes.
        parents: Make the folder if need be.
        allowed: What the user may do where this fails.

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
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as cause:
        raise UserError(
            "cannot be written", file=target, value=cause.strerror, allowed=allowed
        ) from cause


def write_whole(
    target: Path, content: bytes, *, parents: bool = False, allowed: str | None = None
) -> Path:
    """Write ``content`` to ``target`` as `whole_file` does, and return ``target``.

    Raises:
        UserError: The file cannot be written; nothing of it is left.
    """
    with whole_file(target, parents=parents, allowed=allowed) as temporary:
        temporary.write_bytes(content)
    return target
