"""What commands do with an outcome: print it as JSON or as tables, and write its report."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

PAGE_WIDTH, LISTING_WIDTH = 100, 160  # of what goes to a file or a pipe


def print_result(result: Any, as_json: bool, table: str) -> None:
    """Print a plain result as JSON, or through a function of ``report``, ``MODULE.FUNCTION``."""
    if as_json:
        click.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        module, function = table.split(".")
        page = import_module(f"accelsim.report.{module}")
        console(LISTING_WIDTH).print(getattr(page, function)(result))


def deliver(outcome: Any, as_json: bool, no_report: bool, out: Path | None, tell: Any) -> None:
    """Write numbers, print, then write the report."""
    from accelsim import api

    folder = out or api.default_folder(outcome)
    api.write_numbers(outcome, folder)
    if as_json:
        click.echo(json.dumps(api.outcome_summary(outcome), indent=2, allow_nan=False))
    else:
        tell.stop()
        console().print(api.outcome_table(outcome))
    if not no_report:
        tell("writing the report")
        api.write_report(outcome, folder)
    tell.stop()
    if not as_json:
        page = ", start with report.html" if (folder / "report.html").exists() else ""
        click.echo(f"\nwritten to {folder}{page}")


def console(width: int = PAGE_WIDTH) -> Any:
    """Return a console as wide as the terminal, or ``width`` where nobody watches one."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False)
