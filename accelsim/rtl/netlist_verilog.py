"""A mapped netlist as structural Verilog, for timing analysers and simulators of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accelsim.rtl.netlist import CLOCK, HIGH, LOW, Netlist

_CONSTANTS = {LOW: "1'b0", HIGH: "1'b1"}


def verilog(netlist: Netlist) -> str:
    """Return a module of library cells with the ports of its source.

    Cells are ``u0``, ``u1``, in the order of ``Netlist.instances``; what a net was called in the
    source stands behind its declaration.
    """
    names, joined = _net_names(netlist)
    ports = [*netlist.inputs, *netlist.outputs]
    if netlist.clock >= 0:
        ports = [CLOCK, *ports]
    lines = [f"module {netlist.name} ({', '.join(ports)});"]
    lines += [f"  input {CLOCK};"] * (netlist.clock >= 0)
    for way, listed in (("input", netlist.inputs), ("output", netlist.outputs)):
        lines += [f"  {way} {_range(nets)}{name};" for name, nets in listed.items()]
    for net, name in names.items():
        if name == f"n{net}":
            called = netlist.net_names.get(net)
            lines.append(f"  wire {name};{f'  // {called}' if called else ''}")
    lines += [f"  assign {target} = {source};" for target, source in joined]
    for index, each in enumerate(netlist.instances()):
        pins = ", ".join(f".{pin}({names[net]})" for pin, net in each.nets.items())
        lines.append(f"  {each.cell.name} u{index} ({pins});")
    return "\n".join([*lines, "endmodule"]) + "\n"


def _range(nets: Sequence[int]) -> str:
    return f"[{len(nets) - 1}:0] " if len(nets) > 1 else ""


def _bits(ports: Mapping[str, Sequence[int]]) -> list[tuple[str, int]]:
    return [
        (f"{name}[{bit}]" if len(nets) > 1 else name, net)
        for name, nets in ports.items()
        for bit, net in enumerate(nets)
    ]


def _net_names(netlist: Netlist) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Return a name per net, and output bits that are another name of one: (bit, name)."""
    names = dict(_CONSTANTS)
    if netlist.clock >= 0:
        names[netlist.clock] = CLOCK
    names |= {net: bit for bit, net in _bits(netlist.inputs)}
    joined = []
    for bit, net in _bits(netlist.outputs):
        if net in names:
            joined.append((bit, names[net]))
        else:
            names[net] = bit
    used = {net for each in netlist.instances() for net in each.nets.values()}
    names |= {net: f"n{net}" for net in sorted(used) if net not in names}
    return names, joined
