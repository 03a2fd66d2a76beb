"""The mappings of one operator that are worth a look: candidates after pruning.

What may be chosen, what fits and why nothing better is left out stands in docs/engine.md under
"Mapping". Each candidate is handed to ``_look``, which evaluates it as a run would.
"""

from __future__ import annotations

import numpy as np

from accelsim.engine.dimensions import (
    ZERO,
    form_of,
    keeps_sums,
    laid_out,
    largest_chunk,
    weight_passes,
)
from accelsim.engine.evaluate import evaluate_operator, place_of
from accelsim.engine.gemm import clear
from accelsim.engine.mapping import OWN, Blocks, Stays
from accelsim.engine.transfers import (
    HALF,
    ceil_div,
    dram_of_gemm,
    half_stream,
    spilled_activations,
    sram_bytes,
    stored_of_instance,
)
from accelsim.hardware.actions import COUNTERS, SHARED, SharedAction
from accelsim.hardware.design import VECTOR, Organisation
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Kind, Series

# Bounds of a search: distinct tile counts of a dimension, cuts of k where more are not simply
# slower, and mappings of sums that stay in one dataflow.
MOST_COUNTS, MOST_CUTS, MOST_OF_DATAFLOW = 32, 16, 290
SCORE, LOOKED = 0, 1
ORGANISATIONS = len(Organisation)


@lean_kernel
def search_operator(job, trial, best, state):
    """Set ``best`` to the mapping of the least score, the first of equals; count the looks.

    Args:
        job: (op, units, machine, lead, price of a cycle, of a pJ, rates, cycles, counts, gemm);
            the last three are rows to work on.
        trial: A ``MAPPING_DTYPE`` record to work on.
        best: The record to set.
        state: float64 [2], the least score and how many mappings were looked at.
    """
    op, units, machine = job[0], job[1], job[2]
    place = place_of(op, machine)
    state[LOOKED] = 0
    _reset(trial, OWN)
    if op.kind < Kind.GEMM or place == VECTOR:
        _take(trial, best)
        return
    _look(job, trial, best, state)
    own = units[place, 0]
    for organisation in range(ORGANISATIONS):
        if own.dataflows >> organisation & 1 == 0:
            continue
        if organisation != own.organisation:
            _reset(trial, organisation)
            _look(job, trial, best, state)
        if op.causal == 1:
            _reset(trial, organisation)
            trial.blocks = np.int64(Blocks.WHOLE)
            _look(job, trial, best, state)
            _reset(trial, organisation)
            trial.blocks = np.int64(Blocks.BLOCKS)
            _look(job, trial, best, state)
        elif op.series == Series.NONE:
            _search_gemm(job, units[place, 1 + organisation], organisation, trial, best, state)


@inlined_kernel
def _reset(mapping, organisation):
    """Make ``mapping`` the fixed one of an organisation."""
    mapping.organisation = organisation
    mapping.stays, mapping.blocks = np.int64(Stays.RULE), np.int64(Blocks.FASTER)
    mapping.m_tile, mapping.k_tile, mapping.n_tile = 0, 0, 0
    mapping.chunk, mapping.split = 0, 1


@lean_kernel
def _take(trial, best):
    best.organisation = trial.organisation
    best.stays, best.blocks = trial.stays, trial.blocks
    best.m_tile, best.k_tile, best.n_tile = trial.m_tile, trial.k_tile, trial.n_tile
    best.chunk, best.split = trial.chunk, trial.split


@lean_kernel
def _look(job, trial, best, state):
    """Evaluate a mapping and keep it if its score is less than that of all before."""
    op, units, machine, lead, per_cycle, per_pj, rates, cycles, counts, gemm = job
    clear(cycles)
    clear(counts)
    evaluate_operator(op, units, machine, trial, lead, cycles, counts, gemm)
    score = per_cycle * counts[SHARED + SharedAction.CYCLE]
    if per_pj > 0:
        score += per_pj * energy_of(counts, rates)
    if state[LOOKED] == 0 or score < state[SCORE]:
        state[SCORE] = score
        _take(trial, best)
    state[LOOKED] += 1


@inlined_kernel
def energy_of(counts, rates):
    """Return the pJ of counts [COUNTERS] at rates [COUNTERS]."""
    total = 0.0
    for counter in range(COUNTERS):
        total += counts[counter] * rates[counter]
    return total


@lean_kernel
def _search_gemm(job, unit, organisation, trial, best, state):
    """Look at the tiles of a product that neither grows nor is causal, in one organisation."""
    op, machine = job[0], job[2]
    stream, limit = _stream(op, unit, machine)
    if stream > largest_chunk(unit, machine.output_stream) and op.k > unit.rows:
        _reset(trial, organisation)
        trial.chunk = ceil_div(stream, ceil_div(stream, limit))
        _look(job, trial, best, state)
    stored = stored_of_instance(op, machine, op.k, op.n)
    inputs, _ = spilled_activations(op, machine, op.group, op.m, op.k, op.n)
    form = form_of(unit, machine.output_stream, ZERO)
    times, parts = weight_passes(unit, *laid_out(unit, form, op.m, op.k, op.n))
    weights, read = dram_of_gemm(op, machine, stored, inputs, times, parts)
    hidden = keeps_sums(unit) and unit.drain_adders == 1 and unit.latency > 1
    if (stored == 0 or (weights == stored and read == inputs)) and not hidden:
        return  # nothing comes twice, and longer streams are never worse
    # Sizes, and how many whole rows of activations and columns of weights fit.
    half = half_stream(op, machine)
    half_rows = max(machine.activation_stream // HALF, 1)
    held = sram_bytes(op, machine, stored)
    sizes = inputs, held, _part(half_rows, inputs, op.m), _part(half, held, op.n)
    _hold_operands(job, unit, sizes, organisation, trial, best, state)
    _hold_sums(job, unit, sizes, organisation, trial, best, state)


@inlined_kernel
def _stream(op, unit, machine):
    """Return the words that ws and is stream, and how many at most before the next k-fold.

    One k-fold leaves no partial sums that would have to wait, and columns without work have none.
    os and dot have one piece.
    """
    if keeps_sums(unit):
        return 1, 1
    stream, across = op.m, op.n
    if unit.organisation == Organisation.SYSTOLIC_IS:
        stream, across = op.n, op.m
    if op.k <= unit.rows:
        return stream, stream
    return stream, min(_sums(unit, machine, min(unit.cols, across)), stream)


@inlined_kernel
def _sums(unit, machine, across):
    """Return how many sums of each of ``across`` columns half of the output buffer holds."""
    return max(machine.output_stream // HALF * 8 // (across * unit.accumulator_bits), 1)


@inlined_kernel
def steps_of(unit, chunk):
    """Return the rows and columns of results that an array takes at once."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return chunk, unit.cols
    if unit.organisation == Organisation.SYSTOLIC_IS:
        return unit.cols, chunk
    return unit.rows, unit.cols


@inlined_kernel
def _part(room, size, extent):
    """Return how much of ``extent`` fits ``room`` where the whole takes ``size``."""
    if size <= room:
        return extent
    return int(float(room) * float(extent) / float(size))


@inlined_kernel
def _fewest(extent, step, most):
    """Return into how few parts of whole steps, at most ``most`` long each, ``extent`` is cut."""
    if most >= extent:
        return 1
    return ceil_div(ceil_div(extent, step), most // step)


@inlined_kernel
def _least_tile(extent, step, count):
    """Return the least tile of whole steps that cuts ``extent`` into ``count`` parts at most."""
    return min(ceil_div(ceil_div(extent, step), count) * step, extent)


@inlined_kernel
def _next_count(extent, tile):
    """Return the count of the next smaller tile; ``tile`` is above 1."""
    return ceil_div(extent, tile - 1)


@lean_kernel
def _hold_operands(job, unit, sizes, organisation, trial, best, state):
    """Look at blocks of rows or columns that stay, for streams of each length that matters.

    A shorter stream costs cycles; it is looked at only where it lets an operand pass less often.
    """
    op, machine = job[0], job[2]
    inputs = sizes[0]
    stream, limit = _stream(op, unit, machine)
    count, rows, columns = ceil_div(stream, limit), op.m + 1, op.n + 1
    for _ in range(MOST_COUNTS):
        chunk = ceil_div(stream, count)
        steps = steps_of(unit, chunk)
        given = ZERO if keeps_sums(unit) else chunk
        if inputs > 0:
            rows = _hold_activations(
                job, sizes, steps, rows, given, organisation, trial, best, state
            )
        columns = _hold_weights(job, sizes, steps, columns, given, organisation, trial, best, state)
        if chunk == 1 or (columns == 1 and (rows == 1 or inputs == 0)):
            return
        count = _next_count(stream, chunk)


@lean_kernel
def _hold_activations(job, sizes, steps, before, chunk, organisation, trial, best, state):
    """Look at a block of whole spilled rows that stays while all weights pass.

    Not where that is not in fewer parts than ``before``; return the fewest parts so far.
    """
    op = job[0]
    _, _, most, columns = sizes
    if columns < min(steps[1], op.n):
        most = min(most, steps[0])  # a piece of the weights is gone before further rows need it
    if most < min(steps[0], op.m):
        return before
    count = _fewest(op.m, steps[0], most)
    if count < before:
        _reset(trial, organisation)
        trial.stays, trial.chunk = np.int64(Stays.ACTIVATIONS), chunk
        trial.m_tile, trial.k_tile, trial.n_tile = (
            _least_tile(op.m, steps[0], count),
            op.k,
            op.n,
        )
        _look(job, trial, best, state)
    return min(count, before)


@lean_kernel
def _hold_weights(job, sizes, steps, before, chunk, organisation, trial, best, state):
    """Look at a block of whole columns of weights that stays while all activations pass.

    As ``_hold_activations``; on-chip activations may pass as often as they like.
    """
    op = job[0]
    inputs, _, rows, most = sizes
    if inputs > 0 and rows < min(steps[0], op.m):
        most = min(most, steps[1])
    if most < min(steps[1], op.n):
        return before
    count = _fewest(op.n, steps[1], most)
    if count < before:
        _reset(trial, organisation)
        trial.stays, trial.chunk = np.int64(Stays.WEIGHTS), chunk
        trial.m_tile, trial.k_tile, trial.n_tile = (
            op.m,
            op.k,
            _least_tile(op.n, steps[1], count),
        )
        _look(job, trial, best, state)
    if inputs == 0:
        return 1
    return min(count, before)


@lean_kernel
def _hold_sums(job, unit, sizes, organisation, trial, best, state):
    """Look at tiles of m x n whose sums stay while k passes in slices."""
    op = job[0]
    step, across = steps_of(unit, 1)
    if keeps_sums(unit):
        _reset(trial, organisation)
        trial.stays, trial.k_tile = np.int64(Stays.SUMS), op.k
        trial.m_tile, trial.n_tile = min(step, op.m), min(across, op.n)
        _look(job, trial, best, state)  # in the PEs
        if unit.drain_adders == 0:
            return
    tiles, count, first = ceil_div(op.m, step), 1, state[LOOKED]
    for _ in range(MOST_COUNTS):
        tile = ceil_div(tiles, count)
        rows = min(tile * step, op.m)
        _hold_sums_of_rows(job, unit, sizes, organisation, rows, trial, best, state)
        if tile == 1 or state[LOOKED] - first >= MOST_OF_DATAFLOW:
            return
        count = _next_count(tiles, tile)


@lean_kernel
def _hold_sums_of_rows(job, unit, sizes, organisation, rows, trial, best, state):
    """Look at tiles of ``rows`` x n, the widest that fits first, narrower where k is cut less."""
    op, machine = job[0], job[2]
    inputs, held, whole_rows, _ = sizes
    half = float(half_stream(op, machine))
    half_rows = float(max(machine.activation_stream // HALF, 1))
    _, step = steps_of(unit, 1)
    widest = machine.output_stream // HALF * 8 // (rows * unit.accumulator_bits)
    if organisation != Organisation.SYSTOLIC_IS and (inputs == 0 or rows <= whole_rows):
        widest = min(widest, step)  # activations pass once, no wider tile saves anything
    if widest < min(step, op.n):
        return
    tiles, split, count = ceil_div(op.n, step), op.k + 1, _fewest(op.n, step, widest)
    for _ in range(MOST_COUNTS):
        tile = ceil_div(tiles, count)
        columns = min(tile * step, op.n)
        # How long a slice of k fits, of the weights and of the activations.
        longest = min(
            _part(half * op.n, float(held) * columns, op.k),
            _part(half_rows * op.m, float(inputs) * rows, op.k),
        )
        if keeps_sums(unit):
            before, split = split, min(_cuts(unit, op.k, longest), split)
            if split < before:
                _look_at_cuts(job, unit, organisation, rows, columns, split, trial, best, state)
        elif longest >= min(unit.rows, op.k):
            _cut_at_folds(op, unit, organisation, rows, columns, trial)
            _look(job, trial, best, state)
            return
        if tile == 1 or split == 1:
            return
        count = _next_count(tiles, tile)


@lean_kernel
def _look_at_cuts(job, unit, organisation, rows, columns, split, trial, best, state):
    """Look at tiles whose k is cut into ``split`` slices.

    Short slices may hide the latency of an adder, so that more of them are not always slower.
    """
    op = job[0]
    _cut(op, unit, organisation, rows, columns, split, trial)
    _look(job, trial, best, state)
    tiles, tile = ceil_div(op.k, unit.lanes), ceil_div(trial.k_tile, unit.lanes)
    looks = 1
    while unit.latency > 1 and tile > 1 and looks < MOST_CUTS:
        split = _next_count(tiles, tile)
        _cut(op, unit, organisation, rows, columns, split, trial)
        _look(job, trial, best, state)
        tile = ceil_div(trial.k_tile, unit.lanes)
        looks += 1


@inlined_kernel
def _cuts(unit, length, longest):
    """Return into how few slices of whole lanes k is cut, more than it is long where none fits."""
    tiles = ceil_div(length, unit.lanes)
    most = tiles if longest >= length else longest // unit.lanes
    return length + 1 if most == 0 else ceil_div(tiles, most)


@inlined_kernel
def _cut(op, unit, organisation, rows, columns, split, trial):
    """Set ``trial`` to tiles whose k is cut into ``split`` slices of nearly equal length."""
    _reset(trial, organisation)
    trial.stays, trial.m_tile, trial.n_tile = np.int64(Stays.SUMS), rows, columns
    trial.k_tile = _least_tile(op.k, unit.lanes, split)
    trial.split = ceil_div(op.k, trial.k_tile)


@inlined_kernel
def _cut_at_folds(op, unit, organisation, rows, columns, trial):
    """Set ``trial`` to slices of a k-fold, as ws and is take k anyway."""
    _reset(trial, organisation)
    trial.stays, trial.m_tile, trial.n_tile = np.int64(Stays.SUMS), rows, columns
    trial.k_tile = min(unit.rows, op.k)
    trial.chunk = rows if organisation == Organisation.SYSTOLIC_WS else columns
