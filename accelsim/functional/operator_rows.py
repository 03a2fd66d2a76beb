"""The operators of a network under a workload, in execution order, as rows of a trace.

One pass embeds its tokens, runs every decoder layer and ends with the lm_head. Prefill is one pass
over ``prefill`` positions of every sequence, decode is ``decode`` passes of one position each. Pass
``t = 1 .. D`` attends to ``P + t`` positions.

Only the last position of a prompt is sampled from, so ``final_norm`` and ``lm_head`` run on one row
per sequence; a row of RMSNorm depends on no other row, which makes this exact.

Attention is one instance per head in prefill (causal), and in decode one per KV head: its
``heads / kv_heads`` queries share the keys they meet.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.config import NetworkConfig
from accelsim.errors import UserError, did_you_mean
from accelsim.trace import (
    EXTREME_COLUMNS,
    OPERATOR_DTYPE,
    Footprint,
    Kind,
    Phase,
    Series,
    Stationary,
    Workload,
)

FORMS = ("ternary", "fp16_twin")
ATTENTION = (Kind.ATTENTION_QK, Kind.SOFTMAX, Kind.ATTENTION_AV)
# Sixteen bits a step may toggle, and totals are int64.
MAX_STEPS = 1 << 58


@dataclass(frozen=True)
class OperatorShape:
    """One operator of a pass: its name, kind, reduction ``k`` and output width ``n``.

    Attention rows hold neither the context nor the heads; ``operator_rows`` adds them.
    """

    name: str
    kind: Kind
    n: int
    k: int = 1
    stationary: Stationary = Stationary.NONE
    activation_bits: int = 32
    weight_bits: int = 0
    in_layer: int = 1


def trace_form(config: NetworkConfig, form: str) -> str:
    """Return the form that ``config`` runs in: an unquantised network has only ``fp16_twin``."""
    if form not in FORMS:
        raise UserError("unknown network form", value=form, allowed=did_you_mean(form, FORMS))
    return form if config.ternary else "fp16_twin"


@functools.lru_cache(maxsize=8)
def operator_shapes(config: NetworkConfig, form: str) -> tuple[OperatorShape, ...]:
    """Return the operators of one pass in execution order; those of a layer appear once."""
    ternary = trace_form(config, form) == "ternary"
    embedding = OperatorShape(
        "embedding", Kind.EMBEDDING, config.hidden_size, 1, Stationary.HEAD, 16, 16, 0
    )
    final_norm = _norm("final_norm", config.hidden_size, in_layer=0)
    lm_head = OperatorShape(
        "lm_head",
        Kind.LM_HEAD,
        config.vocab_size,
        config.hidden_size,
        Stationary.HEAD,
        16,
        16,
        0,
    )
    return (
        embedding,
        *_attention_block(config, ternary),
        *_feed_forward_block(config, ternary),
        final_norm,
        lm_head,
    )


def _attention_block(config: NetworkConfig, ternary: bool) -> list[OperatorShape]:
    hidden, head_dim = config.hidden_size, config.head_dim
    queries, keys = config.heads * head_dim, config.kv_heads * head_dim
    cache = (Stationary.CACHE, 16, 16)
    qkv = [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)]
    return [
        _norm("input_norm", hidden),
        *_linears("qkv", qkv, hidden, ternary),
        OperatorShape("rope", Kind.ROPE, queries + keys),
        OperatorShape("kv_append", Kind.KV_APPEND, 2 * keys, activation_bits=16),
        OperatorShape("attention_qk", Kind.ATTENTION_QK, 1, head_dim, *cache),
        OperatorShape("softmax", Kind.SOFTMAX, 1),
        OperatorShape("attention_av", Kind.ATTENTION_AV, head_dim, 1, *cache),
        *([_norm("attn_sub_norm", queries)] if config.sub_norms else []),
        *_linears("o", [("o_proj", hidden)], queries, ternary),
        OperatorShape("attention_residual", Kind.RESIDUAL, hidden),
    ]


def _feed_forward_block(config: NetworkConfig, ternary: bool) -> list[OperatorShape]:
    """Return the second half of a layer.

    An ungated network has no gate row. Its activation is one elementwise pass, which no kind of its
    own describes: the row is named ``activation`` and charged as ``RELU2_GATE``, an upper bound of
    the two extra multiplies and of the second operand.
    """
    hidden, width = config.hidden_size, config.intermediate_size
    gated = config.gated
    gate = OperatorShape("activation", Kind.RELU2_GATE, width)
    if gated:
        kind = Kind.SILU_GATE if config.activation == "silu" else Kind.RELU2_GATE
        gate = OperatorShape(kind.name.lower(), kind, width)
    up = [("gate_proj", width)] * gated + [("up_proj", width)]
    return [
        _norm("post_norm", hidden),
        *_linears("gate_up" if gated else "up", up, hidden, ternary),
        gate,
        *([_norm("ffn_sub_norm", width)] if config.sub_norms else []),
        *_linears("down", [("down_proj", hidden)], width, ternary),
        OperatorShape("ffn_residual", Kind.RESIDUAL, hidden),
    ]


def _norm(name: str, n: int, in_layer: int = 1) -> OperatorShape:
    return OperatorShape(name, Kind.RMSNORM, n, 1, Stationary.NORM, 32, 32, in_layer)


def _linears(
    group: str, outputs: list[tuple[str, int]], k: int, ternary: bool
) -> list[OperatorShape]:
    """Return linears that read one vector of ``k``, between their quantise and dequantise."""
    if not ternary:
        return [
            OperatorShape(name, Kind.GEMM, n, k, Stationary.DENSE, 16, 16) for name, n in outputs
        ]
    return [
        OperatorShape(f"{group}_absmax", Kind.ABSMAX, k),
        OperatorShape(f"{group}_quantise", Kind.QUANTISE, k),
        *(OperatorShape(name, Kind.GEMM, n, k, Stationary.TERNARY, 8, 2) for name, n in outputs),
        OperatorShape(f"{group}_dequantise", Kind.DEQUANTISE, sum(n for _, n in outputs)),
    ]


def operator_rows(
    config: NetworkConfig, workload: Workload, form: str
) -> tuple[tuple[str, ...], npt.NDArray[np.void]]:
    """Return names and rows (``OPERATOR_DTYPE`` [O]) with shapes set and nothing counted.

    Names are unique: ``prefill/q_proj``, ``decode/q_proj``. A UserError refuses a workload whose
    totals would leave int64.
    """
    _refuse_overflow(config, workload)
    shapes = operator_shapes(config, form)
    phases = (Phase.PREFILL, Phase.DECODE) if workload.decode else (Phase.PREFILL,)
    names = tuple(f"{phase.name.lower()}/{shape.name}" for phase in phases for shape in shapes)
    rows = np.zeros(len(names), OPERATOR_DTYPE)
    for column in EXTREME_COLUMNS:
        rows[column] = -1
    columns = [_columns(shape, config, workload, phase) for phase in phases for shape in shapes]
    for name in columns[0]:
        rows[name] = [row[name] for row in columns]
    return names, rows


def _columns(
    shape: OperatorShape, config: NetworkConfig, workload: Workload, phase: Phase
) -> dict[str, int]:
    """Return the shape columns of one row."""
    decode = phase == Phase.DECODE
    passes = workload.decode if decode else 1
    copies = config.layers if shape.in_layer else 1
    last_only = shape.name in ("final_norm", "lm_head")
    positions = 1 if decode or last_only else workload.prefill
    row = {
        "kind": int(shape.kind),
        "phase": int(phase),
        "in_layer": shape.in_layer,
        "m": workload.batch * positions,
        "k": shape.k,
        "n": shape.n,
        "repeat": copies * passes,
        "series": int(Series.NONE),
        "series_step": 0,
        "series_count": 1,
        "causal": 0,
        "stationary": int(shape.stationary),
        "distinct": 0 if shape.stationary == Stationary.NONE else copies,
        "activation_bits": shape.activation_bits,
        "weight_bits": shape.weight_bits,
    }
    if shape.kind in ATTENTION:
        row |= _attention_columns(shape.kind, config, workload, phase)
    return row


def _attention_columns(
    kind: Kind, config: NetworkConfig, workload: Workload, phase: Phase
) -> dict[str, int]:
    """Return the columns in which an attention row differs from a row of tokens."""
    grown = "k" if kind == Kind.ATTENTION_AV else "n"
    caches = config.layers * config.kv_heads * workload.batch
    distinct = {} if kind == Kind.SOFTMAX else {"distinct": caches}
    if phase == Phase.PREFILL:
        repeat = config.layers * config.heads * workload.batch
        shape = {"m": workload.prefill, grown: workload.prefill, "repeat": repeat, "causal": 1}
        return shape | distinct
    return distinct | {
        "m": config.heads // config.kv_heads,
        grown: workload.prefill + 1,
        "repeat": caches,
        "series": int(Series.K if grown == "k" else Series.N),
        "series_step": 1,
        "series_count": workload.decode,
    }


def _refuse_overflow(config: NetworkConfig, workload: Workload) -> None:
    tokens = workload.batch * (workload.prefill + workload.decode)
    context = workload.prefill + workload.decode
    attention = 2 * config.layers * config.heads * config.head_dim * context
    if tokens * (linear_weights(config) + head_weights(config) + attention) >= MAX_STEPS:
        raise UserError(
            "workload is too large to count",
            file="--prefill",
            value=f"{workload.batch} x ({workload.prefill} + {workload.decode}) positions",
            allowed=f"allowed: fewer than {MAX_STEPS} weight-activation pairs in all",
        )


def linear_weights(config: NetworkConfig) -> int:
    """Return the weights of all linear layers, lm_head and embedding left out."""
    shapes = operator_shapes(config, "fp16_twin")
    return config.layers * sum(s.k * s.n for s in shapes if s.kind == Kind.GEMM)


def head_weights(config: NetworkConfig) -> int:
    """Return the elements of embedding and lm_head, one table where they are tied."""
    return config.vocab_size * config.hidden_size * (1 if config.tie_embeddings else 2)


def footprint(config: NetworkConfig, workload: Workload, form: str) -> Footprint:
    """Return the elements of every stored operand; the cache at its largest."""
    ternary = trace_form(config, form) == "ternary"
    norms = [s for s in operator_shapes(config, form) if s.kind == Kind.RMSNORM]
    positions = workload.batch * (workload.prefill + workload.decode)
    linear = linear_weights(config)
    return Footprint(
        ternary=linear if ternary else 0,
        dense=0 if ternary else linear,
        head=head_weights(config),
        norm=sum(s.n * (config.layers if s.in_layer else 1) for s in norms),
        cache=2 * config.layers * config.kv_heads * config.head_dim * positions,
    )
