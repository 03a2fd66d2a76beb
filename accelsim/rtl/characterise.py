"""A module at a clock: the smallest netlist that meets it, checked against its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accelsim.errors import UserError
from accelsim.rtl import circuit as compiled
from accelsim.rtl.gate_circuit import Circuit
from accelsim.rtl.gate_circuit import build as build_circuit
from accelsim.rtl.gate_energy import simulate
from accelsim.rtl.netlist import Netlist, read_netlist
from accelsim.rtl.sources import SV_FOLDER, sources_of
from accelsim.rtl.static_timing import Timing, analyse
from accelsim.rtl.synthesis import Mapper, Setting
from accelsim.rtl.words import Stimulus

Progress = Callable[[str], None]

LONGEST_LATENCY = 6
# Targets of abc, in parts of the clock period.
_TIGHT = 0.6
# Where the fastest way misses the clock by this factor, the others are not tried.
_HOPELESS = 1.12


@dataclass(frozen=True)
class Mapped:
    """A netlist, how it was made, and what static timing says."""

    top: str
    parameters: Mapping[str, int]
    setting: Setting
    netlist: Netlist
    timing: Timing
    circuit: Circuit

    @property
    def area_um2(self) -> float:
        """Area of its cells."""
        return self.netlist.area_um2()


def map_module(mapper: Mapper, top: str, parameters: Mapping[str, int], setting: Setting) -> Mapped:
    """Synthesise a module one way, and analyse it.

    Raises:
        UserError: as `Mapper.synthesise` and `read_netlist`.
    """
    module = mapper.synthesise(top, sources_of(top, [SV_FOLDER]), parameters, setting)
    netlist = read_netlist(top, module, mapper.library)
    timing = analyse(netlist, mapper.driver)
    circuit = build_circuit(netlist, timing, mapper.driver, mapper.library.voltage_v)
    return Mapped(top, dict(parameters), setting, netlist, timing, circuit)


def settings(period_ps: float, multiplies: bool, wide: bool) -> list[Setting]:
    """Return ways to map a module, the fastest first: by delay, then by area.

    Args:
        period_ps: Of the clock.
        multiplies: Booth recoding is worth a try.
        wide: The module is large: only the two that were the best of smaller ones.
    """
    whole, tight = round(period_ps), round(period_ps * _TIGHT)
    fast = [Setting(tight, carry=carry, fast=True) for carry in ("sklansky", "tree")]
    small = [Setting(whole, carry=carry) for carry in ("tree", "ripple")]
    if wide:
        return [fast[0], small[0]]
    plain = [*fast, *small]
    return plain + [replace(each, booth=True) for each in plain] * multiplies


def smallest(
    mapper: Mapper,
    top: str,
    parameters_at: Callable[[int], Mapping[str, int]],
    period_ps: float,
    *,
    multiplies: bool = False,
    wide: bool = False,
    latencies: Sequence[int] = range(1, LONGEST_LATENCY + 1),
    progress: Progress,
) -> tuple[int, Mapped, list[Mapped]]:
    """Return the least latency at which a module meets the clock, its smallest netlist there.

    Where no latency meets it, those that miss by little are mapped again with carry networks kept:
    faster, and larger.

    Args:
        mapper: Library and Yosys.
        top: Module.
        parameters_at: Its parameters at a latency.
        period_ps: Of the clock.
        multiplies: Booth recoding is worth a try.
        wide: As for `settings`.
        latencies: Which to try, in order; where none meets the clock the fastest netlist counts.
        progress: Told what is going on.

    Returns:
        Latency, netlist, and every netlist that was tried.
    """
    tried: list[tuple[int, Mapped]] = []
    plain = settings(period_ps, multiplies, wide)
    near = list(latencies)
    for ways in (plain, [replace(way, kept_carries=True) for way in plain if way.fast]):
        for latency in near:
            parameters = parameters_at(latency)
            here = _mapped_ways(mapper, top, parameters, ways, period_ps, progress)
            tried += [(latency, each) for each in here]
            met = [each for each in here if each.timing.critical_ps <= period_ps]
            if met:
                best = min(met, key=lambda each: each.area_um2)
                return latency, best, [each for _, each in tried]
        hopeful = {at for at, each in tried if each.timing.critical_ps <= period_ps * _HOPELESS}
        near = [latency for latency in latencies if latency in hopeful]
    latency, best = min(tried, key=lambda each: each[1].timing.critical_ps)
    return latency, best, [each for _, each in tried]


def _mapped_ways(
    mapper: Mapper,
    top: str,
    parameters: Mapping[str, int],
    ways: Sequence[Setting],
    period_ps: float,
    progress: Progress,
) -> list[Mapped]:
    """Return a module mapped in several ways; only the first where that is hopelessly slow.

    abc ends in one of its own assertions on some libraries, in one of its ways of mapping: that way
    is told and left out.

    Raises:
        UserError: No way works.
    """
    found: list[Mapped] = []
    failures: list[UserError] = []
    for setting in ways:
        progress(f"synthesising {top} with {dict(parameters)}: {setting.text()}")
        try:
            found.append(map_module(mapper, top, parameters, setting))
        except UserError as error:
            progress(f"left out, {setting.text()}: {error}")
            failures.append(error)
            continue
        if found[0].setting.fast and found[0].timing.critical_ps > period_ps * _HOPELESS:
            break
    if not found:
        # Yosys and abc do not say which cell they stumble over.
        mapper.library.check(mapper.excluded)
        raise failures[0]
    return found


def check(mapped: Mapped, stimulus: Stimulus, skip: int, progress: Progress) -> int:
    """Compare a netlist with its SystemVerilog; return how many cycles were compared.

    Args:
        mapped: The netlist.
        stimulus: Values of its inputs, cycle by cycle.
        skip: Cycles until nothing of the random start is left in the registers.
        progress: Told what is going on.

    Raises:
        UserError: They differ: the netlist must not be measured.
    """
    source = compiled.build(mapped.top, mapped.parameters, progress=progress)
    wanted = source.replay(stimulus)
    found = simulate(mapped.circuit, stimulus, timed=False).outputs
    for name, values in wanted.items():
        differing = np.flatnonzero(
            (values[skip:] != found[name][skip:]).reshape(len(values) - skip, -1).any(axis=1)
        )
        if len(differing):
            raise UserError(
                f"the netlist of {mapped.top} differs from its source at {name}",
                key=mapped.setting.text(),
                value=f"cycle {skip + differing[0]}, {len(differing)} in all",
            )
    return len(values) - skip
