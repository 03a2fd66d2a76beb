"""Runs a network under a recorder: a checkpoint and tokens become a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import UserError
from accelsim.functional.checkpoint import EMBEDDING, LM_HEAD, Checkpoint
from accelsim.functional.checkpoint_config import shape_of
from accelsim.functional.counts import LinearCounter
from accelsim.functional.generate import generate
from accelsim.functional.linear import Linear, Report, TernaryLinear
from accelsim.functional.network import Network
from accelsim.functional.operator_rows import footprint, operator_rows, trace_form
from accelsim.functional.operators import Floats, Quantised
from accelsim.functional.opportunities import zero_fraction
from accelsim.functional.recorder import Counter, Recorder
from accelsim.trace import Phase, Trace, WeightSource, Workload


@dataclass(frozen=True)
class Recording:
    """A trace and the share of each layer in its counts, ``OPERATOR_DTYPE`` [O] per layer."""

    trace: Trace
    layers: tuple[NDArray[np.void], ...]


def trace_network(
    network: Network,
    token_ids: ArrayLike,
    workload: Workload,
    *,
    name: str,
    prefixes: bool = False,
) -> Trace:
    """Run the prompt and ``workload.decode`` greedy passes; return the trace of all operands.

    Args:
        network: What to run.
        token_ids: Integers [batch, prefill]; a batch holds different texts.
        workload: Its batch and prefill are those of the tokens.
        name: Of the network, for the trace.
        prefixes: Also find, for every ternary product, the widest running sum and the largest sum
            of |code * weight|: two plain products each.

    Raises:
        UserError: tokens that do not fit the workload or the network, equal rows in a batch, or
            positions past the network's longest context.
    """
    return _record(network, token_ids, workload, name, prefixes)[0]


def record_network(
    network: Network,
    token_ids: ArrayLike,
    workload: Workload,
    *,
    name: str,
    prefixes: bool = False,
) -> Recording:
    """Do what ``trace_network`` does, and keep the counts of each layer apart."""
    trace, recorder = _record(network, token_ids, workload, name, prefixes)
    return Recording(trace, tuple(recorder.layer_rows()))


def _record(
    network: Network, token_ids: ArrayLike, workload: Workload, name: str, prefixes: bool
) -> tuple[Trace, Recorder]:
    tokens = _check_tokens(np.asarray(token_ids), workload)
    shape = shape_of(network.config, name)
    form = trace_form(shape, "ternary")
    names, rows = operator_rows(shape, workload, form)
    recorder = Recorder(
        rows,
        names,
        shape.layers,
        threads=network.threads,
        prefixes=prefixes,
        weights=network.checkpoint.weight_counts,
    )
    watcher = _Watcher(recorder, network.checkpoint)
    network.checkpoint.weight_counts.count(network.checkpoint.linears.values(), network.threads)
    generate(
        network.counting(watcher.counted),
        tokens,
        workload.decode + 1,
        observer=watcher,
        before_pass=watcher.start_pass,
    )
    filled = recorder.rows()
    trace = Trace(
        network=name,
        form=form,
        layers=shape.layers,
        workload=workload,
        source=WeightSource(
            kind="checkpoint",
            source=name,
            sha256=network.checkpoint.sha256,
            zero_fraction=zero_fraction(filled),
            profile="",
        ),
        footprint=footprint(shape, workload, form),
        names=names,
        operators=filled,
    )
    return trace, recorder


class _Watcher:
    """Hands what a network reports to a recorder, under the names of a trace."""

    def __init__(self, recorder: Recorder, checkpoint: Checkpoint) -> None:
        self._recorder = recorder
        self._checkpoint = checkpoint
        self._phase = Phase.PREFILL
        self._counters: dict[str, Counter] = {}

    def counted(self, layer: int, linear: Linear) -> Linear:
        """Return a linear that counts its operands where this is soonest done."""
        return _CountedLinear(linear, layer, self) if isinstance(linear, TernaryLinear) else linear

    def start_pass(self, number: int) -> None:
        phase = Phase.DECODE if number else Phase.PREFILL
        if phase != self._phase:
            self._phase = phase
            self._counters.clear()

    def __call__(self, name: str, layer: int, kind: str, *operands: NDArray[Any]) -> None:
        self.counter(name, layer, kind)(*operands)

    def counter(self, name: str, layer: int, kind: str) -> Counter:
        """Return what counts the product of this name in the phase that runs."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._open(name, layer, kind)
        return counter

    def _open(self, name: str, layer: int, kind: str) -> Counter:
        if kind == "attention":
            return self._recorder.attention(self._phase, layer)
        prefix = self._phase.name.lower()
        if kind == "lm_head":
            tensor = EMBEDDING if self._checkpoint.config.tie_embeddings else LM_HEAD
            return self._recorder.linear(f"{prefix}/lm_head", self._checkpoint.dense[tensor])
        row = f"{prefix}/{name.rpartition('.')[2]}"
        return self._recorder.linear(row, self._checkpoint.linears[name], layer)


class _CountedLinear:
    """A ternary linear that is counted while it dequantises its sums."""

    def __init__(self, linear: TernaryLinear, layer: int, watcher: _Watcher) -> None:
        self.enter = linear.enter
        self._linear = linear
        self._layer = layer
        self._watcher = watcher

    def __call__(self, x: Quantised, report: Report | None = None) -> Floats:
        linear = self._linear
        count = self._watcher.counter(linear.name, self._layer, "gemm")
        if not isinstance(count, LinearCounter):
            return linear(x, report)
        sums = linear.product(x.codes)
        scaling = x.scales, linear.scale, linear.multiplies, linear.threads
        return count.dequantise(x.codes, sums, *scaling)


def _check_tokens(tokens: NDArray[Any], workload: Workload) -> NDArray[Any]:
    wanted = (workload.batch, workload.prefill)
    if tokens.shape != wanted:
        raise UserError(
            "tokens do not fit the workload",
            value=f"{tokens.shape}",
            allowed=f"expected [batch, prefill] = {wanted}",
        )
    if len({tuple(row) for row in tokens.tolist()}) != workload.batch:
        raise UserError(
            "two sequences of the batch are equal",
            file="--batch",
            value=workload.batch,
            allowed="give every sequence a text of its own",
        )
    return tokens
