"""Operand profiles: how often operands are zero, change sign or toggle, by operator.

A profile is measured once on a network whose weights are at hand and committed as data. Rates are
quotients of a count and its opportunities; ``low`` and ``high`` are the range over layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from accelsim.config import Schema, read_yaml, validate
from accelsim.errors import UserError, did_you_mean
from accelsim.files import write_whole


class Rate(Schema):
    """A mean and its range over layers."""

    value: float = Field(ge=0, allow_inf_nan=False)
    low: float = Field(ge=0, allow_inf_nan=False)
    high: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Rate:
        if not self.low <= self.value <= self.high:
            raise ValueError("value: outside its range; allowed: low <= value <= high")
        return self


class OperandRates(Schema):
    """Rates of one operator. A rate that its operands cannot have is zero."""

    weight_nonzero: Rate = Field(description="share of the second operand's elements")
    weight_plus: Rate = Field(description="share of its non-zero elements, ternary only")
    activation_zero: Rate = Field(description="share of the moving operand's elements")
    both_nonzero: Rate = Field(description="share of steps over the product of both densities")
    weight_zero_plus_k: Rate = Field(description="share of ternary neighbours along k")
    weight_zero_minus_k: Rate = Field(description="share of ternary neighbours along k")
    weight_plus_minus_k: Rate = Field(description="share of ternary neighbours along k")
    weight_zero_plus_n: Rate = Field(description="share of ternary neighbours along n")
    weight_zero_minus_n: Rate = Field(description="share of ternary neighbours along n")
    weight_plus_minus_n: Rate = Field(description="share of ternary neighbours along n")
    weight_hamming_k: Rate = Field(description="bits that change from neighbour to neighbour")
    weight_hamming_n: Rate = Field(description="bits that change from neighbour to neighbour")
    activation_hamming_k: Rate = Field(description="bits that change from neighbour to neighbour")
    activation_hamming_m: Rate = Field(description="bits that change from neighbour to neighbour")


RATES = tuple(OperandRates.model_fields)
OperatorName = Annotated[str, Field(min_length=1, max_length=80)]


class ProfileSource(Schema):
    """What was measured."""

    network: str
    sha256: str = Field(description="of the weights, empty where nothing was measured")
    text: str
    prefill: int = Field(ge=0)
    decode: int = Field(ge=0)
    batch: int = Field(ge=0)


class FormProfile(Schema):
    """Rates of one form of a network, by operator name without its phase."""

    source: ProfileSource
    rates: dict[OperatorName, OperandRates]


class OperandProfile(Schema):
    """What a network and its unquantised twin showed."""

    name: str = Field(min_length=1, max_length=80)
    description: str
    forms: dict[Literal["ternary", "fp16_twin"], FormProfile]

    def of_operator(self, form: str, operator: str) -> OperandRates:
        """Return the rates of one operator; raise UserError for what was not measured."""
        measured = {str(name): table for name, table in self.forms.items()}
        if form not in measured:
            raise UserError(
                "operand profile holds no rates of this form",
                file=self.name,
                key="forms",
                value=form,
                allowed=did_you_mean(form, measured),
            )
        rates = measured[form].rates
        if operator not in rates:
            raise UserError(
                "operand profile lacks an operator",
                file=self.name,
                key=f"forms.{form}.rates",
                value=operator,
                allowed=did_you_mean(operator, rates),
            )
        return rates[operator]


def load_profile(path: Path) -> OperandProfile:
    """Read a profile; raise UserError for anything that breaks the schema."""
    return validate(OperandProfile, read_yaml(path), path)


def save_profile(profile: OperandProfile, path: Path) -> None:
    """Write a profile as YAML through a temporary file in the same folder."""
    text = yaml.dump(
        profile.model_dump(), Dumper=_Writer, sort_keys=False, width=100, allow_unicode=True
    )
    write_whole(path, text.encode())


class _Writer(yaml.SafeDumper):
    """Writes a rate on one line and everything else in blocks."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        flat = set(mapping) == set(Rate.model_fields)
        return super().represent_mapping(tag, mapping, flow_style=flat)

    def ignore_aliases(self, data: Any) -> bool:
        return True
