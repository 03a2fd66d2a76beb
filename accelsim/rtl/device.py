"""The C++ that both backends share: it moves rows of words into ports and out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelsim.rtl.words import Port

CLOCK = "clk"


@dataclass(frozen=True)
class Generated:
    """A circuit in C++.

    ``code`` defines ``State`` (made from a seed, with ``top`` and ``eval()``), and ``put`` and
    ``get`` for ports of ``top``.
    """

    code: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


# In each cycle the clock falls and the inputs change, the logic settles, the outputs are read, and
# the clock rises.
_DRIVER = """#include <cstddef>
#include <cstdint>
#include <cstring>
{code}
#define VISIBLE extern "C" __attribute__((visibility("default")))

VISIBLE void* circuit_start(uint64_t seed) {{ return new State(seed); }}

VISIBLE void circuit_stop(void* handle) {{ delete static_cast<State*>(handle); }}

VISIBLE void circuit_run(void* handle, uint64_t cycles, const uint32_t* in, uint32_t* out) {{
  State& state = *static_cast<State*>(handle);
  auto& top = *state.top;
  for (uint64_t cycle = 0; cycle < cycles; ++cycle) {{
{fall}{put}
    state.eval();
{get}
{rise}    in += {in_words};
    out += {out_words};
  }}
}}
"""


def driver(generated: Generated) -> str:
    """Return C++ with three functions, ``circuit_start``, ``circuit_run`` and ``circuit_stop``."""
    clock = [port for port in generated.inputs if port.name == CLOCK]
    inputs = stimulated(generated.inputs)
    put = [f"    put(top.{port.member}, in + {at});" for port, at in _places(inputs)]
    get = [f"    get(top.{port.member}, out + {at});" for port, at in _places(generated.outputs)]
    return _DRIVER.format(
        code=generated.code,
        fall="".join(_level(port, 0) for port in clock),
        put="\n".join(put),
        get="\n".join(get),
        rise="".join(_level(port, 1) + "    state.eval();\n" for port in clock),
        in_words=sum(port.words for port in inputs),
        out_words=sum(port.words for port in generated.outputs),
    )


def stimulated(inputs: Sequence[Port]) -> tuple[Port, ...]:
    """Return the inputs that a stimulus holds: all but the clock."""
    return tuple(port for port in inputs if port.name != CLOCK)


def _level(clock: Port, level: int) -> str:
    return f"    {{ const uint32_t level = {level}; put(top.{clock.member}, &level); }}\n"


def _places(ports: Sequence[Port]) -> Iterator[tuple[Port, int]]:
    at = 0
    for port in ports:
        yield port, at
        at += port.words
