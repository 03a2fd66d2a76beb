"""Numbers as the record of synthesis keeps them: plain, to five digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DIGITS = 5


def plain(value: Any) -> Any:
    """Return lists, dicts and plain numbers, floats rounded, all the way down."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
