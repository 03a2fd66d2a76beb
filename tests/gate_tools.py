"""Timing analyser and simulator of others on this project's netlists: OpenSTA, Icarus Verilog."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from accelsim.rtl.characterise import Mapped
from accelsim.rtl.gate_circuit import Arrays
from accelsim.rtl.gate_kernels import settle_once
from accelsim.rtl.liberty import Cell, Library
from accelsim.rtl.netlist import Netlist
from accelsim.rtl.netlist_verilog import verilog
from accelsim.rtl.static_timing import driven_pin

_LEFT_OUT = "default_wire_load|(rise|fall)_capacitance_range"


def need(tool: str) -> None:
    """Skip unless a program is here."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed; Debian's packages opensta and iverilog have both")


def read_by_others(paths: list[Path], folder: Path) -> list[Path]:
    """Return copies of Liberty files, plain, as this project takes them.

    Without models of wires and ranges of capacitance. Where a pin states a capacitance for rise and
    one for fall, their mean stands in both places: OpenSTA takes the larger one.
    """
    copies = []
    for path in paths:
        raw = path.read_bytes()
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("latin-1")
        stated = list(re.finditer(r"\b(?:rise|fall)_capacitance\s*:\s*\"?([0-9.eE+-]+)", text))
        pieces, end = [], 0
        for one, other in zip(stated[::2], stated[1::2], strict=True):
            mean = (float(one[1]) + float(other[1])) / 2
            for each in (one, other):
                pieces += [text[end : each.start(1)], repr(mean)]
                end = each.end(1)
        lines = "".join([*pieces, text[end:]]).split("\n")
        copies.append(folder / path.name.removesuffix(".xz"))
        copies[-1].write_text(
            "\n".join(line for line in lines if not re.search(_LEFT_OUT, line)), encoding="latin-1"
        )
    return copies


def between_flops(netlist: Netlist, driver: Cell) -> str:
    """Return Verilog of ``top``: the netlist as ``dut``, a flop at each bit of its ports."""
    flop, q = driver.flop, driven_pin(driver).name
    assert flop is not None
    lines, pins = [verilog(netlist), "module top (clk, di, do);"], []
    widths = [sum(map(len, ports.values())) for ports in (netlist.inputs, netlist.outputs)]
    lines += [
        "  input clk;",
        f"  input [{widths[0] - 1}:0] di;",
        f"  output [{widths[1] - 1}:0] do;",
    ]
    for letter, ports in (("i", netlist.inputs), ("o", netlist.outputs)):
        lines += [f"  wire [{len(nets) - 1}:0] {name};" for name, nets in ports.items()]
        bits = [f"{name}[{bit}]" for name, nets in ports.items() for bit in range(len(nets))]
        for place, bit in enumerate(bits):
            data, out = (f"di[{place}]", bit) if letter == "i" else (bit, f"do[{place}]")
            lines.append(
                f"  {driver.name} {letter}{place} "
                f"(.{flop.clock}(clk), .{flop.data}({data}), .{q}({out}));"
            )
        pins += [f".{name}({name})" for name in ports]
    return "\n".join(
        [*lines, f"  {netlist.name} dut (.clk(clk), {', '.join(pins)});", "endmodule\n"]
    )


def opensta(
    mapped: Mapped, library: Library, driver: Cell, files: list[Path], folder: Path
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return OpenSTA's shortest period of a netlist between flops, ps, and each cell's leakage, W.

    Args:
        mapped: The netlist.
        library: Its library.
        driver: Flop at the ports.
        files: The library, as `read_by_others` copied it.
        folder: Where files may be written.
    """
    netlist, per_ps = mapped.netlist, 1 / _time_unit_ps(library)
    (folder / "top.v").write_text(between_flops(netlist, driver))
    lines = [
        *(f"read_liberty {file}" for file in files),
        f"read_verilog {folder / 'top.v'}",
        "link_design top",
        f"create_clock -name clk -period {mapped.timing.critical_ps * per_ps} clk",
        f"set_clock_transition {mapped.timing.clock_slew_ps * per_ps} clk",
        "report_checks -digits 6",
        "report_power -digits 9 -instances [get_cells dut/*]",
    ]
    (folder / "run.tcl").write_text("\n".join(lines) + "\n")
    command = ["sta", "-no_splash", "-exit", str(folder / "run.tcl")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Error" not in text, text[:2000]
    found = [
        next(line for line in text.split("\n") if what in line)
        for what in ("data arrival time", "library setup time")
    ]
    arrival, setup = (float(line.split()[0]) for line in found)
    rows = [line.split() for line in text.split("\n")]
    leaks = {row[4]: float(row[2]) for row in rows if row[4:] and row[4].startswith("dut/u")}
    ordered = [leaks[f"dut/u{index}"] for index in range(len(netlist.instances()))]
    return (arrival - setup) / per_ps, np.array(ordered)


def _time_unit_ps(library: Library) -> float:
    return {"1ns": 1e3, "1ps": 1.0}[library.texts[0].head.one("time_unit")]


def values_of(mapped: Mapped, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return every net at the end of each cycle, [cycles, nets], of a run without delays."""
    arrays = mapped.circuit.arrays
    nets = len(arrays.values)
    seen = np.zeros((len(bits), nets), np.uint8)
    settle_once(
        arrays, bits, np.arange(nets, dtype=np.int32), seen, np.zeros(len(bits)),
        np.zeros(len(mapped.circuit.units)), np.zeros(nets, np.int64),
    )  # fmt: skip
    return seen


def _gates(arrays: Arrays) -> list[str]:
    """Return inputs, flops and gates, each an assignment with a delay."""
    gates, flops = len(arrays.out_net), len(arrays.flop_data)
    lines = [f"  wire n{net};" for net in range(len(arrays.values))]
    lines += ["  assign n0 = 1'b0;", "  assign n1 = 1'b1;"]
    for index, net in enumerate(arrays.input_net):
        fall, rise = arrays.input_delay[index]
        lines.append(f"  assign #({rise},{fall}) n{net} = row[{index}];")
    for flop in range(flops):
        fall, rise = arrays.flop_delay[flop]
        lines.append(f"  assign #({rise},{fall}) n{arrays.flop_out[flop]} = q[{flop}];")
    for gate in range(gates):
        fall, rise = arrays.pin_delay[arrays.pin_start[gate]]
        begin, end = arrays.pin_start[gate : gate + 2]
        table = arrays.truth[arrays.truth_start[gate] :][: 1 << (end - begin)]
        state = ", ".join(f"n{net}" for net in arrays.pin_net[begin:end][::-1])
        lines += [
            f"  localparam [{len(table) - 1}:0] t{gate} = "
            f"{len(table)}'b{''.join(map(str, table[::-1]))};",
            f"  assign #({rise},{fall}) n{arrays.out_net[gate]} = t{gate}[{{{state}}}];",
        ]
    return lines


def _bench(arrays: Arrays, bits: npt.NDArray[np.uint8], period: int) -> list[str]:
    """Return a module that runs rows of inputs and prints how often each net changed."""
    nets, flops = range(2, len(arrays.values)), len(arrays.flop_data)
    lines = ["`timescale 1ps/1ps", "module bench;", "  reg counting; integer cycle;"]
    lines += [f"  reg [{bits.shape[1] - 1}:0] row, rows [0:{len(bits) - 1}];"]
    lines += [f"  reg [{max(flops, 1) - 1}:0] q;", *_gates(arrays)]
    lines += [f"  integer c{net} = 0;" for net in nets]
    lines += [f"  always @(n{net}) if (counting) c{net} = c{net} + 1;" for net in nets]
    inverted = [f"{'~' * int(arrays.flop_inverts[f])}n{arrays.flop_data[f]}" for f in range(flops)]
    latch = ", ".join(reversed(inverted)) or "1'b0"
    return [
        *lines,
        "  initial begin",
        '    $readmemb("rows.txt", rows); counting = 0;',
        "    row = rows[0]; q = 0;",
        f"    #{period} counting = 1;",
        f"    for (cycle = 1; cycle < {len(bits)}; cycle = cycle + 1) begin",
        f"      q = {{{latch}}}; row = rows[cycle];",
        f"      #{period};",
        "    end",
        *(f'    $display("%0d", c{net});' for net in nets),
        "    $finish;",
        "  end",
        "endmodule",
    ]


def icarus(
    mapped: Mapped, bits: npt.NDArray[np.uint8], period: int, folder: Path
) -> npt.NDArray[np.int64]:
    """Return how often each net changes in Icarus Verilog, [nets]; the first cycle is not counted.

    A gate is one assignment with the delays that the circuit has for its rise and fall: the rules
    of the language let no pulse pass that is shorter. Flops take their data at the edge.

    Args:
        mapped: Netlist and circuit, without clock gates; pins of a gate must have one delay.
        bits: uint8 [cycles, inputs], in the circuit's order.
        period: Ticks, longer than any path.
        folder: Where files may be written.
    """
    lines = _bench(mapped.circuit.arrays, bits, period)
    (folder / "bench.v").write_text("\n".join(lines) + "\n")
    rows = ["".join(map(str, row[::-1])) for row in bits]
    (folder / "rows.txt").write_text("\n".join(rows) + "\n")
    subprocess.run(["iverilog", "-o", "bench.vvp", "bench.v"], cwd=folder, check=True)
    ran = subprocess.run(
        ["vvp", "-n", "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True
    )
    counts = [int(line) for line in ran.stdout.split("\n") if line.strip().isdigit()]
    return np.array([0, 0, *counts])
