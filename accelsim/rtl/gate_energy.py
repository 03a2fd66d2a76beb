"""Energy of a circuit under a stream of operands, with and without the gates' delays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.rtl.gate_circuit import Circuit
from accelsim.rtl.gate_kernels import settle_once, settle_timed
from accelsim.rtl.words import Integers, Port, Stimulus, ports_of, rows_of


@dataclass(frozen=True)
class Activity:
    """What a simulation saw.

    Attributes:
        outputs: Values of each output port at the end of each cycle, as ``words.ports_of``.
        cycle_pj: float64 [cycles]; the first cycle, which only sets up the circuit, spends none.
        unit_pj: float64, by instance, in the order of ``Circuit.units``.
        toggles: int64 [nets], changes of each net.
    """

    outputs: Mapping[str, Integers]
    cycle_pj: npt.NDArray[np.float64]
    unit_pj: npt.NDArray[np.float64]
    toggles: npt.NDArray[np.int64]

    @property
    def mean_pj(self) -> float:
        """Energy of a mean cycle."""
        return float(self.cycle_pj[1:].mean())


def simulate(circuit: Circuit, stimulus: Stimulus, *, timed: bool) -> Activity:
    """Run a circuit through a stream of inputs, a row a cycle.

    Args:
        circuit: What ``gate_circuit.build`` made of a netlist.
        stimulus: Values of every input port but the clock, in the forms of ``words.rows_of``.
        timed: With the gates' delays, an upper bound of the energy as nothing is balanced by
            layout; else each net changes at most once a cycle, a lower bound.

    Raises:
        ValueError: A port is missing or its values do not fit.
    """
    arrays = circuit.arrays
    bits = input_bits(circuit, stimulus)
    watched = [net for nets in circuit.output_nets.values() for net in nets]
    outputs = np.zeros((len(bits), len(watched)), np.uint8)
    cycle_pj = np.zeros(len(bits))
    unit_pj = np.zeros(len(circuit.units))
    toggles = np.zeros(len(arrays.values), np.int64)
    run = settle_timed if timed else settle_once
    run(arrays, bits, np.array(watched, np.int32), outputs, cycle_pj, unit_pj, toggles)
    return Activity(_output_ports(circuit, outputs), cycle_pj, unit_pj, toggles)


def input_bits(circuit: Circuit, stimulus: Stimulus) -> npt.NDArray[np.uint8]:
    """Return a stimulus as uint8 [cycles, inputs], a bit each, in the circuit's order.

    Raises:
        ValueError: A port is missing or its values do not fit.
    """
    widths: dict[str, int] = {}
    for name, bit in circuit.input_bits:
        widths[name] = bit + 1
    ports = _ports(list(widths), list(widths.values()))
    rows = rows_of(ports, stimulus)
    flags = np.unpackbits(rows.view(np.uint8).reshape(len(rows), -1), axis=1, bitorder="little")
    columns, begin = [], 0
    for port in ports:
        columns.append(flags[:, begin : begin + port.bits])
        begin += 32 * port.words
    return np.ascontiguousarray(np.concatenate(columns, axis=1))


def _ports(names: Sequence[str], widths: Sequence[int]) -> list[Port]:
    return [Port(name, bits, name) for name, bits in zip(names, widths, strict=True)]


def _output_ports(circuit: Circuit, outputs: npt.NDArray[np.uint8]) -> Mapping[str, Integers]:
    nets = circuit.output_nets
    ports = _ports(list(nets), [len(bits) for bits in nets.values()])
    rows = np.zeros((len(outputs), sum(port.words for port in ports)), np.uint32)
    octets = rows.view(np.uint8).reshape(len(rows), -1)
    begin, place = 0, 0
    for port in ports:
        packed = np.packbits(outputs[:, begin : begin + port.bits], axis=1, bitorder="little")
        octets[:, place : place + packed.shape[1]] = packed
        begin += port.bits
        place += 4 * port.words
    return ports_of(ports, rows)
