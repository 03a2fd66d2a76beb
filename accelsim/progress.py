"""What a terminal shows while something takes time, on stderr."""

from __future__ import annotations

import sys
from typing import Any

import click


class Progress:
    """Show on stderr what is going on; silent where nobody watches a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._status: Any = None
        self._bar: Any = None
        self._quiet = quiet
        self._told_cold = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __call__(self, text: str) -> None:
        """Show what is going on now."""
        self._tell_cold(text)
        if self._quiet or not sys.stderr.isatty():
            return
        self._stop_bar()
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
            self._status.start()
        self._status.update(text)

    def advance(self, done: int, points: int) -> None:
        """Show how many of all points are done, as a bar with the time that is left."""
        if self._quiet or not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            self.stop()
            self._bar = progress.Progress(
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                "designs",
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.add_task("designs")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=points)

    def _tell_cold(self, text: str) -> None:
        """Say once that kernels are compiled, when they are: not where input is refused before."""
        if self._told_cold or text.startswith("reading"):
            return
        self._told_cold = True
        from accelsim import kernels

        if kernels.is_cold():
            click.echo("first run: compiling, about half a minute, once", err=True)

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def stop(self) -> None:
        """Take down whatever is shown."""
        self._stop_bar()
        if self._status is not None:
            self._status.stop()
            self._status = None
