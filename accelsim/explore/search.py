"""Search: a sampler proposes a generation, it is evaluated as one, and told in order.

The sampler is asked in this process alone, so what it proposes depends on its seed and on the
figures of earlier generations, never on who evaluated them. A resumed search asks again from the
start and takes finished generations from their chunks. Needs the package ``optuna``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.errors import UserError
from accelsim.explore.chunk import Chunk, Task, objective_rows, quantity
from accelsim.explore.plan import Plan
from accelsim.explore.points import Levels
from accelsim.explore.store import GO_ON


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        with _writing(journal):
            journal.unlink(missing_ok=True)
            study = _study(optuna, plan, journal)
        for generation in range(plan.chunks):
            start = generation * plan.chunk_rows
            with _writing(journal):
                trials = [study.ask(_distributions(optuna, plan)) for _ in range(plan.chunk_rows)]
            levels = _levels(plan, trials)
            chunk = evaluate(Task(generation, start, start + len(trials), levels))
            with _writing(journal):
                _tell(optuna, study, plan, trials, chunk)
            yield chunk


@contextmanager
def _writing(journal: Path) -> Iterator[None]:
    """Turn the system's refusal to write the journal into a line."""
    try:
        yield
    except OSError as cause:
        raise UserError(
            "cannot be written", file=journal, value=cause.strerror, allowed=GO_ON
        ) from cause


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
    if method.sampler == "tpe":
        return optuna.samplers.TPESampler(
            seed=method.seed, n_startup_trials=plan.space.population, multivariate=True
        )
    samplers = optuna.samplers
    kind = samplers.NSGAIIISampler if method.sampler == "nsga3" else samplers.NSGAIISampler
    return kind(population_size=plan.space.population, seed=method.seed)


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
        for name, over in broken.items():
            trial.set_constraint(name, over[row])
        study.tell(trial, values[row].tolist())


def _broken(plan: Plan, chunk: Chunk) -> dict[str, Any]:
    """Return by how much each design passes each bound on its figures, relative to the bound.

    Bounds on swept numbers refuse a design before.
    """
    result = {}
    for bound in plan.constraints:
        if plan.swept(bound.quantity):
            continue
        values = quantity(plan, chunk, bound.quantity)
        for side, sign in (("at_most", 1.0), ("at_least", -1.0)):
            limit = getattr(bound, side)
            if limit is not None:
                over = sign * (values - limit) / (abs(limit) or 1.0)
                result[f"{bound.quantity} {side} {limit:g}"] = np.where(
                    np.isnan(over), np.inf, over
                )
    return result
