"""Work cut into pieces that write different outputs, so that their number never shows in a byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

from accelsim.errors import UserError

THREADS_VARIABLE = "ACCELSIM_THREADS"
MAX_THREADS = 1024
# Waking a thread costs about as long as this many multiply-adds take.
_WORTH_A_THREAD = 1 << 21


def default_threads() -> int:
    """Return ``ACCELSIM_THREADS`` or, where it is not set, the CPUs this process may use.

    Raises:
        UserError: the variable is set to something else than 1 to 1024.
    """
    text = os.environ.get(THREADS_VARIABLE)
    if text is None:
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable else os.cpu_count() or 1
    if not text.isdecimal() or not 1 <= int(text) <= MAX_THREADS:
        allowed = f"allowed: 1 to {MAX_THREADS}"
        raise UserError("no thread count", file=THREADS_VARIABLE, value=text, allowed=allowed)
    return int(text)


class Threads:
    """A fixed number of threads; they start with the first work that is worth them."""

    def __init__(self, count: int | None = None) -> None:
        self.count = default_threads() if count is None else count
        if not 1 <= self.count <= MAX_THREADS:
            allowed = f"allowed: 1 to {MAX_THREADS}"
            raise UserError("no thread count", key="threads", value=count, allowed=allowed)
        self._pool: ThreadPoolExecutor | None = None

    def split(self, work: Callable[[int, int], None], items: int, cost: int, step: int = 4) -> None:
        """Call ``work(begin, end)`` on ranges that together cover 0 .. items.

        Ranges begin at multiples of ``step``.

        Args:
            work: Releases the interpreter lock and writes only outputs of its own range.
            items: How many there are.
            cost: Multiply-adds of the whole, or what takes as long.
            step: Items that are better not parted: the height of the kernels' tiles.
        """
        pieces = min(self.count, -(-items // step), cost // _WORTH_A_THREAD + 1)
        if pieces <= 1:
            work(0, items)
            return
        bounds = [items * piece // pieces // step * step for piece in range(pieces)] + [items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count - 1, "accelsim")
        futures = [self._pool.submit(work, *pair) for pair in pairwise(bounds[1:])]
        try:
            work(bounds[0], bounds[1])
        finally:
            wait(futures)
        for future in futures:
            future.result()
