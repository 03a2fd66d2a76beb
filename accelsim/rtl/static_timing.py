"""When signals of a netlist settle: static timing from the library's delay tables.

Loads are pin capacitances alone, there is no layout. A flop of the library stands in front of
every input and behind every output, as neighbours in an array do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accelsim.rtl.liberty import Arc, Cell, Pin, Table
from accelsim.rtl.netlist import Instance, Netlist

RISE, FALL = 1, 0  # indices by the value that a net takes
_MODES = {
    "positive_unate": ((RISE, RISE), (FALL, FALL)),
    "negative_unate": ((FALL, RISE), (RISE, FALL)),
    "non_unate": ((RISE, RISE), (FALL, RISE), (RISE, FALL), (FALL, FALL)),
}
_NO_DELAY = ("setup", "hold", "recovery", "removal", "min_pulse", "non_seq", "three_state", "skew")


@dataclass(frozen=True)
class Timing:
    """What static timing finds.

    Attributes:
        critical_ps: The shortest clock period, from clock edge to the setup of the next.
        slews_ps: Of each net, [nets][value it takes].
        loads_ff: Of each net.
        delays_ps: (instance, output, input) -> the longest delay to the output's fall and rise.
        clock_slew_ps: Slew at clock pins, an assumption.
        path: Instances of the critical path, first to last.
    """

    critical_ps: float
    slews_ps: list[list[float]]
    loads_ff: list[float]
    delays_ps: dict[tuple[str, str, str], tuple[float, float]]
    clock_slew_ps: float
    path: tuple[str, ...]


def analyse(netlist: Netlist, driver: Cell) -> Timing:
    """Return arrival, slew and load of every net, and the critical path.

    Args:
        netlist: The netlist.
        driver: Flop in front of every input and behind every output.
    """
    return _Analysis(netlist, driver).run()


class _Analysis:
    """Arrivals and slews as they are found, in the order of the gates."""

    def __init__(self, netlist: Netlist, driver: Cell) -> None:
        self.netlist, self.driver = netlist, driver
        self.clock_slew = _clock_slew(driver)
        self.loads = net_loads(netlist, driver)
        self.arrivals = [[0.0, 0.0] for _ in range(netlist.nets)]
        self.slews = [[0.0, 0.0] for _ in range(netlist.nets)]
        self.delays: dict[tuple[str, str, str], tuple[float, float]] = {}
        self.before: dict[int, tuple[int, str]] = {}  # net -> the net and gate that made it late

    def run(self) -> Timing:
        """Walk the netlist once."""
        for name, nets in self.netlist.inputs.items():
            for net in nets:
                self._start(name, self.driver, net)
        for flop in self.netlist.flops:
            self._start(flop.name, flop.cell, flop.nets[driven_pin(flop.cell).name])
        for gate in self.netlist.gates:
            for pin in gate.cell.outputs:
                if pin.name in gate.nets:
                    self._pass(gate, pin)
        critical, last = max(self._ends(), default=(0.0, -1))
        return Timing(
            critical, self.slews, self.loads, self.delays, self.clock_slew, self._path(last)
        )

    def _start(self, name: str, flop: Cell, net: int) -> None:
        """A flop's output changes behind the clock edge."""
        pin = driven_pin(flop)
        clock = flop.flop.clock if flop.flop else ""
        delays = [0.0, 0.0]
        for arc in _arcs_to(pin, clock):
            for edge in (FALL, RISE):
                delay, slew = _delay(arc, edge, self.clock_slew, self.loads[net])
                delays[edge] = max(delays[edge], delay)
                self.slews[net][edge] = max(self.slews[net][edge], slew)
        self.arrivals[net] = delays
        self.delays[name, pin.name, clock] = (delays[FALL], delays[RISE])

    def _pass(self, gate: Instance, pin: Pin) -> None:
        """A gate's output changes behind each of its inputs."""
        net = gate.nets[pin.name]
        for source in gate.cell.inputs:
            from_net = gate.nets[source.name]
            longest = [0.0, 0.0]
            for arc in _arcs_to(pin, source.name):
                for into, edge in _MODES[arc.sense]:
                    delay, slew = _delay(arc, edge, self.slews[from_net][into], self.loads[net])
                    longest[edge] = max(longest[edge], delay)
                    self.slews[net][edge] = max(self.slews[net][edge], slew)
                    self._arrive(net, edge, self.arrivals[from_net][into] + delay, from_net, gate)
            self.delays[gate.name, pin.name, source.name] = (longest[FALL], longest[RISE])

    def _arrive(self, net: int, edge: int, when: float, from_net: int, gate: Instance) -> None:
        if when >= max(self.arrivals[net]):
            self.before[net] = (from_net, gate.name)
        self.arrivals[net][edge] = max(self.arrivals[net][edge], when)

    def _ends(self) -> Iterator[tuple[float, int]]:
        """Yield the period that each end of a path asks for."""
        for each in (*self.netlist.flops, *self.netlist.clock_gates):
            for pin in each.cell.inputs:
                net = each.nets.get(pin.name, -1)
                if net > 1 and net != self.netlist.clock:
                    yield self._needed(pin, net), net
        flop = self.driver.flop
        assert flop is not None
        for nets in self.netlist.outputs.values():
            for net in nets:
                yield self._needed(self.driver.pins[flop.data], net), net

    def _needed(self, pin: Pin, net: int) -> float:
        setups = [arc for arc in pin.arcs if arc.kind == "setup_rising"]
        return max(
            self.arrivals[net][edge]
            + max(
                (_setup(arc, edge, self.slews[net][edge], self.clock_slew) for arc in setups),
                default=0.0,
            )
            for edge in (FALL, RISE)
        )

    def _path(self, net: int) -> tuple[str, ...]:
        names: list[str] = []
        while net in self.before:
            net, name = self.before[net]
            names.append(name)
        return tuple(reversed(names))


def net_loads(netlist: Netlist, driver: Cell) -> list[float]:
    """Return the capacitance at each net: pins that read it, a flop's data pin at each output."""
    loads: dict[int, float] = defaultdict(float)
    for each in netlist.instances():
        for pin in each.cell.inputs:
            if pin.name in each.nets:
                loads[each.nets[pin.name]] += pin.capacitance_ff
    flop = driver.flop
    assert flop is not None
    for nets in netlist.outputs.values():
        for net in nets:
            loads[net] += driver.pins[flop.data].capacitance_ff
    return [loads[net] for net in range(netlist.nets)]


def driven_pin(flop: Cell) -> Pin:
    """Return the output pin of a flop."""
    return flop.outputs[0]


def _clock_slew(driver: Cell) -> float:
    """Return the middle of the slews for which the library describes the flop's clock."""
    flop = driver.flop
    assert flop is not None
    table = next(arc.rise for arc in _arcs_to(driven_pin(driver), flop.clock) if arc.rise)
    return float(table.slews[len(table.slews) // 2])


def _arcs_to(pin: Pin, source: str) -> list[Arc]:
    return [
        arc
        for arc in pin.arcs
        if source in arc.related.split() and not arc.kind.startswith(_NO_DELAY)
    ]


def _delay(arc: Arc, edge: int, slew: float, load: float) -> tuple[float, float]:
    delay, transition = (arc.rise, arc.rise_slew) if edge == RISE else (arc.fall, arc.fall_slew)
    return _read(delay, slew, load), _read(transition, slew, load)


def _setup(arc: Arc, edge: int, slew: float, clock_slew: float) -> float:
    """Return the setup time; below zero where a flop takes data that comes after its clock."""
    table = arc.rise if edge == RISE else arc.fall
    return 0.0 if table is None else table.at(slew, clock_slew)


def _read(table: Table | None, slew: float, load: float) -> float:
    return 0.0 if table is None else max(table.at(slew, load), 0.0)


def ticks(delay_ps: float) -> int:
    """Return a delay in whole ticks of one picosecond, at least one."""
    return max(1, int(np.rint(delay_ps)))
