"""Many instances of modules in one circuit that share their inputs: one build serves all cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accelsim.rtl.circuit import Circuit, build
from accelsim.rtl.sources import SV_FOLDER


@dataclass(frozen=True)
class Instance:
    """A module, its parameters, the input or expression at each of its pins, and its output."""

    module: str
    parameters: Mapping[str, int]
    wires: Mapping[str, str]
    output: str
    bits: int
    clocked: bool = field(default=True)


def build_many(
    folder: Path,
    inputs: Mapping[str, int],
    instances: Sequence[Instance],
    *,
    sources: Sequence[Path] = (SV_FOLDER,),
    backend: str | None = None,
) -> Circuit:
    """Build instances side by side; output ``y<i>`` is that of instance i.

    Args:
        folder: Where the text of the circuit goes.
        inputs: Bits of each input; ``clk`` is there anyway.
        instances: What stands in the circuit.
        sources: Where modules are found; a later place goes before an earlier one.
        backend: As for ``build``.
    """
    ports = [f"input logic [{bits - 1}:0] {name}" for name, bits in inputs.items()]
    lines = []
    for i, instance in enumerate(instances):
        ports.append(f"output logic [{instance.bits - 1}:0] y{i}")
        values = ", ".join(f".{name}({value})" for name, value in instance.parameters.items())
        wires = [f".{pin}({wire})" for pin, wire in instance.wires.items()]
        clock = [".clk"] if instance.clocked else []
        pins = ", ".join([*clock, *wires, f".{instance.output}(y{i})"])
        lines.append(f"  {instance.module} #({values}) unit{i} ({pins});")
    top = f"many_{instances[0].module}"
    head = f"module {top} (input logic clk, {', '.join(ports)});"
    path = folder / f"{top}.sv"
    path.write_text("\n".join([head, *lines, "endmodule", ""]), encoding="utf-8")
    return build(top, sources=[*sources, path], backend=backend)
