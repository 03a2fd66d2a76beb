"""SystemVerilog to a netlist of a library's cells, by Yosys and abc.

Yosys runs as a process of its own: an error in it ends the process. It reads copies of the
library that hold no power tables and no cells left out of mapping, a third of the size. The sources
are copied beside them: their paths become part of names, names decide an order, and the order
decides which of two equal netlists is found.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelsim.errors import UserError
from accelsim.rtl.liberty import Library, is_excluded
from accelsim.rtl.liberty_text import LibertyText
from accelsim.rtl.tools import INSTALL_EXTRA, Tool, yosys

_POWER = re.compile(r"internal_power\s*\([^)]*\)\s*\{(?:[^{}]|\{[^{}]*\})*\}")
_NETLIST = "netlist.json"
_STATEFUL = re.compile(r"\b(?:ff|latch|statetable)\s*\(")
# Yosys maps additions to a parallel prefix network; for short words, or slow clocks, a carry that
# ripples is smaller.
RIPPLE = r"""
(* techmap_celltype = "$lcu" *)
module _80_ripple_carry (P, G, CI, CO);
  parameter WIDTH = 2;
  (* force_downto *) input [WIDTH-1:0] P, G;
  input CI;
  (* force_downto *) output [WIDTH-1:0] CO;
  genvar i;
  generate
    for (i = 0; i < WIDTH; i = i + 1) begin : bit_of
      assign CO[i] = G[i] | (P[i] & (i == 0 ? CI : CO[i == 0 ? 0 : i-1]));
    end
  endgenerate
endmodule
"""

# Yosys' own choice is a tree of Brent and Kung; the others replace it.
CARRIES = {"tree": "", "ripple": "ripple.v", "sklansky": "+/choices/sklansky.v"}
# abc's own choice maps for area; this one for delay.
FAST = "+strash;dch;map,-B,0.9,{D};topo;buffer,-c;upsize,{D};dnsize,{D};stime,-p"


@dataclass(frozen=True)
class Setting:
    """How a module is mapped.

    Attributes:
        target_ps: The delay that abc sizes gates for.
        booth: Multipliers recode one operand.
        carry: How carries run, one of ``CARRIES``.
        fast: abc maps for delay; else for area, and sizes gates after.
        kept_carries: Carry networks go to abc as they were chosen. Else Yosys first simplifies all
            logic for area, which turns fast ones into chains.
        gated: Registers with an enable share a clock-gating cell.
        flat: One module before optimisation; else modules keep to themselves.
    """

    target_ps: int
    booth: bool = False
    carry: str = "tree"
    fast: bool = False
    kept_carries: bool = False
    gated: bool = False
    flat: bool = True

    def text(self) -> str:
        """Return it in words, for tables."""
        words = [f"{'delay' if self.fast else 'area'} first, {self.target_ps} ps"]
        carry = f"{self.carry} carry{', kept' * self.kept_carries}"
        words += ["Booth" if self.booth else "no Booth", carry]
        return ", ".join([*words, *["gated"] * self.gated, *["hierarchy kept"] * (not self.flat)])


class Mapper:
    """A library as Yosys reads it, in a folder that lives as long as the mapper.

    Args:
        library: The library.
        excluded: Patterns of cells left out of mapping.
        driver: Flop that stands in front of every input and behind every output.
    """

    def __init__(self, library: Library, excluded: Sequence[str]) -> None:
        self.library = library
        self.excluded = tuple(excluded)
        self.driver = library.plain_flop(excluded)
        self._folder = tempfile.TemporaryDirectory(prefix="accelsim-synthesis-")
        # Yosys leaves behind what it gave to abc where that fails or is stopped.
        self._tool = replace(_found_yosys(), environment={"TMPDIR": self._folder.name})
        logic, flops = ([self._copy(text, way) for text in library.texts] for way in (False, True))
        self._logic, self._flops = (" ".join(filter(None, names)) for names in (logic, flops))
        constraints = [
            f"set_driving_cell {self.driver.name}",
            f"set_load {self._load()}",
        ]
        self._file("constraints", "\n".join(constraints) + "\n")
        self._file("ripple.v", RIPPLE)

    @property
    def version(self) -> str:
        """Which Yosys maps."""
        return f"Yosys {self._tool.version}"

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def synthesise(
        self, top: str, files: Sequence[Path], parameters: Mapping[str, int], setting: Setting
    ) -> dict[str, Any]:
        """Return the netlist of ``top`` as Yosys writes it in JSON.

        Raises:
            UserError: Yosys cannot read the sources or map them.
        """
        folder = Path(self._folder.name)
        for file in files:
            shutil.copyfile(file, folder / file.name)
        script = self._script(top, [file.name for file in files], parameters, setting)
        self._tool.run(["\n".join(script)], folder=folder)
        content: dict[str, Any] = json.loads((folder / _NETLIST).read_text(encoding="utf-8"))
        module: dict[str, Any] = content["modules"][top]
        return module

    def _script(
        self, top: str, files: Sequence[str], parameters: Mapping[str, int], setting: Setting
    ) -> list[str]:
        values = [f"-chparam {name} {value}" for name, value in parameters.items()]
        synth = ["synth", "-flatten"] if setting.flat else ["synth"]
        synth += ["-booth"] * setting.booth + ["-noabc"] * setting.kept_carries
        carry = CARRIES[setting.carry]
        synth += [f"-extra-map {carry}"] * bool(carry)
        mapping = f"-D {setting.target_ps} -constr constraints {self._logic}"
        gates = [f"clockgate {self._flops} -min_net_size 4"] if setting.gated else []
        return [
            *(f"read_verilog -sv {path}" for path in files),
            f"hierarchy -check -top {top} {' '.join(values)}",
            f"rename -top {top}",
            " ".join([*synth, "-top", top]),
            *gates,
            "rename -wire t:$_*DFF*",
            f"dfflibmap {self._flops}",
            "opt",
            f"abc {mapping}{f' -script {FAST}' * setting.fast}",
            "flatten",
            "opt_clean -purge",
            "setundef -zero",
            f"write_json {_NETLIST}",
        ]

    def _copy(self, text: LibertyText, stateful: bool) -> str:
        """Write the cells with or without a state of one file; return how Yosys is told of it."""
        kept = [
            _POWER.sub("", cell)
            for name, cell in text.cells.items()
            if bool(_STATEFUL.search(cell)) == stateful and not is_excluded(name, self.excluded)
        ]
        if not kept:
            return ""
        name = f"{text.name}-{'flops' if stateful else 'logic'}.lib"
        # Files of one library may share its name.
        place = self.library.texts.index(text)
        if any(other.name == text.name for other in self.library.texts[:place]):
            name = f"{place}-{name}"
        head = text.head_text.rstrip().removesuffix("}")
        self._file(name, "\n".join([head, *kept, "}\n"]))
        return f"-liberty {name}"

    def _file(self, name: str, content: str) -> None:
        (Path(self._folder.name) / name).write_text(content, encoding="latin-1")

    def _load(self) -> str:
        """Return the load of an output in the unit that abc takes loads in, fF."""
        flop = self.driver.flop
        return f"{self.driver.pins[flop.data].capacitance_ff:g}" if flop else "0"


def _found_yosys() -> Tool:
    tool = yosys()
    if tool is None:
        raise UserError("Yosys is not installed", allowed=INSTALL_EXTRA)
    return tool
