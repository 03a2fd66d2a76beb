"""Cycles and SRAM accesses of one GEMM on one array, in closed form.

``docs/timing.md`` describes the hardware (registers, skew, load, drain, what overlaps) and derives
every formula; the scope is *array cycles with operands ready in SRAM*. The functions here are
scalar kernels over int64, to be called from other kernels; ``cycles_of_gemms`` and
``accesses_of_gemms`` check their arguments and serve arrays of GEMMs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.hardware.design import Organisation
from accelsim.kernels import inlined_kernel, kernel

LARGEST_DIMENSION = 1 << 20
LARGEST_COUNT = 1 << 62

CYCLE_COLUMNS = ("folds", "steady", "fill_drain", "dependency", "total")
ACCESS_COLUMNS = ("activation_reads", "weight_reads", "output_writes", "partial_reads")


@kernel
def _ceil_div(dividend: int, divisor: int) -> int:
    return (dividend + divisor - 1) // divisor


@kernel
def tree_levels(lanes: int) -> int:
    """Return the register levels of an adder tree over ``lanes`` products: ceil(log2 lanes)."""
    levels = 0
    while (1 << levels) < lanes:
        levels += 1
    return levels


@kernel
def accumulators(latency: int, interval: int, interleave: bool) -> int:
    """Return how many partial sums a PE that feeds back into its adder has room for.

    Args:
        latency: Cycles from operands to visible sum, >= 1.
        interval: Least cycles between two operations of one adder, >= 1.
        interleave: Whether the PE keeps several partial sums.
    """
    return _ceil_div(latency, interval) if interleave else 1


@inlined_kernel
def feedback(steps: int, latency: int, interval: int, places: int) -> tuple[int, int]:
    """Return (busy, sums): cycles in which a tile occupies its adder, and partial sums in turns.

    Plain, each step waits for the sum before it. Interleaved, up to ``places`` (``accumulators``)
    partial sums take turns and are then added up one after the other, ``latency`` cycles each; the
    control interleaves only where that ends sooner. The tile's sum is visible
    ``latency - interval`` cycles after the busy cycles end.
    """
    plain = (steps - 1) * max(latency, interval) + interval
    sums = min(places, steps)
    interleaved = steps * interval + (sums - 1) * latency
    return (interleaved, sums) if sums > 1 and interleaved < plain else (plain, 1)


@inlined_kernel
def grows_evenly(steps: int, latency: int, interval: int, places: int, rows: int) -> bool:
    """Whether every step beyond ``steps`` adds equally many cycles to a fold of os or dot.

    So it is once all ``places`` take turns, or never will, and the fold is longer than the array.
    """
    busy, sums = feedback(steps, latency, interval, places)
    settled = sums == places or latency <= interval
    return steps >= places and settled and busy >= rows


@kernel
def partial_sums(steps: int, latency: int, interval: int, interleave: bool) -> int:
    """Return how many partial sums take turns in a tile of ``steps``; arguments as above."""
    return feedback(steps, latency, interval, accumulators(latency, interval, interleave))[1]


@kernel
def _folds_and_steps(
    organisation: int, rows: int, cols: int, lanes: int, m: int, k: int, n: int
) -> tuple[int, int]:
    """Return the folds of a GEMM and the steps that each of them streams."""
    if organisation == Organisation.SYSTOLIC_WS:
        return _ceil_div(k, rows) * _ceil_div(n, cols), m
    if organisation == Organisation.SYSTOLIC_IS:
        return _ceil_div(k, rows) * _ceil_div(m, cols), n
    folds = _ceil_div(m, rows) * _ceil_div(n, cols)
    if organisation == Organisation.DOT:
        return folds, _ceil_div(k, lanes)
    return folds, k


@kernel
def gemm_cycles(
    organisation: int,
    rows: int,
    cols: int,
    lanes: int,
    latency: int,
    interval: int,
    interleave: bool,
    overlap: bool,
    m: int,
    k: int,
    n: int,
) -> tuple[int, int, int, int, int]:
    """Return the cycles of a GEMM from its first operand read to its last output write, inclusive.

    Formulas: docs/timing.md. Arguments are int64 >= 1, unchecked here, m, k, n <= 2**20.

    Args:
        organisation: An ``Organisation`` code.
        rows: Rows of PEs (or dot-product units).
        cols: Columns of PEs (or dot-product units).
        lanes: Multiplier lanes of a dot-product unit; systolic organisations ignore it.
        latency: Cycles of the accumulate path L: operands to visible sum.
        interval: Initiation interval II of the accumulate path.
        interleave: Several partial sums per PE instead of a feedback stall (os, dot).
        overlap: Double buffering between consecutive folds.
        m: Tokens.
        k: Reduction length.
        n: Outputs.

    Returns:
        ``(folds, steady, fill_drain, dependency, total)``: ``steady`` = folds x steps streamed per
        fold, ``dependency`` = what latency, interval and the final reduction of interleaved partial
        sums add by holding steps back, ``fill_drain`` = exposed load, skew and drain;
        total = steady + fill_drain + dependency.
    """
    folds, steps = _folds_and_steps(organisation, rows, cols, lanes, m, k, n)
    fixed = fixed_cycles(organisation, rows, cols, lanes, latency, overlap)
    places = accumulators(latency, interval, interleave)
    stride, fold, _ = fold_pace(
        organisation, rows, latency, interval, overlap, places, fixed, steps
    )
    # The "unhindered" pair is the same array issuing a step every cycle.
    unhindered_fold = steps + fixed
    unhindered_stride = max(steps, rows) if overlap else unhindered_fold
    total = (folds - 1) * stride + fold
    unhindered = (folds - 1) * unhindered_stride + unhindered_fold
    steady = folds * steps
    return folds, steady, unhindered - steady, total - unhindered, total


@kernel
def fixed_cycles(
    organisation: int, rows: int, cols: int, lanes: int, latency: int, overlap: bool
) -> int:
    """Return what a fold takes beyond the span of its steps; arguments as in ``gemm_cycles``."""
    if organisation == Organisation.DOT:
        return rows + tree_levels(lanes) + latency + 1
    if organisation == Organisation.SYSTOLIC_OS:
        return 2 * rows + cols + latency - 2
    # With overlap and L > 1 the weights travel in step with the first streamed word.
    load = rows if latency == 1 or not overlap else 0
    return (rows + 1) * latency + cols + load


@inlined_kernel
def fold_pace(
    organisation: int,
    rows: int,
    latency: int,
    interval: int,
    overlap: bool,
    places: int,
    fixed: int,
    steps: int,
) -> tuple[int, int, int]:
    """Return (stride, fold, sums) of folds that stream ``steps`` steps each.

    ``places`` are the ``accumulators``, ``fixed`` the ``fixed_cycles`` of the array, the other
    arguments as in ``gemm_cycles``. ``stride`` lies between the first operand reads of two folds,
    ``fold`` is from one's first read to its own last write, ``sums`` as in ``feedback``.
    """
    if organisation == Organisation.SYSTOLIC_WS or organisation == Organisation.SYSTOLIC_IS:
        busy, sums, turnaround = steps * interval, 1, latency + 1
    else:
        busy, sums = feedback(steps, latency, interval, places)
        turnaround = 1
    fold = busy - interval + 1 + fixed
    stride = max(busy, rows, turnaround) if overlap else max(busy, fold)
    return stride, fold, sums


@kernel
def gemm_cycles_scalesim(
    organisation: int, rows: int, cols: int, m: int, k: int, n: int
) -> tuple[int, int]:
    """Return ``(folds, cycles)`` as SCALE-Sim 3.0.0 counts a stall-free GEMM; os, ws and is only.

    ``cycles`` = folds x cycles per fold = its reported total + 1. Its os fold leaves out the drain.
    """
    folds, steps = _folds_and_steps(organisation, rows, cols, 1, m, k, n)
    fold = rows + cols + steps - 2
    if organisation != Organisation.SYSTOLIC_OS:
        fold += rows
    return folds, folds * fold


@kernel
def gemm_accesses(
    organisation: int, rows: int, cols: int, lanes: int, m: int, k: int, n: int
) -> tuple[int, int, int, int]:
    """Return SRAM accesses of a GEMM in elements; arguments as in ``gemm_cycles``.

    Only valid elements are read and written, so ``lanes`` changes no count. SCALE-Sim counts the
    same, but for its os output writes, which it overstates by folds x (rows + cols).

    Returns:
        ``(activation_reads, weight_reads, output_writes, partial_reads)``; the last are partial
        sums read back by the second and later k-folds of ws and is.
    """
    if organisation == Organisation.SYSTOLIC_WS or organisation == Organisation.SYSTOLIC_IS:
        k_folds = _ceil_div(k, rows)
        activations = m * k
        weights = k * n
        if organisation == Organisation.SYSTOLIC_WS:
            activations *= _ceil_div(n, cols)
        else:
            weights *= _ceil_div(m, cols)
        return activations, weights, m * n * k_folds, m * n * (k_folds - 1)
    return m * k * _ceil_div(n, cols), k * n * _ceil_div(m, rows), m * n, 0


@dataclass(frozen=True)
class ArrayTiming:
    """What decides the cycles of one array; ``gemm_cycles`` says what each field means."""

    organisation: Organisation
    rows: int
    cols: int
    lanes: int = 1
    latency: int = 1
    interval: int = 1
    interleave: bool = False
    overlap: bool = True

    def __post_init__(self) -> None:
        for key in ("rows", "cols", "lanes", "latency", "interval"):
            check_dimension(key, getattr(self, key))
        if self.lanes != 1 and self.organisation != Organisation.DOT:
            raise UserError(
                "only a dot-product unit has lanes", key="lanes", value=self.lanes, allowed="1"
            )

    @property
    def _geometry(self) -> tuple[int, int, int, int]:
        return int(self.organisation), self.rows, self.cols, self.lanes


def cycles_of_gemms(array: ArrayTiming, shapes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the cycles of many GEMMs on one array.

    Args:
        array: The array.
        shapes: int64 [gemms, 3], the columns m, k, n, each in 1 .. 2**20.

    Returns:
        int64 [gemms, 5], columns ``CYCLE_COLUMNS``.

    Raises:
        UserError: Wrong dtype, shape or range, or a count that could pass 2**62.
    """
    _check_shapes(array, shapes)
    cycles = np.empty((len(shapes), len(CYCLE_COLUMNS)), dtype=np.int64)
    pipeline = (array.latency, array.interval, array.interleave, array.overlap)
    for row, (m, k, n) in enumerate(shapes.tolist()):
        cycles[row] = gemm_cycles(*array._geometry, *pipeline, m, k, n)
    return cycles


def accesses_of_gemms(array: ArrayTiming, shapes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the SRAM accesses of many GEMMs, int64 [gemms, 4], columns ``ACCESS_COLUMNS``.

    Arguments and errors are those of ``cycles_of_gemms``.
    """
    _check_shapes(array, shapes)
    accesses = np.empty((len(shapes), len(ACCESS_COLUMNS)), dtype=np.int64)
    for row, (m, k, n) in enumerate(shapes.tolist()):
        accesses[row] = gemm_accesses(*array._geometry, m, k, n)
    return accesses


def check_dimension(key: str, value: object) -> None:
    """Raise UserError unless ``value`` is an int from 1 to ``LARGEST_DIMENSION``."""
    if type(value) is not int or not 1 <= value <= LARGEST_DIMENSION:
        raise UserError(
            "not a whole number in range", key=key, value=value, allowed=f"1 to {LARGEST_DIMENSION}"
        )


def _check_shapes(array: ArrayTiming, shapes: npt.NDArray[np.int64]) -> None:
    if shapes.dtype != np.int64 or shapes.ndim != 2 or shapes.shape[1] != 3:
        given = f"{shapes.dtype} {list(shapes.shape)}"
        raise UserError("not a table of GEMMs", key="shapes", value=given, allowed="int64 [*, 3]")
    for m, k, n in shapes.tolist():
        for key, value in (("m", m), ("k", k), ("n", n)):
            check_dimension(key, value)
        # Above every term of the formulas, in Python's unbounded integers.
        folds, steps = _folds_and_steps(*array._geometry, m, k, n)
        size = array.rows + array.cols + array.lanes
        fold = (steps + 3 * size) * (array.latency + array.interval + 1)
        if folds * fold >= LARGEST_COUNT:
            raise UserError(
                "cycles could overflow", key="shapes", value=(m, k, n), allowed="below 2**62 cycles"
            )
