"""The array of a design, in SystemVerilog, against the engine's closed form and exact sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.engine.timing import ArrayTiming, check_dimension, cycles_of_gemms
from accelsim.errors import UserError
from accelsim.hardware.design import ARRAY, Designs, Organisation
from accelsim.rtl.array_sums import array_sums
from accelsim.rtl.array_words import words_needed
from accelsim.rtl.arrays import KINDS, Bench, Kind, RtlArray
from accelsim.rtl.circuit import Circuit
from accelsim.rtl.float_sums import FIELDS, float_bits

Progress = Callable[[str], None]
Shape = tuple[int, int, int]

LARGEST_ARRAY = 4096  # multipliers or adders; a build of more takes longer than anyone waits
LONGEST_FLOAT = 6  # stages of mac_float and sum_float with the register behind them
DEFAULT_CASES, MOST_CASES = 6, 10_000
PATIENCE = 1000  # cycles; past these and twice the engine's an array is taken to hang
# Seconds of a build, measured: a little for any, and so much per PE of a systolic array or lane.
_BUILD_SECONDS, _PE_SECONDS, _LANE_SECONDS, _FLOAT_FACTOR = 2.0, 0.04, 0.012, 4


@dataclass(frozen=True)
class Product:
    """A GEMM and where its operands are from: activations [m, k] times weights [k, n], int64.

    Integers are themselves, floats their bits.
    """

    name: str
    activations: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]

    @property
    def shape(self) -> Shape:
        """m, k, n."""
        return (*self.activations.shape, self.weights.shape[1])


def array_of_design(designs: Designs, file: object) -> RtlArray:
    """Return the array unit of one design.

    Raises:
        UserError: There is no SystemVerilog of its PE, or it is too large to build.
    """
    config: DesignConfig = designs.configs[0]
    unit = designs.units[0, ARRAY]
    kind = KINDS.get(config.array.pe)
    organisation = Organisation(int(unit["organisation"]))
    if kind is None or (organisation not in kind.organisations):
        raise UserError(
            f"no {organisation.name.lower()} array of this PE in SystemVerilog",
            file=file,
            key="array.pe",
            value=config.array.pe,
            allowed="allowed: "
            + ", ".join(name for name, row in KINDS.items() if organisation in row.organisations),
        )
    size = ("rows", "cols", "lanes", "latency", "interval")
    timing = ArrayTiming(
        organisation,
        **{name: int(unit[name]) for name in size},
        interleave=bool(unit["interleave"]),
        overlap=bool(unit["overlap"]),
    )
    if kind.floating and timing.latency > LONGEST_FLOAT:
        raise UserError(
            "no floating-point PE has so many pipeline stages in SystemVerilog",
            file=file,
            key="array.latency",
            value=timing.latency,
            allowed=f"1 to {LONGEST_FLOAT}",
        )
    if timing.rows * timing.cols * timing.lanes > LARGEST_ARRAY:
        raise UserError(
            "array is too large to build",
            file=file,
            key="array",
            value=f"{timing.rows} x {timing.cols} x {timing.lanes}",
            allowed=f"up to {LARGEST_ARRAY} PEs or lanes: --set array.rows=16, for instance",
        )
    # A sum that overflows is refused by the engine where a design says `error`; adders wrap.
    overflow = "saturate" if config.array.accumulator.overflow == "saturate" else "wrap"
    return RtlArray(timing, config.array.pe, config.array.accumulator.bits, overflow)


def build_seconds(array: RtlArray) -> int:
    """Return about how long the first build of an array takes on one core."""
    timing = array.timing
    places = timing.rows * timing.cols * timing.lanes
    each = _LANE_SECONDS if timing.organisation == Organisation.DOT else _PE_SECONDS
    slower = (_FLOAT_FACTOR if array.kind.floating else 1) * max(1, timing.latency / 2)
    return round(_BUILD_SECONDS + each * places * slower)


def shapes_of(
    timing: ArrayTiming, shape: Sequence[int], cases: int | None, rng: np.random.Generator
) -> list[Shape]:
    """Return the GEMMs to run: ``cases`` of one shape (by default one), or telling ones.

    Raises:
        UserError: Sizes or cases out of range.
    """
    if cases is not None and not 1 <= cases <= MOST_CASES:
        raise UserError("out of range", file="--cases", value=cases, allowed=f"1 to {MOST_CASES}")
    if not shape:
        return telling_shapes(timing, cases or DEFAULT_CASES, rng)
    if len(shape) != 3:
        raise UserError(
            "takes M, K and N",
            file="rtl simulate",
            value=" ".join(map(str, shape)),
            allowed="all or none",
        )
    for key, value in zip("mkn", shape, strict=True):
        check_dimension(key, value)
    m, k, n = shape
    return [(m, k, n)] * (cases or 1)


def telling_shapes(timing: ArrayTiming, count: int, rng: np.random.Generator) -> list[Shape]:
    """Return ``count`` GEMMs around the size of an array.

    One token, a whole tile, partial tiles in several folds each way; then random ones.
    """
    rows, cols, lanes = timing.rows, timing.cols, timing.lanes
    longest = max(3 * rows, 6 * lanes, 40)
    shapes = [
        (1, 40, 2 * cols + 1),
        (rows, longest, cols),
        (rows + 1, 2 * max(rows, lanes) + 1, cols + 1),
        (2 * max(rows, cols) + 1, 17, max(1, cols - 1)),
    ]
    while len(shapes) < count:
        upper = (2 * rows + 2, longest, 2 * cols + 2)
        m, k, n = (int(rng.integers(1, size + 1)) for size in upper)
        shapes.append((m, k, n))
    return shapes[:count]


def cut(
    kind: Kind,
    name: str,
    activations: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    shape: Shape,
    rng: np.random.Generator,
) -> Product:
    """Cut a GEMM out of activations [tokens, inputs] and weights [outputs, inputs], at random.

    What is smaller than the shape is repeated. Floats are rounded to the formats of ``kind``.
    """
    sizes = (*activations.shape, len(weights))
    tokens, inputs, outputs = (
        (int(rng.integers(max(1, size - wanted + 1))) + np.arange(wanted)) % size
        for size, wanted in zip(sizes, shape, strict=True)
    )
    return Product(
        name,
        _at_port(activations[np.ix_(tokens, inputs)], kind.activation),
        _at_port(weights[np.ix_(outputs, inputs)].T, kind.weight),
    )


def _at_port(values: npt.NDArray[Any], form: str) -> npt.NDArray[np.int64]:
    return float_bits(values, form) if form in FIELDS else values.astype(np.int64)


def build_for(
    array: RtlArray, shapes: Sequence[Shape], progress: Progress
) -> tuple[RtlArray, Circuit]:
    """Compile an array with SRAMs that hold the operands of all ``shapes``.

    Raises:
        UserError: There are no such SRAMs, or a tool is missing.
    """
    timing = array.timing
    array = array.deep_enough(max(words_needed(timing, shape) for shape in shapes))
    size = f"{timing.rows} x {timing.cols}" + (f" x {timing.lanes}" if timing.lanes > 1 else "")
    seconds = build_seconds(array)
    progress(f"compiling a {size} array, unless it was before: about {seconds} s")
    return array, array.build()


def compare(
    array: RtlArray, circuit: Circuit, products: Sequence[Product], seed: int, progress: Progress
) -> list[dict[str, Any]]:
    """Run GEMMs one after the other; return a row for each, plain JSON.

    Keys: operands, m, k, n, cycles_rtl, cycles_engine, cycles_difference, sums, sums_different.
    """
    rows: list[dict[str, Any]] = []
    with Bench(array, circuit, seed) as bench:
        for number, product in enumerate(products):
            shape = " x ".join(map(str, product.shape))
            progress(f"simulating {shape}, {number + 1} of {len(products)}")
            rows.append(_row(array, bench, product))
    return rows


def _row(array: RtlArray, bench: Bench, product: Product) -> dict[str, Any]:
    m, k, n = product.shape
    engine = int(cycles_of_gemms(array.timing, np.array([product.shape], np.int64))[0, -1])
    run = bench.gemm(product.activations, product.weights, patience=2 * engine + PATIENCE)
    exact = array_sums(array.timing, array.arithmetic, product.activations, product.weights)
    return {
        "operands": product.name,
        "m": m,
        "k": k,
        "n": n,
        "cycles_rtl": run.cycles,
        "cycles_engine": engine,
        "cycles_difference": run.cycles - engine,
        "sums": m * n,
        "sums_different": int((run.sums != exact).sum()),
    }
