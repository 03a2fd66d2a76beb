"""Every legal mapping of a small product, enumerated without pruning and without the engine."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np

from accelsim.engine.evaluate import Workload, evaluate_all
from accelsim.engine.mapping import MAPPING_DTYPE, Blocks, Stays, fixed_mapping
from accelsim.formats import lookup_packing
from accelsim.hardware.actions import SHARED, SharedAction
from accelsim.hardware.design import ARRAY, Organisation

CYCLE = SHARED + SharedAction.CYCLE
OS, WS, IS, DOT = Organisation


class Buffers:
    """What a product asks of three half buffers, in exact fractions of them."""

    def __init__(self, workload: Workload) -> None:
        op, machine, unit = workload.rows[0], workload.machines[0], workload.units[0, ARRAY]
        self.m, self.k, self.n = (int(op[name]) for name in ("m", "k", "n"))
        codes = self.m * self.k
        self.spilled = codes > machine["activation_stream"]
        self.stored = -(-lookup_packing("ternary2").bits(self.n, self.k) // 8)
        halves = [max(int(machine[f"{name}_stream"]) // 2, 1) for name in ("activation", "weight")]
        self.codes, self.weights = codes, halves[1]
        self.activations = halves[0]
        self.sums = Fraction(int(machine["output_stream"]) // 2 * 8, int(unit["accumulator_bits"]))

    def rows_fit(self, m: int, k: int) -> bool:
        return not self.spilled or m * k <= self.activations

    def columns_fit(self, k: int, n: int) -> bool:
        return Fraction(self.stored * k * n, self.k * self.n) <= self.weights

    def sums_fit(self, m: int, n: int) -> bool:
        return m * n <= self.sums


def tiles(extent: int, step: int) -> list[int]:
    """Return all tiles of whole steps, the last one cut at the edge."""
    return sorted({min(size, extent) for size in range(step, extent + step, step)})


def equal_slices(extent: int, step: int) -> list[int]:
    """Return the least tile of whole steps for each number of slices."""
    most = -(-extent // step)
    return sorted({min(-(-most // count) * step, extent) for count in range(1, most + 1)})


def all_mappings(workload: Workload, dataflows: list[int]) -> np.ndarray:
    """Return every mapping, ``MAPPING_DTYPE`` [D, 1], the fixed one first."""
    found = [tuple(fixed_mapping()[0, 0])]
    for organisation in dataflows:
        found.append((organisation, Stays.RULE, 0, 0, 0, 0, 1, Blocks.FASTER))
        found += _of_organisation(workload, organisation)
    return np.array([tuple(int(v) for v in row) for row in found], MAPPING_DTYPE)[:, np.newaxis]


def _of_organisation(workload: Workload, organisation: int) -> Iterator[tuple[int, ...]]:
    unit, room = workload.units[0, ARRAY], Buffers(workload)
    rows, cols, lanes = (int(unit[name]) for name in ("rows", "cols", "lanes"))
    m, k, n = room.m, room.k, room.n
    held = organisation in (WS, IS)
    stream = {WS: m, IS: n}.get(organisation, 1)
    across = min(cols, m if organisation == IS else n)
    limit = max(int(room.sums // across), 1) if k > rows else stream
    if held and k > rows:
        pieces = -(-stream // min(limit, stream))
        yield organisation, Stays.RULE, 0, 0, 0, -(-stream // pieces), 1, 0
    for chunk in range(1, min(limit, stream) + 1):
        step_m = {WS: chunk, IS: cols}.get(organisation, rows)
        step_n = {WS: cols, IS: chunk}.get(organisation, cols)
        given = chunk if held else 0
        for tile in tiles(m, step_m):
            alone = tile <= step_m or room.columns_fit(k, min(step_n, n))
            if room.spilled and room.rows_fit(tile, k) and alone:
                yield organisation, Stays.ACTIVATIONS, tile, k, n, given, 1, 0
        for tile in tiles(n, step_n):
            alone = tile <= step_n or room.rows_fit(min(step_m, m), k)
            if room.columns_fit(k, tile) and alone:
                yield organisation, Stays.WEIGHTS, m, k, tile, given, 1, 0
    step_m = {WS: 1, IS: cols}.get(organisation, rows)
    step_n = {WS: cols, IS: 1}.get(organisation, cols)
    if not held:
        yield organisation, Stays.SUMS, min(rows, m), k, min(cols, n), 0, 1, 0
    for a, b in product(tiles(m, step_m), tiles(n, step_n)):
        if not room.sums_fit(a, b) or (not held and not unit["drain_adders"]):
            continue
        # ws and is may cut k between any folds, os and dot cut it into equal slices.
        slices = tiles(k, rows) if held else equal_slices(k, lanes)
        for slice_k in slices:
            if room.columns_fit(slice_k, b) and room.rows_fit(a, slice_k):
                chunk = {WS: a, IS: b}.get(organisation, 0)
                split = 1 if held else -(-k // slice_k)
                yield organisation, Stays.SUMS, a, slice_k, b, chunk, split, 0


def one_by_one(workload: Workload, mappings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cycles and counts [COUNTERS] of a product under each mapping, a design each."""
    size = len(mappings)
    copies = [np.repeat(table, size, axis=0) for table in workload_tables(workload)]
    _, counts = evaluate_all(Workload(workload.rows, *copies, workload.results), mappings)
    return counts[:, 0, CYCLE], counts[:, 0]


def workload_tables(workload: Workload) -> tuple[np.ndarray, ...]:
    return workload.units, workload.machines, workload.kept, workload.totals
