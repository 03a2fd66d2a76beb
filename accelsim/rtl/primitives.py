"""Adders, multipliers, conversions, decoders and registers by themselves: what prices are made of.

Operands are drawn: integers evenly over all values, floats from a normal distribution, packed
weights evenly over all ternary words. Registers of pipelined units count; those in front of inputs
and behind outputs belong to whoever holds the operands.

Adders that share an accumulator, and tables of sums that many indices read, hold their operands
themselves: all their registers count. They take a step in every cycle, with int8 activations from a
normal distribution and ternary weights of which ZEROS are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.rtl.characterise import Mapped, Progress, check, smallest
from accelsim.rtl.gate_energy import simulate
from accelsim.rtl.pe_subjects import patterns
from accelsim.rtl.synthesis import Mapper

Integers = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], dict[str, Integers]]

CYCLES = 600
ZEROS = 0.42  # of ternary weights
SPREAD = 32  # of int8 activations, a quarter of the largest code
STEPS = 64  # of one sum
GROUP = 3  # activations of a table, weights of an index
_SETTLED = 12


@dataclass(frozen=True)
class Primitive:
    """A unit that does one thing a cycle.

    Attributes:
        price: Stem of its prices.
        bits: Width, where the prices are listed by width.
        top: SystemVerilog module.
        parameters: Its parameters without those of the pipeline.
        draw: Values of its inputs.
        stages: Parameters that say how many register ranks its parts have, the same in each.
        deepest: Cycles of a part past which it has no more ranks.
        ranks: Register ranks between input and output that are always there.
        results: Results of a cycle; of what multiplies and adds, products.
        multiplies: Booth recoding is worth a try.
    """

    price: str
    bits: int
    top: str
    parameters: Mapping[str, int]
    draw: Draw
    stages: tuple[str, ...] = ()
    deepest: int = 1
    ranks: int = 0
    results: int = 1
    multiplies: bool = False

    @property
    def name(self) -> str:
        """What it is called: its price, with its width where that is listed by width."""
        return f"{self.price}.{self.bits}" if self.bits else self.price

    def at(self, depth: int) -> dict[str, int]:
        """Return the parameters where each part takes ``depth`` cycles, one more than its ranks."""
        return dict(self.parameters) | dict.fromkeys(self.stages, depth - 1)

    def latency(self, depth: int) -> int:
        """Return the cycles from operands to a result that a register behind the unit holds."""
        return 1 + self.ranks + len(self.stages) * (depth - 1)


@dataclass(frozen=True)
class MeasuredPrimitive:
    """A primitive at a clock: energies of one result, pJ."""

    primitive: Primitive
    latency: int
    best: Mapped
    tried: tuple[Mapped, ...]
    func_pj: float
    timed_pj: float
    compared: int


@dataclass(frozen=True)
class MeasuredRegister:
    """One bit of a plain register: pJ of a clock cycle, its clock pin alone, of a change; um2."""

    clock_pj: float
    sink_pj: float
    toggle_pj: float
    area_um2: float


def primitives() -> tuple[Primitive, ...]:
    """Return what is characterised."""
    rows = [
        Primitive("int_add", bits, "int_add", {"BITS": bits}, _uniform({"a": bits, "b": bits}))
        for bits in (8, 12, 16, 20, 24, 32, 40)
    ]
    rows.append(
        Primitive("int_compare", 32, "int_compare", {"BITS": 32}, _uniform({"a": 32, "b": 32}))
    )
    rows.append(
        Primitive("int_mul.8", 0, "int_mul", {"A": 8, "B": 8}, _uniform({"a": 8, "b": 8}),
                  multiplies=True)
    )  # fmt: skip
    for name, exponent, significand in (("fp16", 5, 10), ("bf16", 8, 7), ("fp32", 8, 23)):
        widths = {"EXP": exponent, "MAN": significand}
        draw = _floats(name, ("a", "b"))
        rows.append(Primitive(f"{name}_add", 0, "fp_add", widths, draw, ("STAGES",), 4))
        rows.append(
            Primitive(f"{name}_mul", 0, "fp_mul", widths, draw, ("STAGES",), 4, multiplies=True)
        )
    rows += [
        Primitive("quantise", 0, "quantise", {"EXP": 8, "MAN": 23}, _quantised, ("STAGES",), 4),
        Primitive("dequantise", 0, "dequantise",
                  {"ACC": 32, "DIVIDE": 0, "RANKED": 1, "CONVERT_STAGES": 2}, _sums,
                  ("SCALE_STAGES", "WEIGHT_STAGES"), 5, ranks=4),
        Primitive("cast.int8_to_float", 0, "int_to_float", {"BITS": 8, "EXP": 5, "MAN": 10},
                  _uniform({"integer_in": 8})),
        Primitive("decoder.ternary2", 0, "decoder_ternary2", {"WEIGHTS": 4}, _ternary2, results=4),
        Primitive("decoder.base3", 0, "decoder_base3", {"BYTES": 1}, _below("stored", 243),
                  results=5),
        Primitive("decoder.tl1", 0, "decoder_tl1", {"PAIRS": 1}, _below("stored", 9), results=2),
        Primitive("decoder.tl2", 0, "decoder_tl2", {"TRIPLES": 1}, _triples, results=3),
        Primitive("absmax", 8, "absmax", {"LANES": 8, "EXP": 8, "MAN": 23}, _row, ("STAGES",), 4,
                  results=8),
    ]  # fmt: skip
    return (*rows, *_shared_units())


def _shared_units() -> list[Primitive]:
    """Return ternary adders on one accumulator, and tables of three activations, by their number.

    The register behind their output is the accumulator itself.
    """
    adders = [
        Primitive(f"shared_ternary.{lanes}", 0, "shared_ternary", {"LANES": lanes, "ACC": 24},
                  _shared(lanes), ranks=1, results=lanes)
        for lanes in (1, 2, 4, 8, 16)
    ]  # fmt: skip
    tables = [
        Primitive(f"lut_group.{readers}", 0, "lut_group", {"READERS": readers, "ACC": 24},
                  _looked_up(readers), ranks=1, results=GROUP * readers)
        for readers in (1, 4, 16)
    ]  # fmt: skip
    return adders + tables


def measure_primitive(
    mapper: Mapper, primitive: Primitive, period_ps: float, seed: int, progress: Progress
) -> MeasuredPrimitive:
    """Synthesise a primitive, check it against its source, and measure it.

    Raises:
        UserError: The netlist differs from its source, or Yosys fails.
    """
    depth, best, tried = smallest(
        mapper, primitive.top, primitive.at, period_ps, multiplies=primitive.multiplies,
        latencies=range(1, primitive.deepest + 1), progress=progress,
    )  # fmt: skip
    progress(f"checking and measuring {primitive.price}")
    stimulus = primitive.draw(np.random.default_rng(seed), CYCLES)
    compared = check(best, stimulus, _SETTLED, progress)
    func, timed = (
        float(simulate(best.circuit, stimulus, timed=way).cycle_pj[_SETTLED:].mean())
        for way in (False, True)
    )
    each = primitive.results
    return MeasuredPrimitive(
        primitive, primitive.latency(depth), best, tuple(tried), func / each, timed / each, compared
    )


def measure_register(mapper: Mapper, period_ps: float, progress: Progress) -> MeasuredRegister:
    """Measure a register of 32 bits whose output drives the next one."""
    bits = 32
    _, best, _ = smallest(
        mapper, "delay", lambda _: {"WIDTH": bits, "DEPTH": 1}, period_ps, latencies=(1,),
        progress=progress,
    )  # fmt: skip
    still = {"d": np.zeros(CYCLES, np.int64)}
    moving = _uniform({"d": bits})(np.random.default_rng(0), CYCLES)
    idle, busy = (
        float(simulate(best.circuit, each, timed=False).cycle_pj[_SETTLED:].mean())
        for each in (still, moving)
    )
    changes = np.bitwise_count(moving["d"][1:] ^ moving["d"][:-1]).mean()
    flop = mapper.driver.flop
    assert flop is not None
    # Both edges: C V^2; fF and V give fJ.
    sink = mapper.driver.pins[flop.clock].capacitance_ff * mapper.library.voltage_v**2 * 1e-3
    return MeasuredRegister(idle / bits, sink, (busy - idle) / float(changes), best.area_um2 / bits)


def _uniform(widths: Mapping[str, int]) -> Draw:
    def draw(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
        return {name: rng.integers(0, 1 << bits, cycles) for name, bits in widths.items()}

    return draw


def _below(name: str, limit: int) -> Draw:
    return lambda rng, cycles: {name: rng.integers(0, limit, cycles)}


def _floats(operand: str, names: tuple[str, ...]) -> Draw:
    def draw(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
        return {name: patterns(rng.normal(size=cycles), operand) for name in names}

    return draw


def _constant(number: float, cycles: int) -> Integers:
    return patterns(np.full(cycles, number), "fp32")


def _quantised(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
    """Activations of a row whose largest is four times their spread."""
    return {
        "x": patterns(rng.normal(size=cycles), "fp32"),
        "scale": _constant(127 / 4, cycles),
    }


def _sums(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
    """Accumulators of some thousand, and the reciprocal of a scale."""
    sums = np.rint(rng.normal(0, 1500, cycles)).astype(np.int64) & 0xFFFFFFFF
    return {
        "acc": sums,
        "scale": _constant(4 / 127, cycles),
        "weight_scale": _constant(0.0173, cycles),
    }


def _ternary2(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
    fields = rng.integers(0, 3, (cycles, 4))
    return {"stored": (fields << np.arange(0, 8, 2)).sum(axis=1)}


def _triples(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
    return {"stored": rng.integers(0, 14, cycles), "signs": rng.integers(0, 2, cycles)}


def _row(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
    numbers = patterns(rng.normal(size=cycles * 8), "fp32").reshape(cycles, 8)
    at = np.arange(cycles)
    return {
        "rst": (at < 2).astype(np.int64),
        "valid": np.ones(cycles, np.int64),
        "clear": (at % 64 == 3).astype(np.int64),
        "numbers": numbers,
    }


def _shared(lanes: int) -> Draw:
    def draw(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
        return {
            **_steps(cycles),
            "a": _activations(rng, cycles, lanes) & 255,
            "w": patterns(_weights(rng, cycles, lanes), "ternary"),
            "valid": np.ones((cycles, lanes), np.int64),
        }

    return draw


def _looked_up(readers: int) -> Draw:
    """Draw a table of new activations in every cycle, and the indices that read it."""

    def draw(rng: np.random.Generator, cycles: int) -> dict[str, Integers]:
        number = _weights(rng, cycles, readers, GROUP) @ 3 ** np.arange(GROUP)
        return {
            **_steps(cycles),
            "fill": np.ones(cycles, np.int64),
            "a": _activations(rng, cycles, GROUP) & 255,
            "index": np.where(number < 0, 16, 0) + abs(number),
        }

    return draw


def _steps(cycles: int) -> dict[str, Integers]:
    """Return a step in every cycle behind the reset, sums of STEPS."""
    at = np.arange(cycles)
    first = at % STEPS == 3
    return {
        "rst": (at < 2).astype(np.int64),
        "step": np.ones(cycles, np.int64),
        "first": first.astype(np.int64),
    }


def _activations(rng: np.random.Generator, *shape: int) -> Integers:
    return np.clip(np.rint(rng.normal(0, SPREAD, shape)), -127, 127).astype(np.int64)


def _weights(rng: np.random.Generator, *shape: int) -> Integers:
    half = (1 - ZEROS) / 2
    return rng.choice(np.array([-1, 0, 1]), shape, p=[half, ZEROS, half])
