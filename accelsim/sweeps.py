"""Sweeps as a user asks for them: a sweep file, its networks, and where results go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelsim import locate
from accelsim.config import load_design_config
from accelsim.errors import UserError
from accelsim.explore.axes import Content, read_axes
from accelsim.explore.config import SweepConfig, WorkloadConfig, load_sweep_config
from accelsim.explore.plan import Plan, Run, check_plan, chunk_rows
from accelsim.explore.space import Space
from accelsim.explore.sweep import Order, nothing_feasible, run_sweep
from accelsim.hardware.technology import Technology, load_technology
from accelsim.result import SweepResult
from accelsim.workloads import Request, Source, open_source

Progress = Callable[[str], None]

__all__ = ["Order", "nothing_feasible", "read_space", "sweep", "workload_request"]

MOST_POINTS = 1_000_000  # without --yes
LARGEST_SPACE = 1 << 62  # an index is an int64


def sweep(
    name: str,
    *,
    out: Path | None = None,
    order: Order | None = None,
    yes: bool = False,
    tell: Progress = lambda _: None,
    advance: Callable[[int, int], None] = lambda done, points: None,
) -> tuple[SweepResult, Path]:
    """Evaluate every design of a sweep; return what was found and the folder it stands in.

    Args:
        name: A shipped sweep or a YAML file.
        out: Where results go, by default ``reports/sweep--NAME``.
        order: Who works, and what happens to what is in the folder.
        yes: Allow more than a million designs.
        tell: Told what is going on.
        advance: Told how many of all points are done.

    Raises:
        UserError: Anything in the input that does not fit.
    """
    path = locate.resolve(name, locate.SWEEPS, option="SWEEP")
    config = load_sweep_config(path)
    tell("checking the axes")
    space = read_space(config, path)
    _check_size(space, path, yes)
    sources = [(workload, _source(workload)) for workload in config.workloads]
    plan = _plan(config, space, sources, tell)
    check_plan(plan, path)
    folder = out or Path("reports") / f"sweep--{config.name}"
    options = tuple(
        {
            "name": workload.name or source.name,
            "prefix": run.prefix,
            **workload.model_dump(exclude={"name"}),
            "prefill": source.workload.prefill,
            "decode": source.workload.decode,
        }
        for (workload, source), run in zip(sources, plan.runs, strict=True)
    )
    result = run_sweep(config, plan, options, folder, order or Order(), tell, advance)
    return result, folder


def read_space(config: SweepConfig, path: Path) -> Space:
    """Return the bases and the checked axes of a sweep."""
    names = [config.base] if isinstance(config.base, str) else config.base
    bases: dict[str, Content] = {}
    for name in names:
        content = load_design_config(
            locate.resolve(name, locate.DESIGNS, option=f"{path}:base")
        ).model_dump(mode="json")
        if content["name"] in bases:
            raise UserError("two bases have one name", file=path, key="base", value=name)
        bases[content["name"]] = content
    if not bases:
        raise UserError("names no design", file=path, key="base")
    return Space(bases, read_axes(config.axes, bases, path), config.method)


def _check_size(space: Space, path: Path, yes: bool) -> None:
    if space.points > LARGEST_SPACE:
        raise UserError(
            "has more points than an index can count",
            file=path,
            key="axes",
            value=space.points,
            allowed="sample it: method random, latin_hypercube or search",
        )
    if space.points > MOST_POINTS and not yes:
        raise UserError(
            f"has more than {MOST_POINTS:,} points",
            file=path,
            key="axes",
            value=f"{space.points:,}",
            allowed="--yes runs it, method random or latin_hypercube samples it",
        )


def _source(workload: WorkloadConfig) -> Source:
    return open_source(workload_request(workload.model_dump(exclude={"name"})))


def workload_request(options: Any) -> Request:
    """Return the request of a workload as a sweep writes it down."""
    names = ("network", "checkpoint", "prefill", "decode", "batch", "seed")
    return Request(**{name: options[name] for name in names})


def _plan(
    config: SweepConfig,
    space: Space,
    sources: list[tuple[WorkloadConfig, Source]],
    tell: Progress,
) -> Plan:
    forms = [str(form) for form in _choices(space, "network_form")]
    runs = []
    for workload, source in sources:
        traces = {source.form(form): source.trace(source.form(form), tell) for form in forms}
        prefix = f"{workload.name}." if len(sources) > 1 else ""
        of_form = {form: traces[source.form(form)] for form in forms}
        runs.append(Run(prefix, of_form, workload.mapping))
    technologies: dict[str, Technology] = {
        str(name): load_technology(str(name)) for name in _choices(space, "technology")
    }
    return Plan(
        space,
        tuple(runs),
        technologies,
        tuple(config.constraints),
        tuple(config.objectives),
        chunk_rows(config, space),
    )


def _choices(space: Space, path: str) -> list[Any]:
    """Return every value that designs of the space have at a path of the first level."""
    for axis in space.axes:
        if path in axis.paths:
            return sorted({row[axis.paths.index(path)] for row in axis.values})
    return sorted({content[path] for content in space.bases.values()})
