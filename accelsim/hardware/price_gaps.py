"""Prices that synthesis and measurement have not closed, as a table for docs/prices.md."""

from __future__ import annotations

from collections.abc import Iterable

from accelsim.hardware.prices import Price
from accelsim.hardware.technology import Technology


def gaps_table(technologies: Iterable[Technology]) -> str:
    """Return, as Markdown, what synthesis and measurement have not closed, per technology."""
    blocks = []
    for technology in technologies:
        rows = [_gap_row(price) for price in technology.gaps()]
        blocks.append(
            "\n".join(
                (
                    f"### {technology.name}",
                    "",
                    "| price | value (low to high) | how | because | source |",
                    "|---|---|---|---|---|",
                    *rows,
                )
            )
        )
    return "\n\n".join(blocks) + "\n"


def _gap_row(price: Price) -> str:
    unit = "" if price.unit == "1" else f" {price.unit}"
    number = f"{price.value:.4g} ({price.low:.4g} to {price.high:.4g}){unit}"
    return f"| `{price.name}` | {number} | {price.how} | {price.because} | {price.source} |"
