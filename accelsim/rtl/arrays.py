"""Simulate the SystemVerilog of an array: operands in, sums and cycles out.

``sv/bench.sv`` is an array with its control and three SRAMs; here the SRAMs are filled, a GEMM is
started, and what the array writes is collected. No formula of ``engine.timing`` is used: cycles are
counted at the write port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import numpy.typing as npt

from accelsim.engine.timing import ArrayTiming
from accelsim.errors import UserError
from accelsim.formats import lookup_format
from accelsim.hardware.design import Organisation
from accelsim.rtl.array_sums import Arithmetic, IntegerArithmetic
from accelsim.rtl.array_words import Noise, edge_words, sums_of_words, words_needed
from accelsim.rtl.circuit import Circuit, Outputs, Places, build
from accelsim.rtl.circuit import Simulation as _Registers
from accelsim.rtl.float_sums import FIELDS, FusedDot, MultiplyAdd
from accelsim.rtl.sources import SV_FOLDER
from accelsim.rtl.words import lanes_of, signed


@dataclass(frozen=True)
class Kind:
    """A PE type that exists in SystemVerilog.

    Attributes:
        code: Value of KIND.
        activation: Format at its port.
        weight: Format at its port.
        organisations: Arrays it stands in.
    """

    code: int
    activation: str
    weight: str
    organisations: tuple[Organisation, ...]

    @property
    def floating(self) -> bool:
        """Whether operands are floats, and sums float32."""
        return self.activation in FIELDS


_EVERY = tuple(Organisation)
_SYSTOLIC = (Organisation.SYSTOLIC_OS, Organisation.SYSTOLIC_WS, Organisation.SYSTOLIC_IS)
KINDS = {
    "ternary_add": Kind(0, "int8", "ternary", _EVERY),
    "int8_mac": Kind(1, "int8", "int8", _EVERY),
    "int8_int4_mac": Kind(2, "int8", "int4", _EVERY),
    "fp16_fmac": Kind(3, "fp16", "fp16", _SYSTOLIC),
    "bf16_fmac": Kind(4, "bf16", "bf16", _SYSTOLIC),
    "fp32_fmac": Kind(5, "fp32", "fp32", _SYSTOLIC),
    "fp16_fused": Kind(6, "fp16", "fp16", (Organisation.DOT,)),
    "bf16_fused": Kind(7, "bf16", "bf16", (Organisation.DOT,)),
}
OVERFLOWS = {"wrap": 0, "saturate": 1}
DEPTHS = (1 << 12, 1 << 16, 1 << 20)  # of the SRAMs; another depth is another build
SHORTEST_CHUNK, LONGEST_CHUNK = 128, 4096  # cycles replayed at once


@dataclass(frozen=True)
class RtlArray:
    """What is built: one circuit serves every GEMM whose operands fit its SRAMs.

    Attributes:
        timing: Organisation, size and pipeline.
        pe: A key of ``KINDS``.
        accumulator_bits: Width of every sum.
        overflow: ``wrap`` or ``saturate``.
        depth: Words of each SRAM, one of ``DEPTHS``.
    """

    timing: ArrayTiming
    pe: str = "ternary_add"
    accumulator_bits: int = 32
    overflow: str = "wrap"
    depth: int = DEPTHS[0]

    @property
    def kind(self) -> Kind:
        """Its row of ``KINDS``."""
        return KINDS[self.pe]

    @property
    def arithmetic(self) -> Arithmetic:
        """What its PEs compute."""
        if not self.kind.floating:
            return IntegerArithmetic(self.accumulator_bits, self.overflow == "saturate")
        if Organisation.DOT in self.kind.organisations:
            return FusedDot(self.kind.activation, self.timing.lanes)
        return MultiplyAdd(self.kind.activation)

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Bits of an activation and of a weight at the PE."""
        return lookup_format(self.kind.activation).bits, lookup_format(self.kind.weight).bits

    @property
    def parameters(self) -> dict[str, int]:
        """Parameters of ``bench.sv``."""
        timing = self.timing
        activation_bits, weight_bits = self.operand_bits
        return {
            "ORGANISATION": int(timing.organisation),
            "KIND": self.kind.code,
            "A": activation_bits,
            "W": weight_bits,
            "ROWS": timing.rows,
            "COLS": timing.cols,
            "LANES": timing.lanes,
            "ACC": self.accumulator_bits,
            "OVERFLOW": OVERFLOWS[self.overflow],
            "LATENCY": timing.latency,
            "INTERVAL": timing.interval,
            "INTERLEAVE": int(timing.interleave),
            "OVERLAP": int(timing.overlap),
            "DEPTH": self.depth,
        }

    def build(self, *, sources: Places = SV_FOLDER, backend: str | None = None) -> Circuit:
        """Compile it, or load what was compiled; arguments and errors as of `circuit.build`."""
        return build("bench", self.parameters, sources=sources, backend=backend)

    def deep_enough(self, words: int) -> RtlArray:
        """Return the array with SRAMs of so many words; raise UserError where none is so deep."""
        for depth in DEPTHS:
            if words <= depth:
                return replace(self, depth=depth)
        raise UserError(
            "too large to simulate",
            key="M K N",
            value=f"{words} words of an SRAM",
            allowed=f"up to {DEPTHS[-1]}",
        )


@dataclass(frozen=True)
class RtlRun:
    """What one GEMM did.

    Attributes:
        sums: int64 [m, n]: numbers, or the bits of float32.
        cycles: From the first operand word shown to the last write, inclusive.
        west: Cycles in which an operand word was shown at the west edge, ascending.
        north: The same at the north edge.
        writes: Cycles in which a word was written.
        elements_written: Elements of these words that count.
        partial_reads: Words of partial sums read back.
    """

    sums: npt.NDArray[np.int64]
    cycles: int
    west: npt.NDArray[np.int64]
    north: npt.NDArray[np.int64]
    writes: npt.NDArray[np.int64]
    elements_written: int
    partial_reads: int


class Bench:
    """An array whose registers start at random, reset for one cycle before its first GEMM.

    Between the words of a GEMM, and in all elements that are not in use, its ports show noise.
    """

    def __init__(self, array: RtlArray, circuit: Circuit, seed: int = 0) -> None:
        self._array, self._circuit = array, circuit
        self._registers: _Registers = circuit.start(seed=seed)
        self._rng = np.random.default_rng(seed)
        self._fresh = True

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._registers.close()

    def gemm(
        self,
        activations: npt.NDArray[np.int64],
        weights: npt.NDArray[np.int64],
        patience: int,
    ) -> RtlRun:
        """Run activations [m, k] times weights [k, n]: integers, or the bits of floats.

        Raises:
            UserError: It takes more than about ``patience`` cycles.
        """
        (m, k), n = activations.shape, weights.shape[1]
        quiet = {"start": 0, "m": m, "k": k, "n": n}
        self._load(activations, weights, quiet)
        if self._fresh:
            self._run(1, quiet | {"rst": 1})
            self._fresh = False
        self._run(1, quiet | {"start": 1})
        chunks: list[Outputs] = []
        cycles, chunk = 0, SHORTEST_CHUNK
        while cycles < patience:
            chunks.append(self._run(chunk, quiet))
            if not chunks[-1]["busy"][-1]:
                return self._collect(chunks, m, n)
            cycles, chunk = cycles + chunk, min(2 * chunk, LONGEST_CHUNK)
        raise UserError("the array does not finish", key="rtl", value=f"{cycles} cycles")

    def _load(
        self,
        activations: npt.NDArray[np.int64],
        weights: npt.NDArray[np.int64],
        quiet: dict[str, int],
    ) -> None:
        masks = [(1 << bits) - 1 for bits in self._array.operand_bits]
        noise = (self._elements(masks[0]), self._elements(masks[1]))
        words = edge_words(self._array.timing, activations & masks[0], weights & masks[1], noise)
        count = max(map(len, words))
        shape = (*activations.shape, weights.shape[1])
        assert words_needed(self._array.timing, shape) <= self._array.depth, "see deep_enough"
        ports: dict[str, npt.NDArray[np.integer] | int] = {"load_address": np.arange(count)}
        for edge, given in zip(("west", "north"), words, strict=True):
            ports[f"{edge}_load"] = (np.arange(count) < len(given)).astype(np.uint8)
            rest = np.zeros((count - len(given), given.shape[1]), np.int64)
            ports[f"{edge}_new"] = np.concatenate([given, rest])
        self._run(count, quiet | ports)

    def _run(self, cycles: int, ports: Mapping[str, npt.NDArray[np.integer] | int]) -> Outputs:
        """Run ``cycles``; ports that are not named are 0, those that show noise are random."""
        stimulus: dict[str, npt.NDArray[np.integer] | int] = {}
        for port in self._circuit.inputs:
            if port.name.endswith("_idle"):
                stimulus[port.name] = self._noise(cycles, port.bits)
            else:
                stimulus[port.name] = ports.get(port.name, 0)
        return self._registers.run(stimulus)

    def _elements(self, largest: int) -> Noise:
        return lambda shape: self._rng.integers(0, largest, shape, endpoint=True)

    def _noise(self, cycles: int, bits: int) -> npt.NDArray[np.uint32]:
        noise = self._rng.integers(0, 1 << 32, (cycles, -(-bits // 32)), dtype=np.uint32)
        noise[:, -1] &= np.uint32((1 << ((bits - 1) % 32 + 1)) - 1)
        return noise

    def _collect(self, chunks: list[Outputs], m: int, n: int) -> RtlRun:
        """Row 0 of the first chunk shows the first address, row 1 is cycle 0."""
        *shown, write = (
            np.concatenate([chunk[name] for chunk in chunks]).astype(bool)
            for name in ("west_shown", "north_shown", "sum_shown", "write")
        )
        address, mask, words = (
            np.concatenate([chunk[name][chunk["write"] > 0] for chunk in chunks])
            for name in ("write_address", "write_mask", "write_word")
        )
        west, north, partial, writes = (np.flatnonzero(flags) - 1 for flags in (*shown, write))
        bits, cols = self._array.accumulator_bits, self._array.timing.cols
        elements = lanes_of(mask, 1, cols)
        values = sums_of_words(
            self._array.timing, m, n, address, lanes_of(words, bits, cols), elements
        )
        return RtlRun(
            values.astype(np.int64) if self._array.kind.floating else signed(values, bits),
            int(writes[-1]) + 1,
            west,
            north,
            writes,
            int(elements.sum()),
            len(partial),
        )
