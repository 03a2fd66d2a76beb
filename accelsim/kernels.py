"""The one decorator that compiles a kernel; numba is imported when it is first applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile ``function`` to native code on its first call, without the GIL.

    Integer division by zero follows numpy (no exception), indices are not checked and floating
    arithmetic is never reordered. A module that applies this decorator imports numba: it has to be
    imported lazily by whatever must start fast.

    Args:
        function: Takes and returns scalars, tuples and arrays that numba can type.

    Returns:
        The compiled function; it may be called from other kernels.
    """
    import numba

    compiled = numba.njit(
        cache=True, nogil=True, fastmath=False, error_model="numpy", boundscheck=False
    )(function)
    return cast(Kernel, compiled)
