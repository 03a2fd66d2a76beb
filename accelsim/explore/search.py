"""Search: a sampler proposes a generation, it is evaluated as one, and told in order.

The sampler is asked in this process alone, so what it proposes depends on its seed and on the
figures of earlier generations, never on who evaluated them. A resumed search asks again from the
start and takes finished generations from their chunks. Needs the package ``optuna``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk, Task, objective_rows, quantity
from accelsim.explore.plan import Plan
from accelsim.explore.points import Levels

VIOLATIONS = "violations"


def load_optuna() -> Any:
    """Return optuna; raise UserError where it is not installed."""
    try:
        import optuna
    except ImportError as cause:
        raise UserError(
            "needs optuna",
            file="sweep",
            key="method",
            value="search",
            allowed="pip install 'accelsim[search]'",
        ) from cause
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def search(plan: Plan, journal: Path, evaluate: Callable[[Task], Chunk]) -> Iterator[Chunk]:
    """Yield the chunk of every generation.

    Args:
        plan: What is searched.
        journal: Where optuna keeps the study; written anew.
        evaluate: Returns the chunk of a generation, evaluated or kept from before.

    Raises:
        UserError: optuna is missing.
    """
    optuna = load_optuna()
    journal.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = _study(optuna, plan, journal)
        for generation in range(plan.chunks):
            start = generation * plan.chunk_rows
            trials = [study.ask(_distributions(optuna, plan)) for _ in range(plan.chunk_rows)]
            levels = _levels(plan, trials)
            chunk = evaluate(Task(generation, start, start + len(trials), levels))
            _tell(optuna, study, plan, trials, chunk)
            yield chunk


def _study(optuna: Any, plan: Plan, journal: Path) -> Any:
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        sampler=_sampler(optuna, plan),
        study_name="accelsim",
        directions=["minimize"] * len(plan.objectives),
    )


def _sampler(optuna: Any, plan: Plan) -> Any:
    method = plan.space.method
    limits = {"constraints_func": _violations} if _bounds(plan) else {}
    if method.sampler == "tpe":
        return optuna.samplers.TPESampler(
            seed=method.seed, n_startup_trials=plan.space.population, multivariate=True, **limits
        )
    kind = {"nsga3": optuna.samplers.NSGAIIISampler}.get(
        method.sampler or "", optuna.samplers.NSGAIISampler
    )
    return kind(population_size=plan.space.population, seed=method.seed, **limits)


def _bounds(plan: Plan) -> list[Any]:
    """Return the constraints on figures; those on swept numbers refuse a design before."""
    return [bound for bound in plan.constraints if not plan.swept(bound.quantity)]


def _violations(trial: Any) -> Any:
    return trial.user_attrs.get(VIOLATIONS, [])


def _distributions(optuna: Any, plan: Plan) -> dict[str, Any]:
    """Return what a trial chooses: a level of each axis, in order where its levels are numbers."""
    distributions = optuna.distributions
    return {
        axis.paths[0]: (
            distributions.CategoricalDistribution(list(range(len(axis))))
            if axis.chooses
            else distributions.IntDistribution(0, len(axis) - 1)
        )
        for axis in plan.space.axes
    }


def _levels(plan: Plan, trials: list[Any]) -> Levels:
    names = [axis.paths[0] for axis in plan.space.axes]
    return np.array([[trial.params[name] for name in names] for trial in trials], dtype=np.int64)


def _tell(optuna: Any, study: Any, plan: Plan, trials: list[Any], chunk: Chunk) -> None:
    """Tell a generation in order; a refused design is a failed trial."""
    failed = optuna.trial.TrialState.FAIL
    values, broken = objective_rows(plan, chunk), _broken(plan, chunk)
    rows = {index: row for row, index in enumerate(chunk.index.tolist())}
    start = chunk.number * plan.chunk_rows
    for number, trial in enumerate(trials):
        row = rows.get(start + number)
        if row is None or np.isnan(values[row]).any():
            study.tell(trial, state=failed)
            continue
        if broken.shape[1]:
            trial.set_user_attr(VIOLATIONS, broken[row].tolist())
        study.tell(trial, values[row].tolist())


def _broken(plan: Plan, chunk: Chunk) -> Any:
    """Return by how much each design passes each bound, relative to it; float64 [R, bounds]."""
    columns = []
    for bound in _bounds(plan):
        values = quantity(plan, chunk, bound.quantity)
        for limit, sign in ((bound.at_most, 1.0), (bound.at_least, -1.0)):
            if limit is not None:
                over = sign * (values - limit) / max(abs(limit), 1e-300)
                columns.append(np.where(np.isnan(over), np.inf, over))
    return np.stack(columns, axis=1) if columns else np.empty((len(chunk.index), 0))
