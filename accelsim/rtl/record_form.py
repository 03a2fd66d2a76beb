"""What a record of synthesis must hold for tables, figures and prices to be made of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import UserError
from accelsim.rtl.netlist_parts import PARTS
from accelsim.rtl.operand_streams import COUNTS


def _all_of(names: tuple[str, ...]) -> AfterValidator:
    def check(found: dict[str, float]) -> dict[str, float]:
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        return found

    return AfterValidator(check)


_Positive = Annotated[float, Field(gt=0)]
_AtLeastZero = Annotated[float, Field(ge=0)]
_Bounds = Annotated[dict[str, _Positive], _all_of(("low", "high"))]
_Shares = Annotated[dict[str, float], _all_of(PARTS)]
_Parameters = dict[str, int]


class _Form(BaseModel):
    """Keys that nobody reads are left alone: another version may write more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Tried(_Form):
    parameters: _Parameters
    area_um2: _Positive


class _Mapped(_Form):
    name: str
    parameters: _Parameters
    latency: Annotated[int, Field(ge=0)]
    setting: str
    area_um2: _Positive
    leakage_uw: float
    critical_ps: _Positive
    best_clock_mhz: _Positive
    gates: int
    flops: int
    tried: Annotated[list[_Tried], Field(min_length=1)]


class _Fit(_Form):
    idle_pj: _AtLeastZero
    pj: Annotated[dict[str, _AtLeastZero], _all_of(tuple(COUNTS))]
    mean_error: _AtLeastZero
    worst_error: _AtLeastZero
    streams_held_out: int


class _Fits(_Form):
    mean: _Fit


class _Weighed(_Form):
    per_step_pj: _Bounds
    share: _Shares
    fits: _Fits
    streams_pj: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]


class _Energy(_Form):
    ternary: _Weighed
    dense: _Weighed | None = None


class _Gated(_Form):
    area_um2: _Positive
    idle_pj: _AtLeastZero
    busy_over_ungated: _Positive


class _Pe(_Mapped):
    parameters: Annotated[_Parameters, _all_of(("ACC",))]
    area_share: _Shares
    gated: _Gated | None
    energy: _Energy


class _Primitive(_Mapped):
    price: str
    bits: int
    results: Annotated[int, Field(ge=1)]
    low_pj: float
    high_pj: float


class _Register(_Form):
    clock_pj: float
    sink_pj: float
    toggle_pj: float
    area_um2: _Positive


class _Record(_Form):
    library: str
    voltage_v: _Positive
    temperature_c: float
    clock_mhz: _Positive
    tools: str
    left_out: list[str]
    network_streams: str
    register_: Annotated[_Register, Field(alias="register")]
    pes: list[_Pe]
    primitives: list[_Primitive]


def check_form(record: Any, file: str, allowed: str) -> None:
    """Refuse what tables, figures or prices could not be made of.

    Args:
        record: Whatever stood in the file.
        file: Its name.
        allowed: What a reader of the error may do.

    Raises:
        UserError: A key is missing or holds what it must not; the line names the first one.
    """
    try:
        _Record.model_validate(record)
    except ValidationError as cause:
        first = cause.errors()[0]
        raise UserError(
            f"is no record of synthesis: {first['msg'][0].lower()}{first['msg'][1:]}",
            file=file,
            key=".".join(map(str, first["loc"])) or None,
            value=None if isinstance(first["input"], dict | list) else first["input"],
            allowed=allowed,
        ) from cause
