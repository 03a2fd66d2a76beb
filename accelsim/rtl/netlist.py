"""A mapped netlist: instances of a library's cells, and the nets between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accelsim.errors import UserError
from accelsim.rtl.liberty import Cell, Library

LOW, HIGH = 0, 1  # nets that never change
CLOCK = "clk"


@dataclass(frozen=True)
class Instance:
    """One cell: its name, its kind, and the net at each pin that is connected."""

    name: str
    cell: Cell
    nets: Mapping[str, int]


@dataclass(frozen=True)
class Netlist:
    """A module of cells.

    Attributes:
        name: Of the module.
        gates: Combinational instances, each behind those that drive it.
        flops: Edge-triggered instances.
        clock_gates: Cells that stop a clock.
        inputs: Nets of each input port, bit 0 first; the clock is not among them.
        outputs: Nets of each output port.
        clock: Net of the clock, -1 where there is none.
        nets: How many there are, LOW and HIGH included.
        net_names: The name that the source has for a net, where it has one.
    """

    name: str
    gates: tuple[Instance, ...]
    flops: tuple[Instance, ...]
    clock_gates: tuple[Instance, ...]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    clock: int
    nets: int
    net_names: Mapping[int, str]

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance: gates, then flops, then clock gates."""
        return (*self.gates, *self.flops, *self.clock_gates)

    def area_um2(self) -> float:
        """Return the sum of the cells' areas, before placement."""
        return sum(each.cell.area_um2 for each in self.instances())

    def leakage_nw(self) -> float:
        """Return the sum of the cells' mean leakage."""
        return sum(each.cell.leakage_nw for each in self.instances())


def read_netlist(name: str, module: Mapping[str, Any], library: Library) -> Netlist:
    """Return a module that Yosys wrote as JSON.

    Raises:
        UserError: It holds a cell that is not of the library, a cell that cannot be simulated, or
            a loop of gates.
    """
    nets = _Nets()
    instances = [
        _instance(key, cell, library, nets, name) for key, cell in sorted(module["cells"].items())
    ]
    ports = {key: nets.of(port["bits"]) for key, port in module["ports"].items()}
    ways = {key: port["direction"] for key, port in module["ports"].items()}
    clock = ports[CLOCK][0] if CLOCK in ports else -1
    flops = tuple(each for each in instances if each.cell.flop is not None)
    clock_gates = tuple(each for each in instances if each.cell.gates_clock)
    gates = [each for each in instances if not each.cell.stores and not each.cell.gates_clock]
    inputs = {key: ports[key] for key, way in ways.items() if way == "input" and key != CLOCK}
    outputs = {key: ports[key] for key, way in ways.items() if way == "output"}
    _check_flops(name, flops, clock, clock_gates)
    known = {LOW, HIGH, *(net for port in inputs.values() for net in port)}
    known.update(net for each in flops for net in _driven(each))
    names = _net_names(module["netnames"], nets)
    return Netlist(
        name,
        _ordered(name, gates, known),
        flops,
        clock_gates,
        inputs,
        outputs,
        clock,
        nets.count,
        names,
    )


class _Nets:
    """Yosys' bits, numbered densely behind LOW and HIGH."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {"0": LOW, "x": LOW, "z": LOW, "1": HIGH}

    @property
    def count(self) -> int:
        return len(self._numbers) - 2

    def of(self, bits: Iterable[Any]) -> tuple[int, ...]:
        return tuple(self._numbers.setdefault(bit, len(self._numbers) - 2) for bit in bits)


def _instance(
    key: str, cell: Mapping[str, Any], library: Library, nets: _Nets, module: str
) -> Instance:
    if cell["type"] not in library.names():
        raise UserError(
            "the netlist holds an unknown cell type",
            key=module,
            value=cell["type"],
            allowed=f"a cell of {library.name}",
        )
    kind = library.cell(cell["type"])
    if kind.stores and kind.flop is None and not kind.gates_clock:
        raise UserError(
            "the netlist holds a cell with a state that is no plain flop",
            key=module,
            value=kind.name,
            allowed="leave it out with --dont-use",
        )
    pins = {pin: nets.of(bits)[0] for pin, bits in cell["connections"].items() if bits}
    return Instance(key, kind, pins)


def _driven(instance: Instance) -> list[int]:
    return [instance.nets[pin.name] for pin in instance.cell.outputs if pin.name in instance.nets]


def _check_flops(
    module: str, flops: Iterable[Instance], clock: int, clock_gates: Iterable[Instance]
) -> None:
    clocks = {clock, *(net for each in clock_gates for net in _driven(each))}
    for each in flops:
        flop = each.cell.flop
        assert flop is not None
        if flop.falling or each.nets[flop.clock] not in clocks or len(_driven(each)) != 1:
            raise UserError(
                f"needs rising-edge flops with one output on {CLOCK}",
                key=module,
                value=each.cell.name,
            )


def _ordered(module: str, gates: list[Instance], known: set[int]) -> tuple[Instance, ...]:
    """Return gates so that each stands behind those that drive it, by order of name otherwise."""
    readers: dict[int, list[int]] = defaultdict(list)
    missing = []
    for index, gate in enumerate(gates):
        wanted = {gate.nets[pin.name] for pin in gate.cell.inputs} - known
        missing.append(len(wanted))
        for net in wanted:
            readers[net].append(index)
    ready = [index for index, count in enumerate(missing) if count == 0]
    ordered = []
    for index in ready:  # grows while it is read
        ordered.append(gates[index])
        for net in _driven(gates[index]):
            for reader in readers.pop(net, ()):
                missing[reader] -= 1
                if missing[reader] == 0:
                    ready.append(reader)
    if len(ordered) < len(gates):
        raise UserError("the netlist has a loop of gates, or a net that nothing drives", key=module)
    return tuple(ordered)


def _net_names(listed: Mapping[str, Any], nets: _Nets) -> dict[int, str]:
    """Return the shortest name of each net that the source names."""
    names: dict[int, str] = {}
    for name, net in listed.items():
        if net.get("hide_name"):
            continue
        for index, number in enumerate(nets.of(net["bits"])):
            bit = f"{name}[{index}]" if len(net["bits"]) > 1 else name
            if number not in names or len(bit) < len(names[number]):
                names[number] = bit
    return names
