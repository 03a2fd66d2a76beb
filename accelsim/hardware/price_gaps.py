"""Prices that synthesis and measurement have not closed, as a table for docs/prices.md."""

from __future__ import annotations

from collections.abc import Iterable

from accelsim.hardware.prices import Price
from accelsim.hardware.technology import CLOSED_HOWS, SHOWN_BITS, Technology


def gaps_table(technologies: Iterable[Technology]) -> str:
    """Return, as Markdown, what synthesis and measurement have not closed, per technology.

    The last column names the technologies, of those given, that have closed the same gap.
    """
    listed = list(technologies)
    blocks = []
    for technology in listed:
        rows = [_gap_row(price, listed) for price in technology.gaps()]
        blocks.append(
            "\n".join(
                (
                    f"### {technology.name}",
                    "",
                    "| price | value (low to high) | how | because | source | closed in |",
                    "|---|---|---|---|---|---|",
                    *rows,
                )
            )
        )
    return "\n\n".join(blocks) + "\n"


def _gap_row(price: Price, technologies: Iterable[Technology]) -> str:
    unit = "" if price.unit == "1" else f" {price.unit}"
    number = f"{price.value:.4g} ({price.low:.4g} to {price.high:.4g}){unit}"
    closed = ", ".join(each.name for each in technologies if _closes(each, price.name))
    cells = (f"`{price.name}`", number, price.how, price.because, price.source, closed or "none")
    return f"| {' | '.join(cells)} |"


def _closes(technology: Technology, name: str) -> bool:
    """Whether a price rests on cells or a measurement, or is a part of a PE measured whole."""
    if name.startswith("pe."):
        return f"pe.{name.split('.')[1]}.shape.flops" in technology.entries
    return name in technology.entries and technology.price(name, SHOWN_BITS).how in CLOSED_HOWS
