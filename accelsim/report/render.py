"""Fill the templates of pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from accelsim.report.quantities import digits, interval, percent, plain_name, quantity, span, times


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return a template of this package, filled; a name it lacks is an error."""
    environment = Environment(
        loader=PackageLoader("accelsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "quantity": quantity,
        "percent": percent,
        "times": times,
        "interval": interval,
        "span": span,
        "spelt": digits,
        "plain_name": plain_name,
    }
    return environment.get_template(template).render(context)
