"""Files that are mapped read-only, so that tensors take memory only where they are read."""

from __future__ import annotations

import mmap
import stat
from pathlib import Path

from accelsim.errors import UserError


def file_size(path: Path) -> int:
    """Return the bytes of a regular file; a pipe or a device would never end.

    Raises:
        UserError: there is no such file, or it is of another kind.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be read: {reason}", file=path) from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError("cannot be read: it is no regular file", file=path)
    return status.st_size


def forget_pages(mapped: mmap.mmap) -> None:
    """Take the pages of a file that is mapped read-only out of this process's memory."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def map_file(path: Path) -> mmap.mmap:
    """Map a file read-only.

    Raises:
        UserError: there is none, it cannot be read, or it is empty.
    """
    file_size(path)
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path) from None
    except ValueError:
        raise UserError("is empty", file=path) from None
