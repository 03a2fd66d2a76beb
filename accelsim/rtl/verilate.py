"""SystemVerilog to C++ by Verilator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelsim.rtl.device import Generated
from accelsim.rtl.tools import Tool
from accelsim.rtl.words import Port

# Registers and undriven values start at random, so that a missing reset shows. Warnings are the
# business of lint. Compilers take much longer for one long function than for several.
_RANDOM = ("--x-initial", "unique", "--x-assign", "unique")
OPTIONS = (*_RANDOM, "-Wno-fatal", "--output-split-cfuncs", "200")
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")

_PORT = re.compile(r"VL_(IN|OUT)(?:8|16|64|W|)\(&(\w+),(\d+),(\d+)(?:,\d+)?\);")

_STATE = """
struct State {
  VerilatedContext context;
  Vtop* top = nullptr;

  explicit State(uint64_t seed) {
    context.randSeed(static_cast<int>(1 + seed % 0x7ffffffe));  // 0 would take the time of day
    context.randReset(2);
    Verilated::threadContextp(&context);
    top = new Vtop{&context};
  }
  ~State() { delete top; }
  void eval() { top->eval(); }
};

template <class Value> void put(Value& port, const uint32_t* words) {
  if (sizeof port < sizeof *words) port = static_cast<Value>(*words);
  else std::memcpy(&port, words, sizeof port);
}
template <class Value> void get(const Value& port, uint32_t* words) {
  if (sizeof port < sizeof *words) *words = static_cast<uint32_t>(port);
  else std::memcpy(words, &port, sizeof port);
}
// A wide value is not convertible, and always as large as its words.
template <std::size_t N> void put(VlWide<N>& port, const uint32_t* words) {
  std::memcpy(&port, words, sizeof port);
}
template <std::size_t N> void get(const VlWide<N>& port, uint32_t* words) {
  std::memcpy(words, &port, sizeof port);
}
"""


def generate(
    tool: Tool, top: str, parameters: Mapping[str, int], files: Sequence[Path], folder: Path
) -> Generated:
    """Write the C++ of ``top`` into ``folder``; return what replays it."""
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    names = ["--top-module", top, "--prefix", "Vtop", "-Mdir", "."]
    tool.run(["--cc", *OPTIONS, *names, *values, *files], folder=folder)
    # One file, so that the large headers are read once.
    includes = [f'#include "{path.name}"\n' for path in sorted(folder.glob("*.cpp"))]
    inputs: list[Port] = []
    outputs: list[Port] = []
    for way, name, high, low in _PORT.findall((folder / "Vtop.h").read_text(encoding="utf-8")):
        ports = inputs if way == "IN" else outputs
        ports.append(Port(name.replace("__05F", "_"), int(high) - int(low) + 1, name))
    return Generated("".join(includes) + _STATE, tuple(inputs), tuple(outputs))


def lint(tool: Tool, top: str, parameters: Mapping[str, int], files: Sequence[Path]) -> str:
    """Return what ``verilator --lint-only -Wall`` says; an empty string if all is well."""
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    printed = tool.call(["--lint-only", "-Wall", "--top-module", top, *values, *files]).stdout
    return "\n".join(line for line in printed.splitlines() if not line.startswith("- "))
