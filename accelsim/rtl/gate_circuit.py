"""A netlist as arrays: what a simulation of gates needs, energies included.

An energy belongs to the change of a pin in a state of its cell, so a table per gate holds it for
every input and every state after the change. A change of an output costs the library's internal
energy and half of C V^2 of the net; who drives a net pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.rtl.boolean import Truth, inputs_of, truth_table
from accelsim.rtl.liberty import Cell, Power, Table
from accelsim.rtl.netlist import HIGH, Instance, Netlist
from accelsim.rtl.static_timing import FALL, RISE, Timing, driven_pin, net_loads, ticks

WIDEST_GATE = 12
_FJ_TO_PJ = 1e-3

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]


class Arrays(NamedTuple):
    """G gates with P pins in all, F flops, K clock gates, I input bits; energies in pJ.

    A gate is one output of a cell. State s of a gate holds the value of pin p in bit p; entry
    ``table_start[g] + p * 2**pins + s`` of a table belongs to a change of pin p into state s.
    """

    values: npt.NDArray[np.uint8]  # [nets] at the start, constants included
    pin_start: Indices  # [G + 1]
    pin_net: Indices  # [P]
    out_net: Indices  # [G]
    truth_start: npt.NDArray[np.int64]  # [G]
    truth: npt.NDArray[np.uint8]
    table_start: npt.NDArray[np.int64]  # [G]
    input_energy: Floats
    output_energy: Floats
    pin_delay: Indices  # [P, 2] ticks to the output's fall and rise
    reader_start: Indices  # [nets + 1] who reads a net: gates g with a pin, flops as G + f
    reader: Indices
    reader_pin: Indices
    flop_data: Indices  # [F] nets
    flop_out: Indices
    flop_inverts: npt.NDArray[np.uint8]
    flop_gate: Indices  # [F] clock gate, -1 for the clock itself
    clock_energy: Floats  # [F, 2, 2] rising edge, by data and output before it
    fall_energy: Floats  # [F, 2, 2] falling edge, by data and output before it
    data_energy: Floats  # [F, 2, 2] change of data, by its new value and the output
    out_energy: Floats  # [F, 2] by the output's new value
    flop_delay: Indices  # [F, 2]
    enable_net: Indices  # [K]
    gate_clock_energy: Floats  # [K, 2] of a cycle, by the enable
    enable_energy: Floats  # [K, 2] by the enable's new value
    input_net: Indices  # [I]
    input_delay: Indices  # [I, 2]


@dataclass(frozen=True)
class Circuit:
    """Arrays, and what their places stand for.

    Attributes:
        arrays: The arrays.
        units: Instance of each place of an energy by unit: G gates, F flops, K clock gates.
        input_bits: (port, bit) of each input.
        output_nets: Nets of each output port.
    """

    arrays: Arrays
    units: tuple[Instance, ...]
    input_bits: tuple[tuple[str, int], ...]
    output_nets: Mapping[str, tuple[int, ...]]


def build(netlist: Netlist, timing: Timing, driver: Cell, voltage_v: float) -> Circuit:
    """Return the arrays of a netlist.

    Raises:
        UserError: A gate has more inputs than a table can hold, or no function.
    """
    outputs = [
        (gate, pin.name)
        for gate in netlist.gates
        for pin in gate.cell.outputs
        if pin.name in gate.nets
    ]
    builder = _Builder(netlist, timing, driver, voltage_v)
    for gate, pin in outputs:
        builder.add_gate(gate, pin)
    for flop in netlist.flops:
        builder.add_flop(flop)
    for clock_gate in netlist.clock_gates:
        builder.add_clock_gate(clock_gate)
    bits = tuple((name, bit) for name, nets in netlist.inputs.items() for bit in range(len(nets)))
    units = (*(gate for gate, _ in outputs), *netlist.flops, *netlist.clock_gates)
    return Circuit(builder.arrays(bits), units, bits, netlist.outputs)


class _Builder:
    """Columns that grow with every instance."""

    def __init__(self, netlist: Netlist, timing: Timing, driver: Cell, voltage_v: float) -> None:
        self.netlist, self.timing, self.driver = netlist, timing, driver
        self.half_v2 = voltage_v**2 / 2
        self.loads = net_loads(netlist, driver)
        self.gates: list[dict[str, Any]] = []
        self.flops: list[dict[str, Any]] = []
        self.clock_gates: list[dict[str, Any]] = []
        self.gated_clock = {
            each.nets[driven_pin(each.cell).name]: index
            for index, each in enumerate(netlist.clock_gates)
        }
        self.seen: set[str] = set()

    def add_gate(self, gate: Instance, out: str) -> None:
        """Add one output of a combinational cell."""
        cell, net = gate.cell, gate.nets[out]
        names = [pin.name for pin in cell.inputs]
        if len(names) > WIDEST_GATE:
            raise UserError("has too many inputs", key=cell.name, value=len(names))
        truth = _function(cell, out, names)
        slews = self.timing.slews_ps
        spent_in = np.zeros((len(names), 1 << len(names)))
        spent_out = np.zeros_like(spent_in)
        for index, name in enumerate(names):
            into = _slew(slews, gate.nets[name])
            if gate.name not in self.seen:  # inputs of a cell of two outputs count once
                powers = cell.pins[name].power
                spent_in[index] = _by_state(powers, names, out, truth, index, into, 0.0)
            related = [each for each in cell.pins[out].power if name in each.related.split()]
            spent_out[index] = _by_state(
                related or cell.pins[out].power, names, out, truth, None, into, self.loads[net]
            )
        self.seen.add(gate.name)
        delays = [self.timing.delays_ps[gate.name, out, name] for name in names]
        self.gates.append(
            {
                "nets": np.array([gate.nets[name] for name in names], np.int32),
                "out": np.array([net], np.int32),
                "truth": truth.astype(np.uint8),
                "input": spent_in.ravel() * _FJ_TO_PJ,
                "output": (spent_out.ravel() + self._switching(net)) * _FJ_TO_PJ,
                "delay": np.array([[ticks(ps) for ps in pair] for pair in delays], np.int32),
            }
        )

    def _switching(self, net: int) -> float:
        return self.half_v2 * self.loads[net]

    def add_flop(self, each: Instance) -> None:
        """Add a flop."""
        cell, flop = each.cell, each.cell.flop
        assert flop is not None
        out = driven_pin(cell)
        slew, net = self.timing.clock_slew_ps, each.nets[out.name]
        clock, data = cell.pins[flop.clock], cell.pins[flop.data]
        both = self.half_v2 * clock.capacitance_ff
        names = [flop.clock, flop.data, out.name]
        into = _slew(self.timing.slews_ps, each.nets[flop.data])
        rising = _edge(clock.power, names, True, slew)
        falling = _edge(clock.power, names, False, slew)
        settled = [_edge(data.power, names, value, into) for value in (False, True)]
        delays = self.timing.delays_ps[each.name, out.name, flop.clock]
        stored_inverted = out.function.strip("() ") == flop.state[1]
        self.flops.append(
            {
                "data": each.nets[flop.data],
                "out": net,
                "inverts": flop.inverted != stored_inverted,
                "gate": self.gated_clock.get(each.nets[flop.clock], -1),
                # state: clock is bit 0, data bit 1, output bit 2
                "clock": [[rising[1 | d << 1 | q << 2] + both for q in (0, 1)] for d in (0, 1)],
                "fall": [[falling[d << 1 | q << 2] + both for q in (0, 1)] for d in (0, 1)],
                "settle": [
                    [np.mean([settled[d][c | d << 1 | q << 2] for c in (0, 1)]) for q in (0, 1)]
                    for d in (0, 1)
                ],
                "change": [
                    _output_energy(out.power, edge, slew, self.loads[net]) + self._switching(net)
                    for edge in (FALL, RISE)
                ],
                "delay": [ticks(ps) for ps in delays],
            }
        )

    def add_clock_gate(self, each: Instance) -> None:
        """Add a cell that stops a clock: energies of a cycle with and without its enable."""
        cell, out = each.cell, driven_pin(each.cell)
        clock = next(pin for pin in cell.inputs if pin.role == "clock")
        enable = next(pin for pin in cell.inputs if pin.role == "enable")
        slew = self.timing.clock_slew_ps
        names = [pin.name for pin in cell.inputs] + [out.name]
        place, bit = names.index(clock.name), 1 << names.index(enable.name)
        high, gated = 1 << place, 1 << len(names) - 1
        up = _edge(clock.power, names, True, slew)
        down = _edge(clock.power, names, False, slew)
        both = 2 * self.half_v2 * clock.capacitance_ff
        passed = sum(
            _output_energy(out.power, edge, slew, self.loads[each.nets[out.name]])
            for edge in (FALL, RISE)
        )
        idle, active = both + up[high] + down[0], both + up[high | bit | gated] + down[bit | gated]
        into = _slew(self.timing.slews_ps, each.nets[enable.name])
        changes = [_edge(enable.power, names, value, into)[bit * value] for value in (False, True)]
        self.clock_gates.append(
            {
                "enable": each.nets[enable.name],
                "cycle": [idle, active + passed],
                "change": changes,
            }
        )

    def arrays(self, bits: Sequence[tuple[str, int]]) -> Arrays:
        """Return everything that was added."""
        values = np.zeros(self.netlist.nets, np.uint8)
        values[HIGH] = 1
        pins = [len(gate["nets"]) for gate in self.gates]
        tables = [len(gate["input"]) for gate in self.gates]
        truths = [len(gate["truth"]) for gate in self.gates]
        inputs = [self.netlist.inputs[name][bit] for name, bit in bits]
        readers = self._readers()
        energies = [
            _column(self.flops, name, np.float64).reshape(-1, 2, 2) * _FJ_TO_PJ
            for name in ("clock", "fall", "settle")
        ]
        return Arrays(
            values,
            _starts(pins).astype(np.int32),
            _joined(self.gates, "nets", np.int32),
            _joined(self.gates, "out", np.int32),
            _starts(truths)[:-1],
            _joined(self.gates, "truth", np.uint8),
            _starts(tables)[:-1],
            _joined(self.gates, "input", np.float64),
            _joined(self.gates, "output", np.float64),
            _joined(self.gates, "delay", np.int32).reshape(-1, 2),
            readers[0],
            readers[1],
            readers[2],
            _column(self.flops, "data", np.int32),
            _column(self.flops, "out", np.int32),
            _column(self.flops, "inverts", np.uint8),
            _column(self.flops, "gate", np.int32),
            energies[0],
            energies[1],
            energies[2],
            _column(self.flops, "change", np.float64).reshape(-1, 2) * _FJ_TO_PJ,
            _column(self.flops, "delay", np.int32).reshape(-1, 2),
            _column(self.clock_gates, "enable", np.int32),
            _column(self.clock_gates, "cycle", np.float64).reshape(-1, 2) * _FJ_TO_PJ,
            _column(self.clock_gates, "change", np.float64).reshape(-1, 2) * _FJ_TO_PJ,
            np.array(inputs, np.int32),
            self._input_delays(bits),
        )

    def _input_delays(self, bits: Sequence[tuple[str, int]]) -> Indices:
        flop = self.driver.flop
        assert flop is not None
        key = driven_pin(self.driver).name, flop.clock
        pairs = [self.timing.delays_ps[(name, *key)] for name, _ in bits]
        return np.array([[ticks(ps) for ps in pair] for pair in pairs], np.int32).reshape(-1, 2)

    def _readers(self) -> tuple[Indices, Indices, Indices]:
        """Return, per net, the gates and flops that read it."""
        found = [
            (int(net), index, pin)
            for index, gate in enumerate(self.gates)
            for pin, net in enumerate(gate["nets"])
        ]
        for index, flop in enumerate(self.flops):
            found.append((int(flop["data"]), len(self.gates) + index, 0))
        found.sort()
        table = np.array(found, np.int32).reshape(-1, 3)
        counts = np.bincount(table[:, 0], minlength=self.netlist.nets)
        starts = _starts(counts.tolist()).astype(np.int32)
        return starts, table[:, 1].copy(), table[:, 2].copy()


def _function(cell: Cell, out: str, names: Sequence[str]) -> Truth:
    try:
        return truth_table(cell.pins[out].function, names)
    except ValueError as error:
        raise UserError("has no function", key=cell.name, value=str(error)) from None


def _slew(slews: Sequence[Sequence[float]], net: int) -> float:
    return (slews[net][FALL] + slews[net][RISE]) / 2


def _by_state(
    powers: Sequence[Power],
    names: Sequence[str],
    out: str,
    truth: Truth,
    changed: int | None,
    slew: float,
    load: float,
) -> Floats:
    """Return the energy of a change into each state, fJ [2 ** inputs].

    The edge is that of input ``changed``, or of the output if that is None. Conditions that hold
    in a state count together; where none holds, the unconditional tables do.
    """
    states = np.arange(1 << len(names))
    rising = truth if changed is None else (states >> changed & 1).astype(bool)
    full = states | truth.astype(np.int64) << len(names)
    total, met = np.zeros(len(states)), np.zeros(len(states), bool)
    plain = np.zeros(len(states))
    for power in powers:
        spent = np.where(rising, _at(power.rise, slew, load), _at(power.fall, slew, load))
        if not power.when:
            plain += spent
            continue
        holds = _holds(power.when, [*names, out])[full]
        total += np.where(holds & ~met if changed is None else holds, spent, 0.0)
        met |= holds
    if changed is None and not np.any([not power.when for power in powers]):
        return _filled(total, met, rising, powers, slew, load)
    return np.where(met, total, plain)


def _filled(
    total: Floats, met: Truth, rising: Truth, powers: Sequence[Power], slew: float, load: float
) -> Floats:
    """Give states that no condition covers the mean over all conditions."""
    if not powers:
        return total
    up = np.mean([_at(power.rise, slew, load) for power in powers])
    down = np.mean([_at(power.fall, slew, load) for power in powers])
    return np.where(met, total, np.where(rising, up, down))


def _holds(when: str, names: Sequence[str]) -> Truth:
    """Return in which states of ``names`` a condition holds; other names may have any value."""
    others = [name for name in inputs_of(when) if name not in names]
    table = truth_table(when, [*names, *others])
    held: Truth = table.reshape(-1, 1 << len(names)).max(axis=0)
    return held


def _edge(powers: Sequence[Power], names: Sequence[str], rising: bool, slew: float) -> Floats:
    """Return the energy of an edge of one pin in each state of all pins, fJ."""
    total, plain = np.zeros(1 << len(names)), 0.0
    met = np.zeros(len(total), bool)
    for power in powers:
        spent = _at(power.rise if rising else power.fall, slew, 0.0)
        if power.when:
            holds = _holds(power.when, names)
            total += np.where(holds, spent, 0.0)
            met |= holds
        else:
            plain += spent
    return np.where(met, total, plain)


def _output_energy(powers: Sequence[Power], edge: int, slew: float, load: float) -> float:
    """Return the mean over conditions of a flop's or clock gate's output change, fJ."""
    spent = [_at(power.rise if edge == RISE else power.fall, slew, load) for power in powers]
    return float(np.mean(spent)) if spent else 0.0


def _at(table: Table | None, slew: float, load: float) -> float:
    return 0.0 if table is None else table.at(slew, load)


def _starts(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _joined(rows: Sequence[Mapping[str, Any]], name: str, kind: type) -> Any:
    return np.concatenate([np.zeros(0, kind), *(row[name].ravel() for row in rows)]).astype(kind)


def _column(rows: Sequence[Mapping[str, Any]], name: str, kind: type) -> Any:
    return np.array([row[name] for row in rows], kind)
