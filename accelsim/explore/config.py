"""Schema of a sweep file: a base design, axes, constraints, workloads, objectives, a method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from accelsim.config import Schema, read_yaml, validate
from accelsim.errors import UserError

Number = int | Annotated[float, Field(allow_inf_nan=False)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
# Forms of the values of a path, and what each needs.
FORMS = ("values", "range", "log_range")


class RangeConfig(Schema):
    """``start``, ``start + step`` and so on, up to and with ``stop``."""

    start: Number
    stop: Number
    step: Number = Field(gt=0)


class LogRangeConfig(Schema):
    """Values at equal ratios: ``num`` of them from start to stop, or each ``factor`` times more."""

    start: Number = Field(gt=0)
    stop: Number = Field(gt=0)
    num: int | None = Field(None, ge=2, le=1 << 20)
    factor: Number | None = Field(None, gt=1)

    @model_validator(mode="after")
    def _one_step(self) -> LogRangeConfig:
        if (self.num is None) == (self.factor is None):
            raise ValueError("num: num or factor, one of them; allowed: num or factor")
        return self


class PathConfig(Schema):
    """The values that one field of the design takes."""

    path: str = Field(description="path of a design field, array.rows for instance")
    values: list[Any] | None = Field(None, description="listed")
    range: RangeConfig | None = Field(None, description="at equal distances")
    log_range: LogRangeConfig | None = Field(None, description="at equal ratios")

    @model_validator(mode="after")
    def _one_form(self) -> PathConfig:
        if sum(getattr(self, form) is not None for form in FORMS) != 1:
            raise ValueError(f"values: needs one form of values; allowed: {', '.join(FORMS)}")
        return self


class LinkedConfig(Schema):
    """Fields that move together: the first value of each, the second of each, and so on."""

    linked: list[PathConfig] = Field(min_length=1)


class ConstraintConfig(Schema):
    """Bounds of a quantity: a column of the results, or a field that is swept."""

    quantity: str = Field(description="area_mm2 or decode.tokens_per_second for instance")
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _bounds_order(self) -> ConstraintConfig:
        if self.at_least is None and self.at_most is None:
            raise ValueError("at_most: has no bound; allowed: at_least, at_most")
        if None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError(
                f"at_least: contradicts at_most of {self.quantity}; "
                f"allowed: up to {self.at_most:g}, not {self.at_least:g}"
            )
        return self


class ObjectiveConfig(Schema):
    """A quantity that good designs have little or much of."""

    quantity: str = Field(description="a column of the results with numbers")
    goal: Literal["min", "max"]


class WorkloadConfig(Schema):
    """A network and how long it runs; without either, the network that ships."""

    name: str | None = Field(None, max_length=40, pattern=NAME, description="needed among several")
    network: str | None = Field(None, description="shapes without weights; synthetic counts")
    checkpoint: str | None = Field(None, description="a network with its weights")
    prefill: int | None = Field(None, description="prompt positions, by default 256")
    decode: int | None = Field(None, description="decode passes, by default 64")
    batch: int = Field(1, description="sequences")
    seed: int = Field(0, description="of synthetic counts")
    mapping: Literal["fixed", "latency", "energy", "edp"] = Field(
        "fixed", description="fixed, or what a search of each operator's mapping minimises"
    )


class MethodConfig(Schema):
    """Which points of the space are evaluated."""

    kind: Literal["grid", "random", "latin_hypercube", "search"] = "grid"
    samples: int | None = Field(None, ge=1, description="random and latin_hypercube: designs")
    seed: int = Field(0, ge=0, lt=1 << 32)
    sampler: Literal["nsga2", "nsga3", "tpe"] | None = Field(
        None, description="search: who proposes designs; by default nsga2"
    )
    population: int | None = Field(None, ge=2, le=1 << 16, description="search: by default 64")
    generations: int | None = Field(None, ge=1, le=1 << 20, description="search: by default 32")

    @model_validator(mode="after")
    def _fields_belong(self) -> MethodConfig:
        drawn = self.kind in ("random", "latin_hypercube")
        if drawn != (self.samples is not None):
            allowed = "a number of designs" if drawn else "random and latin_hypercube only"
            raise ValueError(f"samples: does not fit method {self.kind}; allowed: {allowed}")
        for name in ("sampler", "population", "generations"):
            if self.kind != "search" and getattr(self, name) is not None:
                raise ValueError(f"{name}: does not fit method {self.kind}; allowed: search only")
        return self


class SweepConfig(Schema):
    """One sweep."""

    name: str = Field(max_length=80, pattern=NAME)
    description: str = Field(min_length=1, max_length=1000)
    base: str | list[str] = Field(description="one design or several, by name or path")
    axes: list[PathConfig | LinkedConfig] = Field(default=[], description="what varies")
    constraints: list[ConstraintConfig] = Field(default=[], description="what is not wanted")
    workloads: list[WorkloadConfig] = Field(default=[WorkloadConfig()], min_length=1, max_length=16)
    objectives: list[ObjectiveConfig] = Field(min_length=1, max_length=8)
    method: MethodConfig = MethodConfig()
    chunk_rows: int | None = Field(
        None, ge=1, le=1 << 16, description="designs a worker takes at once; by default from size"
    )


def load_sweep_config(path: Path) -> SweepConfig:
    """Read one sweep; raise UserError for anything that does not fit its schema."""
    content = read_yaml(path)
    _check_axis_forms(content, path)
    config = validate(SweepConfig, content, path)
    _check_bounds(config, path)
    _check_workloads(config, path)
    for index, objective in enumerate(config.objectives):
        if objective.quantity in [other.quantity for other in config.objectives[:index]]:
            raise UserError("is named twice", file=path, key="objectives", value=objective.quantity)
    return config


def _check_axis_forms(content: dict[str, Any], file: Path) -> None:
    """Validate each axis on its own: an error of a union of schemas would name neither."""
    axes = content.get("axes")
    for index, axis in enumerate(axes if isinstance(axes, list) else []):
        if isinstance(axis, dict):
            schema = LinkedConfig if "linked" in axis else PathConfig
            try:
                validate(schema, axis, file)
            except UserError as error:
                key = f"axes.{index}.{error.key}"
                raise UserError(
                    error.message, file=file, key=key, value=error.value, allowed=error.allowed
                ) from error


def _check_bounds(config: SweepConfig, file: Path) -> None:
    """Refuse bounds of one quantity that no number meets."""
    least: dict[str, Number] = {}
    most: dict[str, Number] = {}
    for bound in config.constraints:
        name = bound.quantity
        if bound.at_least is not None:
            least[name] = max(bound.at_least, least.get(name, bound.at_least))
        if bound.at_most is not None:
            most[name] = min(bound.at_most, most.get(name, bound.at_most))
        if name in least and name in most and least[name] > most[name]:
            raise UserError(
                f"constraints on {name} contradict each other",
                file=file,
                key="constraints",
                value=f"at_least {least[name]:g}, at_most {most[name]:g}",
            )


def _check_workloads(config: SweepConfig, file: Path) -> None:
    names = [workload.name for workload in config.workloads]
    if len(names) > 1 and (None in names or len(set(names)) < len(names)):
        raise UserError(
            "several workloads need a name of their own each",
            file=file,
            key="workloads",
            value=", ".join(str(name) for name in names),
        )
