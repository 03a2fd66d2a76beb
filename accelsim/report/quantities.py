"""How numbers are spelt for a person: three digits, an SI prefix, a unit."""

from __future__ import annotations

import math
from collections.abc import Iterable

PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
    (1e-15, "f"),
)
MISSING = "n/a"


def scale(values: Iterable[float]) -> tuple[float, str]:
    """Return the step and SI prefix that fit the largest of ``values``; 1 and "" for all zero."""
    largest = max((abs(value) for value in values), default=0.0)
    if not largest or not math.isfinite(largest):
        return 1.0, ""
    # 0.9995 rounds to the next prefix at three digits.
    return next((row for row in PREFIXES if largest >= row[0] * 0.9995), PREFIXES[-1])


def quantity(value: float | None, unit: str = "") -> str:
    """Return ``12.3 mJ`` for 0.0123 and ``J``; ``n/a`` for None and for what is not finite.

    A count or rate without a unit takes a prefix from 1000 on only.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if not unit and abs(value) < 1:
        return digits(value)
    step, prefix = scale([value])
    return f"{digits(value / step)} {prefix}{unit}".strip()


def digits(value: float) -> str:
    """Return three significant digits, without an exponent for 0.001 <= |value| < 1e7."""
    if not value:
        return "0"
    if not 0.001 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    # Rounding first: 9.996 is 10.0, not 10.00.
    size = abs(float(f"{value:.2e}"))
    return f"{value:,.{max(0, 2 - math.floor(math.log10(size)))}f}"


def percent(share: float | None) -> str:
    """Return a share of 1 as ``12.3 %``; a trace that would round to zero as ``<0.1 %``."""
    if share is None or not math.isfinite(share):
        return MISSING
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %"


def times(ratio: float | None) -> str:
    """Return a ratio as ``3.2x``, with the multiplication sign."""
    if ratio is None or not math.isfinite(ratio):
        return MISSING
    return f"{digits(ratio)}×"


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """Return ``1.2 to 3.4 mJ``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    step, prefix = scale([low, high])
    return f"{digits(low / step)} to {digits(high / step)} {prefix}{unit}".strip()


def span(low: float | None, high: float | None) -> str:
    """Return ``1.20–3.40``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{digits(low)}–{digits(high)}"


def plain_name(name: str) -> str:
    """Return a component, cause or kind as words: ``operand registers``, ``DRAM``."""
    return {"sram": "SRAM", "dram": "DRAM", "lm_head": "lm_head"}.get(name, name.replace("_", " "))


def operator_name(name: str) -> str:
    """Return an operator's name without the phase before its slash."""
    return name.partition("/")[2] or name
