"""All that is measured of one PE: area, clock, energy by operand stream, its fit, its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from accelsim.rtl.characterise import Mapped, Progress, check, map_module, smallest
from accelsim.rtl.energy_fit import Fit, fit
from accelsim.rtl.gate_energy import simulate
from accelsim.rtl.netlist_parts import PARTS, parts_of, shares
from accelsim.rtl.operand_streams import (
    OperandStream,
    counts_of,
    drawn_streams,
    idle_stream,
    joined,
    network_stream,
)
from accelsim.rtl.pe_subjects import LEAD_IN, Subject, fitted, patterns, stimulus_of
from accelsim.rtl.synthesis import Mapper

Floats = npt.NDArray[np.float64]

BOUNDS = ("func", "timed")  # without and with the gates' delays
# Cycles of a stream, drawn streams and network streams: of a PE, and of a wide dot product.
_EXTENT, _WIDE_EXTENT = (512, 24, 14), (96, 9, 7)
# A PE that holds an operand sees few of them: longer streams, typical of their kind.
_HELD_FACTOR = 4
_HOLD_OUT = 3  # every third drawn stream and every second of the network is kept from the fit
_SHORT_TILE = 16  # of the stream that is compared: six of them write every accumulator
_TESTED_STEPS = 0.7  # of the cycles in which netlists with gated clocks are compared
_SETTLED = 24  # cycles until registers hold nothing of the start


class Operands(Protocol):
    """What one linear of a network multiplies: activations [tokens, k], weights [outputs, k]."""

    @property
    def name(self) -> str:
        """Name of the linear."""

    @property
    def activations(self) -> npt.NDArray[Any]:
        """The int8 codes."""

    @property
    def weights(self) -> npt.NDArray[Any]:
        """The weights, -1, 0, +1."""


@dataclass(frozen=True)
class Weighed:
    """Energy with one kind of weights.

    Attributes:
        fits: Without delays, with delays, and of the mean of both.
        mean_pj: Mean energy of a cycle of each stream, [func and timed][streams].
        streams: Names of the streams.
        by_part: Share of each part in the energy above idle and clock, of the hierarchy kept.
        reference_pj: func and timed energy of a step of the network's streams, or of drawn ones.
    """

    fits: tuple[Fit, Fit, Fit]
    mean_pj: Floats
    streams: tuple[str, ...]
    by_part: dict[str, float]
    reference_pj: tuple[float, float]


@dataclass(frozen=True)
class Gated:
    """The same PE, mapped the same way, where registers with an enable share clock-gating cells.

    Attributes:
        area_um2: Of its cells, those that gate among them.
        critical_ps: As for the PE; that the gated clock comes later is left out.
        clock_gates: Gating cells.
        idle_pj: Energy of a cycle without a step.
        busy_over_ungated: Energy with a step in every cycle, over that of the PE, without delays.
        cycles_equal_to_source: Cycles in which netlist and source agreed, three in ten without a
            step.
    """

    area_um2: float
    critical_ps: float
    clock_gates: int
    idle_pj: float
    busy_over_ungated: float
    cycles_equal_to_source: int


@dataclass(frozen=True)
class Measured:
    """A PE at a clock.

    Attributes:
        subject: The PE.
        latency: Least accumulate latency that meets the clock.
        best: Its netlist.
        tried: All netlists.
        weighed: By kind of weights, ternary and dense.
        area_by_part: Share of each part in the area, of the hierarchy kept.
        kept_area: Area with the hierarchy kept, over the flat netlist's.
        kept_energy: Energy likewise.
        gated: With gated clocks; None for wide ones, and where no register has an enable.
        compared: Cycles in which netlist and source agreed.
    """

    subject: Subject
    latency: int
    best: Mapped
    tried: tuple[Mapped, ...]
    weighed: dict[str, Weighed]
    area_by_part: dict[str, float]
    kept_area: float
    kept_energy: float
    gated: Gated | None
    compared: int


def measure(
    mapper: Mapper,
    subject: Subject,
    period_ps: float,
    operands: Sequence[Operands],
    seed: int,
    progress: Progress,
) -> Measured:
    """Synthesise and measure one PE.

    Args:
        mapper: Library and Yosys.
        subject: The PE.
        period_ps: Of the clock.
        operands: Of a network, for streams besides the drawn ones; may be empty.
        seed: Of all that is drawn.
        progress: Told what is going on.

    Raises:
        UserError: A netlist differs from its source, or Yosys fails.
    """
    wide = subject.lanes > 1
    multiplies = subject.kind != 0
    latency, best, tried = smallest(
        mapper, subject.top, subject.parameters, period_ps, multiplies=multiplies, wide=wide,
        progress=progress,
    )  # fmt: skip
    kept = map_module(mapper, subject.top, best.parameters, replace(best.setting, flat=False))
    rng = np.random.default_rng(seed)
    weighed, compared = {}, 0
    for ternary in (True, False) if subject.dense else (True,):
        kind = "ternary" if ternary else "dense"
        streams = _streams(subject, operands, ternary, rng)
        progress(f"checking and measuring {subject.name} with {kind} weights")
        tested = stimulus_of(replace(joined(streams[:3]), tile=_SHORT_TILE), subject, latency)
        compared += check(best, tested, LEAD_IN + 6 * _SHORT_TILE, progress)
        weighed[kind] = _weigh(best, kept, subject, latency, streams)
    area_shares = shares(parts_of(kept), [unit.cell.area_um2 for unit in kept.circuit.units])
    ratio = _mean(kept, subject, latency, streams[:2]) / _mean(best, subject, latency, streams[:2])
    gated = None if wide else _gated(mapper, best, subject, latency, progress)
    return Measured(
        subject, latency, best, tuple(tried), weighed, area_shares,
        kept.area_um2 / best.area_um2, ratio, gated, compared,
    )  # fmt: skip


def _streams(
    subject: Subject, operands: Sequence[Operands], ternary: bool, rng: np.random.Generator
) -> list[OperandStream]:
    """Return drawn streams, then those of the network."""
    cycles, drawn, cut = _WIDE_EXTENT if subject.lanes > 1 else _EXTENT
    cycles *= subject.lanes * (_HELD_FACTOR if subject.top == "pe_held" else 1)
    streams = list(drawn_streams(rng, cycles, ternary, drawn))
    if ternary and operands:
        picks = [operands[index * len(operands) // cut % len(operands)] for index in range(cut)]
        streams += [network_stream(o.name, o.activations, o.weights, cycles, rng) for o in picks]
    return [fitted(stream, subject, rng) for stream in streams]


def _weigh(
    best: Mapped, kept: Mapped, subject: Subject, latency: int, streams: Sequence[OperandStream]
) -> Weighed:
    energies = np.array([[_mean(best, subject, latency, [stream], timed=timed)
                          for stream in streams] for timed in (False, True)])  # fmt: skip
    counts = np.array([_counts(stream, subject) for stream in streams])
    idle = _idle(best, subject, latency)
    network = np.array([not stream.name.startswith("drawn") for stream in streams])
    order = np.arange(len(streams))
    held_out = np.where(network, order % 2 == 1, order % _HOLD_OUT == 0)
    names = tuple(stream.name for stream in streams)
    fits = [fit(counts, each, idle, held_out, names) for each in (*energies, energies.mean(axis=0))]
    chosen = network if network.any() else ~network
    busy = counts[chosen, 0].mean()
    reference = tuple(float(each[chosen].mean() / busy) for each in energies)
    picked = [stream for stream, take in zip(streams, chosen, strict=True) if take][:3]
    return Weighed(
        (fits[0], fits[1], fits[2]),
        energies,
        names,
        _energy_shares(kept, subject, latency, picked),
        (reference[0], reference[1]),
    )


def _counts(stream: OperandStream, subject: Subject) -> Floats:
    """Return counts per cycle of the unit, all lanes together."""
    a, w = (
        patterns(stream.activations, subject.activation),
        patterns(stream.weights, subject.weight),
    )
    lanes = subject.lanes
    if lanes == 1:
        return counts_of(stream, a, w)
    whole = len(a) // lanes * lanes
    # Each lane sees every lanes-th pair.
    by_lane = [
        counts_of(
            replace(
                stream,
                activations=stream.activations[lane:whole:lanes],
                weights=stream.weights[lane:whole:lanes],
                valid=stream.valid[lane:whole:lanes],
            ),
            a[lane:whole:lanes],
            w[lane:whole:lanes],
        )
        for lane in range(lanes)
    ]
    total: Floats = np.sum(by_lane, axis=0)
    return total


def _mean(
    mapped: Mapped,
    subject: Subject,
    latency: int,
    streams: Sequence[OperandStream],
    *,
    timed: bool = False,
) -> float:
    """Return the mean energy of a cycle over streams, pJ."""
    runs = [
        simulate(mapped.circuit, stimulus_of(stream, subject, latency), timed=timed)
        for stream in streams
    ]
    return float(np.mean([run.cycle_pj[_SETTLED:].mean() for run in runs]))


def _idle(mapped: Mapped, subject: Subject, latency: int) -> float:
    return _mean(mapped, subject, latency, [idle_stream(64 * subject.lanes)])


def _energy_shares(
    kept: Mapped, subject: Subject, latency: int, streams: Sequence[OperandStream]
) -> dict[str, float]:
    spent = np.sum(
        [
            simulate(kept.circuit, stimulus_of(stream, subject, latency), timed=False).unit_pj
            for stream in streams
        ],
        axis=0,
    )
    found = shares(parts_of(kept), spent)
    return {part: found[part] for part in PARTS}


def _gated(
    mapper: Mapper, best: Mapped, subject: Subject, latency: int, progress: Progress
) -> Gated | None:
    """Return what the best netlist is with gated clocks, if any register can be gated."""
    gated = map_module(mapper, subject.top, best.parameters, replace(best.setting, gated=True))
    if not gated.netlist.clock_gates:
        return None
    progress(f"checking {subject.name} with gated clocks")
    rng = np.random.default_rng(1)
    busy = next(drawn_streams(rng, _EXTENT[0], True, 1))
    busy = fitted(replace(busy, valid=np.ones(_EXTENT[0], bool)), subject, rng)
    # Enables must be seen to come and go.
    tested = replace(busy, valid=rng.random(_EXTENT[0]) < _TESTED_STEPS, tile=_SHORT_TILE)
    compared = check(
        gated, stimulus_of(tested, subject, latency), LEAD_IN + 6 * _SHORT_TILE, progress
    )
    ratio = _mean(gated, subject, latency, [busy]) / _mean(best, subject, latency, [busy])
    return Gated(
        gated.area_um2, gated.timing.critical_ps, len(gated.netlist.clock_gates),
        _idle(gated, subject, latency), ratio, compared,
    )  # fmt: skip
