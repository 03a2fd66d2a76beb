"""The border between what a network computes and what a machine does.

A trace is a table with one row per operator *shape*. A row says how many identical instances ran,
how large one instance is, and what its operands really were. The functional side fills it, the
engine reads it, neither knows the other.

Rows stand in execution order. Those with ``in_layer`` run once per decoder layer and pass, the
others once per pass. All columns are int64, so a trace is also an array of shape
``[operators, columns]``.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.files import write_whole

TRACE_VERSION = 2
MAX_TRACE_BYTES = 1 << 26  # unpacked; a trace of a large network takes some hundred KB


class Phase(IntEnum):
    """Which half of the workload an operator belongs to."""

    PREFILL = 0
    DECODE = 1


class Kind(IntEnum):
    """What an operator computes. GEMM kinds come last: ``kind >= GEMM`` is a matrix product."""

    EMBEDDING = 0  # gather m rows of n
    RMSNORM = 1  # m rows of n
    ABSMAX = 2  # largest magnitude of each of m rows of n
    QUANTISE = 3  # m x n values to int8
    DEQUANTISE = 4  # m x n int32 accumulators to floats
    ROPE = 5  # m x n values rotated pairwise
    KV_APPEND = 6  # m x n values appended to the cache
    SOFTMAX = 7  # m rows of n (causal: row i has i + 1)
    RELU2_GATE = 8  # m x n: relu(gate)^2 * up
    SILU_GATE = 9  # m x n: silu(gate) * up
    RESIDUAL = 10  # m x n: a + b
    GEMM = 11  # a linear layer
    ATTENTION_QK = 12  # m queries of k against n keys
    ATTENTION_AV = 13  # m rows of k probabilities against n value columns
    LM_HEAD = 14


class Stationary(IntEnum):
    """What the second operand of a row is, so that a design can say how it is stored."""

    NONE = 0
    TERNARY = 1
    DENSE = 2
    HEAD = 3  # embedding and lm_head table
    NORM = 4
    CACHE = 5


class Series(IntEnum):
    """Which dimension of a row grows from pass to pass."""

    NONE = 0
    K = 1
    N = 2


# Shape of one instance and how often it ran.
SHAPE_COLUMNS = (
    "kind",
    "phase",
    "in_layer",  # 1: once per layer and pass, 0: once per pass
    "m",
    "k",  # 1 where there is no reduction
    "n",
    "repeat",  # identical instances, of every member of the series
    "series",  # Series; the growing dimension holds the first value
    "series_step",
    "series_count",  # members, 1 without a series
    "causal",  # 1: query i sees keys 0..i only; n (qk, softmax) or k (av) is the full context
    "stationary",  # Stationary
    "distinct",  # distinct second operands among the instances
    "activation_bits",  # compute format of the moving operand: 8 int8, 16 half, 32 float32
    "weight_bits",  # compute format of the second operand: 2 ternary, 16, 32
)
# Exact totals over all instances.
COUNT_COLUMNS = (
    "both_nonzero",  # steps with neither operand zero
    "weight_nonzero",  # of each instance's second operand, once per instance
    "weight_plus",
    "weight_minus",
    "activation_zero",  # of each instance's m x k operand
    "weight_zero_plus_k",  # ternary transitions between neighbours along k
    "weight_zero_minus_k",
    "weight_plus_minus_k",
    "weight_zero_plus_n",  # the same between neighbours along n
    "weight_zero_minus_n",
    "weight_plus_minus_n",
    "weight_hamming_k",  # bits that change in a dense second operand
    "weight_hamming_n",
    "activation_hamming_k",  # bits that change between neighbours along k
    "activation_hamming_m",  # and along m
)
# Largest over all instances; -1 where it was not observed.
EXTREME_COLUMNS = (
    "widest_accumulator",  # |final sum|
    "activation_sum",  # sum over k of |x| of a token: no weights can make a sum larger
    "accumulator_bound",  # sum |x * w|, no order of addition can exceed it
    "widest_prefix",  # |prefix sum| in ascending k
)
OPERATOR_DTYPE = np.dtype(
    [(name, np.int64) for name in SHAPE_COLUMNS + COUNT_COLUMNS + EXTREME_COLUMNS]
)


@dataclass(frozen=True)
class Workload:
    """How long a run is: ``prefill`` positions and ``decode`` passes for ``batch`` sequences."""

    prefill: int
    decode: int
    batch: int = 1

    def __post_init__(self) -> None:
        for key, low, high in (
            ("prefill", 1, 1 << 20),
            ("decode", 0, 1 << 20),
            ("batch", 1, 1 << 16),
        ):
            value = getattr(self, key)
            if not low <= value <= high:
                raise UserError(
                    "out of range",
                    file=f"--{key}",
                    value=value,
                    allowed=f"allowed: {low} to {high}",
                )

    def tokens(self, phase: Phase) -> int:
        """Return the tokens that per-token figures of ``phase`` divide by."""
        return self.batch * (self.prefill if phase == Phase.PREFILL else self.decode)


@dataclass(frozen=True)
class WeightSource:
    """Where the operands behind the counts came from."""

    kind: str  # checkpoint | synthetic
    source: str  # file or network name
    sha256: str  # of the weights, empty where synthetic
    zero_fraction: float  # of the ternary weights
    profile: str  # operand profile of a synthetic trace, else empty
    extrapolated: bool = False  # past the network's maximum positions


@dataclass(frozen=True)
class Footprint:
    """Elements of each kind of stored operand over the whole network and workload."""

    ternary: int
    dense: int
    head: int
    norm: int
    cache: int


@dataclass(frozen=True)
class Trace:
    """One network, one workload: ``operators`` has shape [O] and dtype ``OPERATOR_DTYPE``."""

    network: str
    form: str  # ternary | fp16_twin
    layers: int
    workload: Workload
    source: WeightSource
    footprint: Footprint
    names: tuple[str, ...]
    operators: npt.NDArray[np.void]

    def __post_init__(self) -> None:
        if self.operators.dtype != OPERATOR_DTYPE or self.operators.shape != (len(self.names),):
            raise ValueError("operators must have shape [names] and dtype OPERATOR_DTYPE")
        _check(self.names, self.operators)
        self.operators.setflags(write=False)


def instances(operators: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return the number of instances of each row, int64 [O]."""
    return np.asarray(operators["repeat"] * operators["series_count"], dtype=np.int64)


def steps(operators: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return weight-activation pairs over all instances, causal pairs only, int64 [O].

    Zero for rows that are no matrix product. A series of length c that starts at f and grows by s
    sums to c*f + s*c*(c-1)/2; causal attention over m positions has m*(m+1)/2 pairs.
    """
    o = operators
    grown = o["series_step"] * (o["series_count"] * (o["series_count"] - 1) // 2)
    k = np.where(
        o["series"] == Series.K, o["k"] * o["series_count"] + grown, o["k"] * o["series_count"]
    )
    pairs = o["m"] * k * o["n"]
    n = o["n"] * o["series_count"] + grown
    pairs = np.where(o["series"] == Series.N, o["m"] * o["k"] * n, pairs)
    triangle = o["m"] * (o["m"] + 1) // 2
    kept = np.where(o["kind"] == Kind.ATTENTION_AV, o["n"], o["k"])
    pairs = np.where(o["causal"] == 1, triangle * kept, pairs)
    return np.asarray(np.where(o["kind"] >= Kind.GEMM, pairs * o["repeat"], 0), dtype=np.int64)


def _check(names: tuple[str, ...], operators: npt.NDArray[np.void]) -> None:
    """Refuse a table that breaks the contract; the message names row and column."""
    for column in (*SHAPE_COLUMNS, *COUNT_COLUMNS):
        bad = np.flatnonzero(operators[column] < 0)
        if bad.size:
            raise ValueError(f"trace row {names[bad[0]]}: {column} is negative")
    for column in ("m", "k", "n", "repeat", "series_count"):
        bad = np.flatnonzero(operators[column] < 1)
        if bad.size:
            raise ValueError(f"trace row {names[bad[0]]}: {column} is below 1")
    over = np.flatnonzero(operators["both_nonzero"] > steps(operators))
    if over.size:
        raise ValueError(f"trace row {names[over[0]]}: more non-zero steps than steps")


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write ``trace`` to ``path`` (npz) through a temporary file in the same folder."""
    header = {
        "version": TRACE_VERSION,
        "network": trace.network,
        "form": trace.form,
        "layers": trace.layers,
        "workload": asdict(trace.workload),
        "source": asdict(trace.source),
        "footprint": asdict(trace.footprint),
        "names": list(trace.names),
        "columns": list(OPERATOR_DTYPE.names or ()),
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        header=np.array(json.dumps(header)),
        operators=trace.operators.view(np.int64).reshape(len(trace.names), -1),
    )
    write_whole(Path(path), content.getvalue())


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace written by ``save_trace``; raise UserError for anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_TRACE_BYTES:
            raise ValueError(f"{unpacked} bytes")
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            table = np.ascontiguousarray(archive["operators"], dtype=np.int64)
        if header["version"] == TRACE_VERSION and header["columns"] == list(_columns()):
            return _from_header(header, table)
    except _UNREADABLE as cause:
        raise UserError(
            "not a readable trace", file=path, allowed="expected a trace.npz"
        ) from cause
    raise UserError(
        "trace of another version",
        file=path,
        value=header["version"],
        allowed=f"allowed: {TRACE_VERSION}; record it again",
    )


# What numpy, zipfile, zlib and json raise for bytes that are no trace.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, MemoryError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)


def _columns() -> tuple[str, ...]:
    return OPERATOR_DTYPE.names or ()


def _from_header(header: dict[str, Any], table: npt.NDArray[np.int64]) -> Trace:
    return Trace(
        header["network"],
        header["form"],
        header["layers"],
        Workload(**header["workload"]),
        WeightSource(**header["source"]),
        Footprint(**header["footprint"]),
        tuple(header["names"]),
        table.view(OPERATOR_DTYPE).reshape(-1),
    )
