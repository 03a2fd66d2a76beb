"""Schemas of every YAML a user writes: syntax, types, ranges.

Names of PEs, formats, packings and technologies are only strings here; the table that owns a name
resolves it. Every error is a ``UserError`` that names file, key, value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from accelsim.errors import UserError, did_you_mean

MAX_YAML_BYTES = 1 << 20
# Context of a validation that leaves rules between fields to hardware/rules.py, for whole columns.
FIELDS_ONLY = {"rules": "none"}

Dimension = Annotated[int, Field(ge=1, le=1 << 20)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Unit = Literal["array", "mac", "vector"]
ResidentClass = Literal["norm", "cache", "weights", "head"]


class Schema(BaseModel):
    """Base of all schemas: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AccumulatorConfig(Schema):
    """Width of the register that holds a running sum, and what happens past it."""

    bits: int = Field(ge=4, le=64, description="width in bits")
    overflow: Literal["error", "wrap", "saturate"] = Field(
        "error", description="error refuses a network whose sums may not fit"
    )


class ArrayConfig(Schema):
    """A grid of PEs, or of dot-product units with ``lanes`` products each."""

    pe: str = Field(description="PE type, see `accelsim list pes`")
    organisation: Literal["systolic", "dot_product"] = "systolic"
    dataflow: Literal["os", "ws", "is"] = Field(
        "os", description="what stays in the PE; dot-product units are output stationary"
    )
    dataflows: list[Literal["os", "ws", "is"]] = Field(
        default=[], description="of a reconfigurable array, dataflow among them"
    )
    rows: int = Field(ge=1, le=4096, description="PEs or units along the first axis")
    cols: int = Field(ge=1, le=4096, description="PEs or units along the second axis")
    lanes: int = Field(1, ge=1, le=1024, description="products a dot-product unit takes a cycle")
    accumulator: AccumulatorConfig
    latency: int | None = Field(None, ge=1, le=64, description="cycles of an accumulate; PE's own")
    interval: int | None = Field(None, ge=1, le=64, description="cycles between starts; PE's own")
    interleave: bool = Field(True, description="hide latency by interleaved partial sums")
    overlap: bool = Field(True, description="double buffering between folds")
    drain_adders: bool = Field(
        False, description="add sums over parts of k at the output buffer, as ws and is do"
    )
    clock_gating: Literal["none", "array", "row", "pe"] = Field(
        "array", description="what stops its clock while idle"
    )

    @model_validator(mode="after")
    def _lanes_belong_to_units(self, given: ValidationInfo) -> ArrayConfig:
        if given.context == FIELDS_ONLY:
            return self
        if self.organisation == "systolic" and self.lanes != 1:
            raise ValueError("lanes: a systolic PE has one lane; allowed: 1")
        if self.organisation == "dot_product" and self.dataflow != "os":
            raise ValueError("dataflow: dot-product units are output stationary; allowed: os")
        return self


class VectorConfig(Schema):
    """The unit for everything that is no matrix product."""

    lanes: int = Field(ge=1, le=4096, description="float32 lanes, one primitive each a cycle")
    latency: int = Field(8, ge=1, le=256, description="pipeline depth in cycles")


class PlacementConfig(Schema):
    """Which unit multiplies activations by activations, and the unquantised head."""

    attention: Unit
    lm_head: Unit


class WeightsConfig(Schema):
    """How linear weights are stored and where they are unpacked."""

    packing: str = Field(description="packing in DRAM, see formats")
    decoder: Literal["dram", "sram"] = Field(
        "sram", description="dram: unpacked once on arrival; sram: at every read towards the array"
    )


class FormatsConfig(Schema):
    """Storage formats of what is not a linear weight."""

    activation: str = Field("bf16", description="residual stream and intermediate values")
    kv: str = Field("bf16", description="KV cache")
    head: str = Field("bf16", description="embedding and lm_head")
    norm: str = Field("bf16", description="norm weights")


class BufferConfig(Schema):
    """One SRAM: ``stream_kib`` of it double buffers what passes, the rest keeps residents."""

    capacity_kib: int = Field(ge=1, le=1 << 20)
    stream_kib: int = Field(ge=1, le=1 << 20)
    width_bits: int = Field(ge=8, le=8192, description="port width of one bank")
    banks: int = Field(1, ge=1, le=1024, description="at least; more are added for bandwidth")

    @model_validator(mode="after")
    def _stream_fits(self, given: ValidationInfo) -> BufferConfig:
        if given.context != FIELDS_ONLY and self.stream_kib > self.capacity_kib:
            raise ValueError(
                f"stream_kib: larger than capacity_kib; allowed: at most {self.capacity_kib}"
            )
        return self


class SramConfig(Schema):
    """The three on-chip buffers and, in order, what stays in them across operators."""

    activation: BufferConfig
    weight: BufferConfig
    output: BufferConfig
    resident: list[ResidentClass] = Field(
        default=["norm", "cache", "weights", "head"],
        description="first come, first kept: cache in the activation buffer, others in weight",
    )


class DramConfig(Schema):
    """External memory: ``kind`` names its price in the technology."""

    kind: str
    bandwidth_gb_per_s: Positive = Field(description="peak")
    sustained: Fraction = Field(description="share of the peak that streams reach")
    capacity_gib: Positive
    burst_bytes: int = Field(64, ge=8, le=4096)


class FusedConfig(Schema):
    """What the drain of the array does on the way, instead of a pass of the vector unit."""

    scale_on_drain: bool = Field(False, description="dequantise at the array's edge")
    absmax_on_write: bool = Field(False, description="absmax while the vector unit writes")


class DesignConfig(Schema):
    """One machine."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = Field(min_length=1, max_length=1000)
    technology: str
    clock_mhz: Positive = Field(le=10_000)
    network_form: Literal["ternary", "fp16_twin"] = Field(
        "ternary", description="fp16_twin runs the unquantised network of the same shape"
    )
    array: ArrayConfig
    mac: ArrayConfig | None = Field(None, description="multipliers beside a multiplierless array")
    vector: VectorConfig
    placement: PlacementConfig
    weights: WeightsConfig
    formats: FormatsConfig = FormatsConfig()
    sram: SramConfig
    dram: DramConfig
    fused: FusedConfig = FusedConfig()

    @model_validator(mode="after")
    def _units_exist(self, given: ValidationInfo) -> DesignConfig:
        unchecked = given.context == FIELDS_ONLY or self.mac is not None
        for role in ("attention", "lm_head"):
            if getattr(self.placement, role) == "mac" and not unchecked:
                raise ValueError(f"placement.{role}: the design has no mac; allowed: array, vector")
        return self


class NetworkConfig(Schema):
    """Shape of a decoder-only transformer, without weights."""

    name: str = Field(min_length=1, max_length=80)
    description: str = ""
    source: str = Field(description="where the shape is published")
    ternary: bool = Field(description="linear layers hold ternary weights and int8 activations")
    vocab_size: Dimension
    hidden_size: Dimension
    intermediate_size: Dimension
    layers: int = Field(ge=1, le=1024)
    heads: int = Field(ge=1, le=1024)
    kv_heads: int = Field(ge=1, le=1024)
    head_dim: Dimension
    gated: bool = Field(True, description="gate and up projection; false: one up projection")
    activation: Literal["relu2", "silu"] = Field(
        "relu2", description="of the gate: relu(gate)^2 * up, or silu(gate) * up"
    )
    sub_norms: bool = Field(False, description="norms before the o and down projections")
    tie_embeddings: bool = True
    max_positions: Dimension

    @model_validator(mode="after")
    def _heads_group(self) -> NetworkConfig:
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads: must divide heads; allowed: divisors of {self.heads}")
        return self


S = TypeVar("S", bound=Schema)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds; raise UserError for anything else."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise UserError(
                "file is too large",
                file=path,
                value=path.stat().st_size,
                allowed=f"allowed: up to {MAX_YAML_BYTES} bytes",
            )
        content = _parse(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise UserError("cannot be read", file=path, value=cause.strerror) from cause
    except UnicodeDecodeError as cause:
        raise UserError("is not UTF-8 text", file=path, allowed="expected YAML") from cause
    except (yaml.YAMLError, RecursionError, ValueError) as cause:
        mark = getattr(cause, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else None
        problem = getattr(cause, "problem", None) or "cannot be parsed"
        raise UserError(f"is not valid YAML: {problem}", file=path, key=where) from cause
    if not isinstance(content, dict):
        raise UserError(
            "holds no mapping", file=path, value=content, allowed="expected KEY: VALUE lines"
        )
    return content


def _parse(text: str) -> Any:
    """Return the content of YAML ``text``; aliases are refused, a small file can grow huge."""
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                "aliases are not allowed",
                event.start_mark,  # type: ignore[arg-type]
            )
    return yaml.load(text, Loader=_UniqueKeyLoader)


# libyaml where PyYAML was built with it: ten times faster on a price table.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeyLoader(_Loader):  # type: ignore[misc]
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} is given twice", key_node.start_mark
                )
            if isinstance(key_node.value, str):
                seen.add(key_node.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def validate(
    schema: type[S],
    content: Mapping[str, Any],
    file: object,
    context: Mapping[str, Any] | None = None,
) -> S:
    """Return ``content`` as ``schema``; the first violation becomes a UserError."""
    try:
        return schema.model_validate(_floats(schema, dict(content)), context=context)
    except ValidationError as cause:
        raise _first_violation(schema, cause, file) from cause


def _floats(schema: type[BaseModel], content: dict[str, Any]) -> dict[str, Any]:
    """Let an integer stand for a float, which strict mode alone would refuse."""
    result: dict[str, Any] = {}
    for key, value in content.items():
        field = schema.model_fields.get(key)
        inner = _nested(field.annotation) if field else None
        if inner is not None and isinstance(value, dict):
            result[key] = _floats(inner, value)
        elif field and field.annotation is float and type(value) is int:
            result[key] = float(value)
        else:
            result[key] = value
    return result


def _nested(annotation: Any) -> type[BaseModel] | None:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _first_violation(schema: type[BaseModel], cause: ValidationError, file: object) -> UserError:
    first = cause.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    context = first.get("ctx", {})
    if first["type"] == "extra_forbidden":
        known = did_you_mean(location[-1], _schema_at(schema, location[:-1]).model_fields)
        return UserError("unknown key", file=file, key=key, value=first["input"], allowed=known)
    if first["type"] == "missing":
        return UserError("is missing", file=file, key=key)
    if first["type"] == "value_error":
        inner, _, rest = str(context["error"]).partition(": ")
        message, _, allowed = rest.partition("; ")
        return UserError(message, file=file, key=".".join([*location, inner]), allowed=allowed)
    value = None if isinstance(first["input"], dict) else first["input"]
    return UserError(
        first["msg"][0].lower() + first["msg"][1:],
        file=file,
        key=key,
        value=value,
        allowed=_allowed(schema, location),
    )


def _schema_at(schema: type[BaseModel], location: Iterable[str]) -> type[BaseModel]:
    for part in location:
        field = schema.model_fields.get(part)
        schema = (_nested(field.annotation) if field else None) or schema
    return schema


def _allowed(schema: type[BaseModel], location: list[str]) -> str | None:
    field = _schema_at(schema, location[:-1]).model_fields.get(location[-1])
    return f"it is: {field.description}" if field and field.description else None


def override(content: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return ``content`` with every ``path.to.key=value`` applied; values are read as YAML."""
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path:
            raise UserError(
                "is no assignment",
                file="--set",
                value=assignment,
                allowed="expected KEY=VALUE, for instance array.rows=16",
            )
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as cause:
            message = "value is not valid YAML"
            raise UserError(message, file="--set", key=path, value=text) from cause
        content = replaced(content, path, value, "--set")
    return content


def replaced(content: dict[str, Any], path: str, value: Any, file: object) -> dict[str, Any]:
    """Return ``content`` with ``value`` at ``path``, in sections made where there are none."""
    *sections, last = path.split(".")
    result = inner = dict(content)
    for section in sections:
        below = inner.get(section) or {}
        if not isinstance(below, dict):
            raise UserError("has no keys below it", file=file, key=path, value=below)
        inner[section] = dict(below)
        inner = inner[section]
    inner[last] = value
    return result


def load_design_config(path: Path, assignments: Iterable[str] = ()) -> DesignConfig:
    """Read one design; ``assignments`` are ``--set`` overrides."""
    return validate(DesignConfig, override(read_yaml(path), assignments), path)


def load_network_config(path: Path) -> NetworkConfig:
    """Read one network shape."""
    return validate(NetworkConfig, read_yaml(path), path)
