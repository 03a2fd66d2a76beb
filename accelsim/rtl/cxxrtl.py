"""SystemVerilog to C++ by Yosys: needs no Verilator, and simulates several times slower."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelsim.errors import UserError
from accelsim.rtl.device import Generated
from accelsim.rtl.tools import Tool, first_error
from accelsim.rtl.words import Port

_PORT = re.compile(r"/\*(input|output)\*/ (?:value|wire)<(\d+)> p_(\w+)[;{ ]")
_STATE_HOLDER = re.compile(r"^\t(?:/\*\w+\*/ )?(?:wire<\d+>|memory<\d+>) (\w+)", re.MULTILINE)
_WRITTEN = re.compile(r"\b(\w+)\.(?:next\b|update\()")
_CLASS = re.compile(r"new cxxrtl_design::(\w+)")

_STATE = """
template <std::size_t N> void put(value<N>& port, const uint32_t* words) {{
  for (std::size_t i = 0; i < value<N>::chunks; ++i) port.data[i] = words[i];
}}
template <std::size_t N> void get(const value<N>& port, uint32_t* words) {{
  for (std::size_t i = 0; i < value<N>::chunks; ++i) words[i] = port.data[i];
}}
template <std::size_t N> void get(const wire<N>& port, uint32_t* words) {{
  get(port.curr, words);
}}

using Random = std::mt19937_64;
template <std::size_t N> void scatter(value<N>& v, Random& random) {{
  for (auto& chunk : v.data) chunk = static_cast<uint32_t>(random());
  if (N % 32) v.data[value<N>::chunks - 1] &= value<N>::chunk::mask >> (32 - N % 32);
}}
template <std::size_t N> void scatter(wire<N>& w, Random& random) {{
  scatter(w.curr, random);
  w.next = w.curr;
}}
template <std::size_t N> void scatter(memory<N>& m, Random& random) {{
  for (std::size_t i = 0; i < m.depth; ++i) scatter(m.data[i], random);
}}

struct State {{
  cxxrtl_design::{name} model;
  cxxrtl_design::{name}* top = &model;

  explicit State(uint64_t seed) {{
    Random random(seed);
{scatter}
  }}
  void eval() {{ model.step(); }}
}};
"""


def generate(
    tool: Tool, top: str, parameters: Mapping[str, int], files: Sequence[Path], folder: Path
) -> Generated:
    """Write the C++ of ``top`` into ``folder``; return what replays it.

    Raises:
        UserError: Yosys refuses the sources.
    """
    values = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    script = [f'read_verilog -sv "{file}"' for file in files]
    script += [f"hierarchy -check -top {top} {values}", f'write_cxxrtl "{folder / "top.cc"}"']
    done = tool.call(["\n".join(script)], folder=folder)
    if done.returncode or not (folder / "top.cc").exists():
        raise UserError(f"Yosys failed: {first_error(done.stdout)}", key=top)
    text = (folder / "top.cc").read_text(encoding="utf-8")
    found = _CLASS.search(text)
    assert found is not None, "write_cxxrtl ends its file with a factory"
    inputs: list[Port] = []
    outputs: list[Port] = []
    for way, bits, name in _PORT.findall(text):
        ports = inputs if way == "input" else outputs
        ports.append(Port(name.replace("__", "_"), int(bits), f"p_{name}"))
    state = _STATE.format(name=found[1], scatter=_scatter(text))
    return Generated(
        '#include <random>\n#include "top.cc"\nusing namespace cxxrtl;\n' + state,
        tuple(inputs),
        tuple(outputs),
    )


def _scatter(text: str) -> str:
    """Return C++ that fills at random whatever holds state; a memory never written is a table."""
    written = set(_WRITTEN.findall(text))
    holders = [name for name in _STATE_HOLDER.findall(text) if name in written]
    return "\n".join(f"    scatter(model.{name}, random);" for name in holders)
