"""A PE that was measured at several accumulator widths: one price by width out of several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Entries = Mapping[str, Any]  # prices as the YAML of a technology has them

WIDEST = 64  # past the widest one measured a price grows with the width, up to here
_OWN_WIDTH = "shape.accumulator_bits"
_CONSTANT = (".share.", ".shape.latency", ".shape.lanes")  # what does not grow with it


def merged_widths(prices: Entries) -> dict[str, Any]:
    """Return prices in which ``pe.NAME_16.*``, ``pe.NAME.*``, ... are one ``pe.NAME.*`` by width.

    All widths take the widest interval of any. A delay is the longest of all widths.

    Args:
        prices: Entries of a technology's YAML, those of NAME itself among them.
    """
    merged = dict(prices)
    stems = sorted({match[1] for name in prices if (match := re.match(r"(pe\.\w+?)\.", name))})
    for stem in stems:
        others = [other for other in stems if re.fullmatch(rf"{re.escape(stem)}_\d+", other)]
        if not others or f"{stem}.{_OWN_WIDTH}" not in prices:
            continue
        for name in [name for name in prices if name.startswith(f"{stem}.")]:
            suffix = name.removeprefix(f"{stem}.")
            listed = {_width(prices, each): prices[f"{each}.{suffix}"] for each in (stem, *others)}
            merged[name] = _by_width(prices[name], listed, suffix)
        for name in [name for name in prices if name.split(".", 2)[1] in _last(others)]:
            del merged[name]
    return merged


def _last(stems: list[str]) -> set[str]:
    return {stem.removeprefix("pe.") for stem in stems}


def _width(prices: Entries, stem: str) -> int:
    return int(prices[f"{stem}.{_OWN_WIDTH}"]["value"])


def _by_width(entry: Entries, listed: Mapping[int, Entries], suffix: str) -> dict[str, Any]:
    if suffix.endswith("delay"):
        return dict(max(listed.values(), key=lambda each: each["value"]))
    widest = max(listed)
    growth = 1.0 if any(part in f".{suffix}" for part in _CONSTANT) else WIDEST / widest
    low, high = (
        pick((each[bound] / each["value"] for each in listed.values() if each["value"]), default=1)
        for pick, bound in ((min, "low"), (max, "high"))
    )
    values = {width: each["value"] for width, each in sorted(listed.items())}
    values[WIDEST] = values[widest] * growth
    points = {
        width: {"value": value, "low": value * low, "high": value * high}
        for width, value in values.items()
    }
    kept = {key: entry[key] for key in ("how", "unit", "because", "source")}
    kept["source"] += f"; by width, past {widest} bits in proportion to it"
    return {"by_bits": points, **kept}
