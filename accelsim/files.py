"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from accelsim.errors import UserError


def write_whole(
    target: Path, content: bytes, *, parents: bool = False, allowed: str | None = None
) -> Path:
    """Write ``content`` under a temporary name beside ``target`` and move it into place.

    Args:
        target: Where it goes.
        content: All of the file.
        parents: Make the folder if need be.
        allowed: What the user may do where this fails.

    Raises:
        UserError: The file cannot be written; nothing of it is left.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(21, "a folder of that name is in the way")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as cause:
        raise UserError(
            "cannot be written", file=target, value=cause.strerror, allowed=allowed
        ) from cause
    return target
