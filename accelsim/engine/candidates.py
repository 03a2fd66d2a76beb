"""The mappings of one operator that are worth a look: candidates after pruning.

What may be chosen, what fits and why nothing better is left out stands in docs/engine.md under
"Mapping". Each candidate is handed to ``_look``, which evaluates it as a run would.
"""

from __future__ import annotations

import numpy as np

from accelsim.engine.dimensions import form_of as form_of_unit
from accelsim.engine.dimensions import keeps_sums, laid_out, largest_chunk, weight_passes
from accelsim.engine.evaluate import evaluate_operator, place_of
from accelsim.engine.gemm import clear
from accelsim.engine.mapping import OWN, Blocks, Stays
from accelsim.engine.transfers import (
    HALF,
    ceil_div,
    dram_of_gemm,
    half_stream,
    holds_rows,
    spilled_activations,
    sram_bytes,
    stored_of_instance,
)
from accelsim.hardware.actions import COUNTERS, SHARED, SharedAction
from accelsim.hardware.design import VECTOR, Organisation
from accelsim.kernels import inlined_kernel, lean_kernel
from accelsim.trace import Kind, Series

# Bounds of a search: distinct tile counts of m, and mappings of one dataflow.
MOST_COUNTS, MOST_OF_DATAFLOW = 32, 320
SCORE, LOOKED = 0, 1
ORGANISATIONS = len(Organisation)


@lean_kernel
def search_operator(job, trial, best, state):
    """Set ``best`` to the mapping of the least score, the first of equals; count the looks.

    Args:
        job: (op, units, machine, kept, totals, recipes, lead, price of a cycle, of a pJ, rates,
            cycles, counts, gemm); the last three are rows to work on.
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
    op, units, machine, kept, totals, recipes, lead, per_cycle, per_pj, rates = job[:10]
    cycles, counts, gemm = job[10:]
    clear(cycles)
    clear(counts)
    evaluate_operator(op, units, machine, trial, kept, totals, lead, recipes, cycles, counts, gemm)
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
    op, machine, kept, totals = job[0], job[2], job[3], job[4]
    limit = largest_chunk(unit, machine.output_stream)
    stream = op.n if organisation == Organisation.SYSTOLIC_IS else op.m
    if not keeps_sums(unit) and op.k > unit.rows and stream > limit:
        _reset(trial, organisation)
        trial.chunk = ceil_div(stream, ceil_div(stream, limit))
        if trial.chunk < limit:
            _look(job, trial, best, state)
    stored = stored_of_instance(op, machine, kept, totals, op.k, op.n)
    inputs, _ = spilled_activations(op, machine, op.group, op.m, op.k, op.n)
    form = form_of_unit(unit, machine.output_stream, 0)
    times, pieces = weight_passes(unit, *laid_out(unit, form, op.m, op.k, op.n))
    weights, read = dram_of_gemm(op, machine, stored, inputs, times, pieces)
    if stored == 0 or (weights == stored and read == inputs):
        return  # nothing comes twice, and longer streams are never worse
    sizes = stored, inputs, sram_bytes(op, machine, stored), half_stream(op, machine)
    _hold_activations(job, unit, sizes, organisation, trial, best, state)
    _hold_weights(job, unit, sizes, organisation, trial, best, state)
    _hold_sums(job, unit, sizes, organisation, trial, best, state)


@inlined_kernel
def steps_of(unit):
    """Return the least tile of m and of n: what the array takes at once, words where it streams."""
    if unit.organisation == Organisation.SYSTOLIC_WS:
        return 1, unit.cols
    if unit.organisation == Organisation.SYSTOLIC_IS:
        return unit.cols, 1
    return unit.rows, unit.cols


@inlined_kernel
def _part(room, size, extent):
    """Return how much of ``extent`` fits ``room`` where the whole takes ``size``."""
    if size <= room:
        return extent
    return int(float(room) * float(extent) / float(size))


@inlined_kernel
def _least_tile(extent, step, count):
    """Return the least tile of whole steps that cuts ``extent`` into ``count`` parts at most."""
    return min(ceil_div(ceil_div(extent, step), count) * step, extent)


@lean_kernel
def _hold_activations(job, unit, sizes, organisation, trial, best, state):
    """Look at a block of whole spilled rows that stays while all weights pass."""
    op, machine = job[0], job[2]
    _, inputs, held, half = sizes
    if inputs == 0:
        return
    step, across = steps_of(unit)
    most = _part(max(machine.activation_stream // HALF, 1), inputs, op.m)
    limit = largest_chunk(unit, machine.output_stream)
    at_once = step
    if op.k > unit.rows and not keeps_sums(unit):
        if organisation == Organisation.SYSTOLIC_IS:
            across = min(limit, op.n)
        else:
            at_once = limit
    elif not keeps_sums(unit):
        across, at_once = max(across, op.n * (step > 1)), max(at_once, op.m * (step == 1))
    if _part(half, held, op.n) < min(across, op.n):
        most = min(most, at_once)  # a piece of the weights is gone before the next rows need it
    if most < min(step, op.m):
        return
    count = ceil_div(ceil_div(op.m, step), max(most // step, 1)) if most < op.m else 1
    _reset(trial, organisation)
    trial.stays, trial.m_tile = np.int64(Stays.ACTIVATIONS), _least_tile(op.m, step, count)
    trial.k_tile, trial.n_tile = op.k, op.n
    _look(job, trial, best, state)


@lean_kernel
def _hold_weights(job, unit, sizes, organisation, trial, best, state):
    """Look at a block of whole columns of weights that stays while all activations pass."""
    op, machine = job[0], job[2]
    _, _, held, half = sizes
    _, step = steps_of(unit)
    most = _part(half, held, op.n)
    if most < min(step, op.n):
        return
    count = ceil_div(ceil_div(op.n, step), most // step) if most < op.n else 1
    _reset(trial, organisation)
    trial.stays, trial.n_tile = np.int64(Stays.WEIGHTS), _least_tile(op.n, step, count)
    trial.m_tile, trial.k_tile = op.m, op.k
    if organisation == Organisation.SYSTOLIC_IS and op.k > unit.rows:
        limit = min(largest_chunk(unit, machine.output_stream), trial.n_tile)
        trial.chunk = ceil_div(trial.n_tile, ceil_div(trial.n_tile, limit))
    _look(job, trial, best, state)


@lean_kernel
def _hold_sums(job, unit, sizes, organisation, trial, best, state):
    """Look at tiles of m x n whose sums stay while k passes in slices."""
    op = job[0]
    step, step_n = steps_of(unit)
    if keeps_sums(unit):
        _reset(trial, organisation)
        trial.stays, trial.k_tile = np.int64(Stays.SUMS), op.k
        trial.m_tile, trial.n_tile = min(step, op.m), min(step_n, op.n)
        _look(job, trial, best, state)  # in the PEs
        if unit.drain_adders == 0:
            return
    tiles, before, seen, count = ceil_div(op.m, step), 0, 0, 1
    first = state[LOOKED]
    while seen < MOST_COUNTS and state[LOOKED] - first < MOST_OF_DATAFLOW:
        tile = ceil_div(tiles, count)
        if tile != before:
            before = tile
            seen += 1
            rows = min(tile * step, op.m)
            _hold_sums_of_rows(job, unit, sizes, organisation, rows, trial, best, state)
        if tile == 1:
            break
        # The next count that a smaller tile gives.
        count = max(ceil_div(tiles, tile - 1), count + 1)


@lean_kernel
def _hold_sums_of_rows(job, unit, sizes, organisation, rows, trial, best, state):
    """Look at tiles of ``rows`` x n, the widest that fits first, narrower where k is cut less."""
    op, machine = job[0], job[2]
    _, inputs, held, half = sizes
    _, step = steps_of(unit)
    half_activations = max(machine.activation_stream // HALF, 1)
    widest = machine.output_stream // HALF * 8 // (rows * unit.accumulator_bits)
    again = inputs > 0 and not holds_rows(machine, inputs, rows, op.m)
    if not again and organisation != Organisation.SYSTOLIC_IS:
        widest = min(widest, step)  # no wider tile saves anything
    tiles, split = ceil_div(op.n, step), op.k + 1
    if widest < min(step, op.n):
        return
    count = 1 if widest >= op.n else ceil_div(tiles, widest // step)
    first = state[LOOKED]
    while state[LOOKED] - first < MOST_COUNTS:
        tile = ceil_div(tiles, count)
        columns = min(tile * step, op.n)
        # How long a slice of k fits beside: of the weights and of the activations.
        longest = min(
            _part(half * float(op.n) / columns, held, op.k),
            _part(half_activations * float(op.m) / rows, inputs, op.k),
        )
        if keeps_sums(unit):
            found = _cut(job, unit, organisation, rows, columns, longest, split, trial)
            if found < split:
                split = found
                _look(job, trial, best, state)
            if split == 1:
                return
        elif longest >= min(unit.rows, op.k):
            _cut_at_folds(op, unit, organisation, rows, columns, trial)
            _look(job, trial, best, state)
            return
        if tile == 1:
            return
        count = max(ceil_div(tiles, tile - 1), count + 1)


@inlined_kernel
def _cut(job, unit, organisation, rows, columns, longest, split, trial):
    """Set ``trial`` to equal slices of k, at most ``longest``; return how many.

    ``split`` and ``trial`` stay where that are not fewer than ``split``.
    """
    op = job[0]
    tiles = ceil_div(op.k, unit.lanes)
    most = tiles if longest >= op.k else longest // unit.lanes
    if most == 0 or ceil_div(tiles, most) >= split:
        return split
    tile = ceil_div(tiles, ceil_div(tiles, most))
    _reset(trial, organisation)
    trial.stays, trial.m_tile, trial.n_tile = np.int64(Stays.SUMS), rows, columns
    trial.k_tile = min(tile * unit.lanes, op.k)
    trial.split = ceil_div(op.k, trial.k_tile)
    return trial.split


@inlined_kernel
def _cut_at_folds(op, unit, organisation, rows, columns, trial):
    """Set ``trial`` to slices of a k-fold, as ws and is take k anyway."""
    _reset(trial, organisation)
    trial.stays, trial.m_tile, trial.n_tile = np.int64(Stays.SUMS), rows, columns
    trial.k_tile = min(unit.rows, op.k)
    trial.chunk = rows if organisation == Organisation.SYSTOLIC_WS else columns
