"""A mapping in words: what the rules of the fixed mapping come to, and what a search chose."""

from __future__ import annotations

import numpy as np

from accelsim.engine.columns import G_TOTAL, GEMM_COLUMNS
from accelsim.engine.dimensions import (
    EXTENT,
    MANY,
    form_of,
    keeps_sums,
    laid_out,
    weight_passes,
)
from accelsim.engine.evaluate import Workload
from accelsim.engine.gemm import causal_gemm
from accelsim.engine.mapping import MAPPING_DTYPE, OWN, Blocks, Stays, fixed_mapping
from accelsim.engine.search import Searched
from accelsim.engine.transfers import (
    HALF,
    ceil_div,
    dram_of_gemm,
    half_stream,
    spilled_activations,
    sram_bytes,
    stored_of_instance,
)
from accelsim.hardware.design import Organisation
from accelsim.kernels import kernel
from accelsim.result import MappingRow
from accelsim.trace import Series

DATAFLOWS = {
    Organisation.SYSTOLIC_OS: "os",
    Organisation.SYSTOLIC_WS: "ws",
    Organisation.SYSTOLIC_IS: "is",
    Organisation.DOT: "dot",
}
STAYS = {Stays.ACTIVATIONS: "activations", Stays.WEIGHTS: "weights", Stays.SUMS: "sums"}


def spelled_mapping(
    workload: Workload, searched: Searched | None, design: int, o: int, place: int
) -> MappingRow:
    """Return the mapping of operator ``o``, a matrix product on unit ``place`` of a design."""
    unit = workload.units[design, place]
    record = fixed_mapping()[0, 0] if searched is None else searched.mappings[design, o]
    record = np.array(record, dtype=MAPPING_DTYPE)[()].copy()
    if record["organisation"] == OWN:
        record["organisation"] = unit["organisation"]
    unit = unit.copy()
    unit["organisation"] = record["organisation"]
    out = np.zeros(1, dtype=MAPPING_DTYPE)
    out[0] = record
    machine = workload.loaded()[design]
    _resolve(workload.rows[o], unit, machine, out, np.zeros(GEMM_COLUMNS, np.int64))
    found = out[0]
    return MappingRow(
        dataflow=DATAFLOWS[Organisation(int(found["organisation"]))],
        m_tile=int(found["m_tile"]),
        k_tile=int(found["k_tile"]),
        n_tile=int(found["n_tile"]),
        stays=STAYS[Stays(int(found["stays"]))],
        split=int(found["split"]),
        chunk=int(found["chunk"]),
        causal={0: "", 1: "whole", 2: "blocks"}[int(found["blocks"])],
    )


@kernel
def _resolve(op, unit, machine, out, gemm):
    """Replace what ``out`` [1] leaves to rules by what they come to, at the last member."""
    mapping = out[0]
    grown = op.series_step * (op.series_count - 1)
    length = op.k + (grown if op.series == Series.K else 0)
    outputs = op.n + (grown if op.series == Series.N else 0)
    form = form_of(unit, machine.output_stream, mapping.chunk)
    m, k, n = laid_out(unit, form, op.m, length, outputs)
    if not keeps_sums(unit):
        stream, pieces = m[EXTENT], m[MANY]
        if unit.organisation == Organisation.SYSTOLIC_IS:
            stream, pieces = n[EXTENT], n[MANY]
        mapping.chunk = stream if pieces == 1 else form[0]
    if op.causal == 1 and mapping.blocks == Blocks.FASTER:
        causal_gemm(unit, form, op.kind, np.int64(Blocks.FASTER), m, k, n, gemm)
        fastest = gemm[G_TOTAL]
        causal_gemm(unit, form, op.kind, np.int64(Blocks.WHOLE), m, k, n, gemm)
        whole = gemm[G_TOTAL] <= fastest
        mapping.blocks = np.int64(Blocks.WHOLE) if whole else np.int64(Blocks.BLOCKS)
    if mapping.stays != Stays.RULE:
        return
    stored = stored_of_instance(op, machine, length, outputs)
    inputs, _ = spilled_activations(op, machine, op.group, op.m, length, outputs)
    times, passes = weight_passes(unit, m, k, n)
    weights, read = dram_of_gemm(op, machine, stored, inputs, times, passes)
    mapping.m_tile, mapping.k_tile, mapping.n_tile = op.m, length, ceil_div(outputs, passes)
    mapping.stays = np.int64(Stays.WEIGHTS)
    if inputs > 0 and read > inputs:
        held = sram_bytes(op, machine, stored)
        mapping.n_tile = ceil_div(outputs, ceil_div(held, half_stream(op, machine)))
    elif weights > stored or inputs > 0:
        parts = ceil_div(inputs, max(machine.activation_stream // HALF, 1))
        mapping.stays = np.int64(Stays.ACTIVATIONS)
        mapping.m_tile = ceil_div(op.m, max(parts, weights // max(stored, 1), 1))
