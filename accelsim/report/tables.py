"""The files that hold every number: CSV tables and the manifest, as text with the same bytes.

Floats are written with the shortest digits that read back exactly. Only the csv and json modules
are needed, so numbers are on disk before anything heavy is imported.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accelsim.report.summary import (
    JOULES_PER_PJ,
    MM2_PER_UM2,
    SCHEMA_VERSION,
    plain,
    total,
    utilisation,
)
from accelsim.result import (
    BOUNDS,
    CAUSES,
    COMPONENTS,
    PHASES,
    AreaRow,
    Charge,
    OperatorRow,
    PriceRow,
    Result,
)

PRICE_COLUMNS = (
    "price",
    "price_value",
    "price_low",
    "price_high",
    "price_unit",
    "how",
    "because",
    "source",
)
ENERGY_COLUMNS = (
    "phase",
    "action",
    "component",
    "step",
    "count",
    "quantity",
    *PRICE_COLUMNS,
    "energy_j",
    "energy_j_low",
    "energy_j_high",
)
AREA_COLUMNS = (
    "component",
    "part",
    "count",
    *PRICE_COLUMNS,
    "area_mm2",
    "area_mm2_low",
    "area_mm2_high",
)
OPERATOR_COLUMNS = (
    "name",
    "kind",
    "phase",
    "m",
    "k",
    "n",
    "instances",
    "unit",
    "folds",
    "steps",
    "cycles",
    *CAUSES,
    *(f"busy_{bound}" for bound in BOUNDS),
    "bound",
    "utilisation_mapping",
    "utilisation_compute",
    "utilisation_overall",
    "dram_bytes",
    "sram_bytes",
    "energy_j",
    *(f"{component}_j" for component in COMPONENTS),
    "dataflow",
    "m_tile",
    "k_tile",
    "n_tile",
    "stays",
    "split",
    "chunk",
    "causal",
    "mappings_looked_at",
    "fixed_mapping_cycles",
)

TENSOR_COLUMNS = (
    "name",
    "layer",
    "kind",
    "outputs",
    "inputs",
    "format",
    "minus",
    "zeros",
    "plus",
    "entropy_bits",
    "dead_outputs",
    "dead_inputs",
    "dead_weights",
    "widest_sum",
    "worst_bits",
    "any_weights_bits",
    "text_sum",
    "text_prefix",
    "text_magnitude",
    "text_bits",
)


def operators_csv(result: Result) -> str:
    """Return one line per operator row; ``*_j`` columns add up to ``energy_j``."""
    return csv_text(OPERATOR_COLUMNS, (_operator_line(row) for row in result.operators))


def energy_csv(result: Result) -> str:
    """Return one line per charge: energy = count x quantity x price, with the price's source."""
    return csv_text(ENERGY_COLUMNS, (_charge_line(charge) for charge in result.charges))


def area_csv(result: Result) -> str:
    """Return one line per part of the floor plan."""
    return csv_text(AREA_COLUMNS, (_area_line(row) for row in result.area))


def tensors_csv(inspected: Mapping[str, Any]) -> str:
    """Return one line per linear of what `inspect` found; cells without a number are empty."""
    lines = []
    for row in inspected["tensors"]:
        outputs, inputs = row["shape"]
        cells = {**row, "outputs": outputs, "inputs": inputs}
        lines.append([cells.get(column) for column in TENSOR_COLUMNS])
    return csv_text(TENSOR_COLUMNS, lines)


def manifest_json(result: Result) -> str:
    """Return what is needed to repeat the run: versions, hashes, seed, design, every price."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "design": result.design,
        "network": result.network,
        "network_form": result.network_form,
        "technology": result.technology,
        "node_nm": result.node_nm,
        "workload": result.workload,
        "mapping": result.mapping,
        "weights": result.weights,
        "notes": result.notes,
        **result.manifest,
        "design_config": result.design_config,
        "prices": [price_entry(price) for price in prices(result)],
    }
    return json_text(content)


def prices(result: Result) -> tuple[PriceRow, ...]:
    """Return every price that was used for energy or area, once, sorted by name."""
    used = {charge.price for charge in result.charges} | {row.price for row in result.area}
    return tuple(sorted(used, key=lambda price: (price.name, price.value, price.source)))


def price_entry(price: PriceRow) -> dict[str, Any]:
    """Return one price with its interval and source, by the manifest's keys."""
    return {
        "name": price.name,
        "value": price.value,
        "low": price.low,
        "high": price.high,
        "unit": price.unit,
        "how": price.how,
        "because": price.because,
        "source": price.source,
    }


def json_text(content: Any) -> str:
    """Return ``content`` as indented JSON that ends with a newline."""
    return json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Return lines under the names of their columns; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        if len(line) != len(columns):
            raise ValueError(f"a line has {len(line)} cells for {len(columns)} columns")
        writer.writerow(["" if cell is None else cell for cell in map(plain, line)])
    return out.getvalue()


def _operator_line(row: OperatorRow) -> list[Any]:
    joules = (row.energy_pj * JOULES_PER_PJ).tolist()
    return [
        row.name,
        row.kind,
        PHASES[row.phase],
        row.m,
        row.k,
        row.n,
        row.instances,
        row.unit,
        row.folds,
        row.steps,
        row.total_cycles,
        *row.cycles,
        *row.busy,
        row.bound,
        *utilisation(row.cycles).values(),
        row.dram_bytes,
        row.sram_bytes,
        total(joules),
        *joules,
        *_mapping_cells(row),
    ]


def _mapping_cells(row: OperatorRow) -> list[Any]:
    """Return how an operator is mapped; cells are empty where there is nothing to choose."""
    mapping = row.mapping
    if mapping is None:
        return [None] * 10
    tile = (mapping.m_tile, mapping.k_tile, mapping.n_tile)
    array = (mapping.dataflow, *tile, mapping.stays, mapping.split, mapping.chunk or None)
    return [*array, mapping.causal, row.looked or None, row.fixed_cycles]


def _charge_line(charge: Charge) -> list[Any]:
    return [
        PHASES[charge.phase],
        charge.action,
        charge.component,
        charge.step,
        charge.count,
        charge.quantity,
        *_price_cells(charge.price),
        charge.energy_pj * JOULES_PER_PJ,
        charge.low_pj * JOULES_PER_PJ,
        charge.high_pj * JOULES_PER_PJ,
    ]


def _area_line(row: AreaRow) -> list[Any]:
    return [
        row.component,
        row.part,
        row.count,
        *_price_cells(row.price),
        row.area_um2 * MM2_PER_UM2,
        row.low_um2 * MM2_PER_UM2,
        row.high_um2 * MM2_PER_UM2,
    ]


def _price_cells(price: PriceRow) -> list[Any]:
    return list(price_entry(price).values())
