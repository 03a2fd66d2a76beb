"""The papers' accounting against every cell the papers print (golden/papers.csv, by hand)."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from accelsim.config import load_network_config
from accelsim.errors import UserError
from accelsim.functional.operator_rows import operator_rows
from accelsim.hardware.technology import load_technology
from accelsim.papers import (
    TERNARY_BITS,
    PaperCounts,
    matmul_ratio,
    paper_counts,
    paper_energy,
    paper_memory_gb,
    paper_table,
)
from accelsim.trace import Workload

HERE = Path(__file__).parent
# arXiv 2310.11453, Table 2, and for int32 the sources of the shipped technologies; pJ.
PRICES = {
    "7": {
        "fp32_add": 0.38,
        "fp32_mul": 1.31,
        "fp16_add": 0.16,
        "fp16_mul": 0.34,
        "int8_add": 0.007,
        "int32_add": 0.03,
    },
    "45": {
        "fp32_add": 0.9,
        "fp32_mul": 3.7,
        "fp16_add": 0.4,
        "fp16_mul": 1.1,
        "int8_add": 0.03,
        "int32_add": 0.1,
    },
}


def cells(*quantities: str) -> list[dict[str, str]]:
    with (HERE / "golden" / "papers.csv").open() as handle:
        return [row for row in csv.DictReader(handle) if row["quantity"] in quantities]


def counts(network: str) -> PaperCounts:
    config = load_network_config(HERE.parent / "models" / f"{network}.yaml")
    return paper_counts(operator_rows(config, Workload(512, 0), "fp16_twin")[1])


@pytest.mark.parametrize(
    "cell", cells("mul_j", "add_j", "total_j"), ids=lambda c: "-".join(list(c.values())[:4])
)
def test_energy_is_the_published_cell(cell: dict[str, str]) -> None:
    energy = paper_energy(counts(cell["network"]), PRICES[cell["node_nm"]])[cell["form"]]
    found = getattr(energy, cell["quantity"])
    assert abs(found - float(cell["value"])) <= float(cell["tolerance"])


def test_every_published_cell_is_there() -> None:
    assert len(cells("mul_j", "add_j")) == 24
    assert len(cells("total_j")) == len(cells("memory_gb")) == 4


@pytest.mark.parametrize("cell", cells("memory_gb"), ids=lambda c: c["network"])
def test_memory_is_linear_weights_alone(cell: dict[str, str]) -> None:
    bits = 16 if cell["form"] == "fp16" else TERNARY_BITS
    found = paper_memory_gb(counts(cell["network"]).linear_weights, bits)
    assert abs(found - float(cell["value"])) <= float(cell["tolerance"])


def test_3b_saves_what_b158_says_it_saves() -> None:
    """7.89 GB of LLaMA less 2.22 GB of BitNet b1.58 (arXiv 2402.17764, Table 1), 2 B to 2 bits."""
    weights = counts("bitnet-b1.58-3b").linear_weights
    saved = paper_memory_gb(weights, 16) - paper_memory_gb(weights, 2)
    assert saved == pytest.approx(7.89 - 2.22, rel=0.01)


def test_headline_ratio_melts_with_the_accumulator() -> None:
    assert matmul_ratio(PRICES["7"]) == pytest.approx(71.43, abs=0.01)
    assert matmul_ratio(PRICES["7"], "int32_add") == pytest.approx(16.67, abs=0.01)
    assert matmul_ratio(PRICES["45"]) == pytest.approx(50.0, abs=0.01)


def test_most_of_2b4t_is_attention() -> None:
    found, price = counts("bitnet-b1.58-2b-4t"), PRICES["7"]
    attention = found.attention * (price["fp16_add"] + price["fp16_mul"]) * 1e-12
    assert attention / paper_energy(found, price)["bitnet"].total_j == pytest.approx(0.72, abs=0.01)


def test_missing_price_is_an_error() -> None:
    prices = {k: v for k, v in PRICES["7"].items() if k != "int8_add"}
    with pytest.raises(UserError, match=r"missing published energy \(int8_add\)"):
        paper_energy(counts("opt-6.7b"), prices)


@pytest.mark.parametrize("node", ["7", "45"])
def test_table_of_a_shipped_technology_uses_the_papers_prices(node: str) -> None:
    config = load_network_config(HERE.parent / "models" / "bitnet-b1.58-2b-4t.yaml")
    technology = load_technology(f"{node}nm")
    table = paper_table(config, Workload(512, 4), "any", technology)
    energy = paper_energy(counts("bitnet-b1.58-2b-4t"), PRICES[node])["bitnet"]
    assert table["phases"]["prefill"]["bitnet"]["energy_j"] == pytest.approx(energy.total_j)
    assert table["phases"]["decode"]["tokens"] == 4
    assert table["memory_gb"]["ternary"] == pytest.approx(0.413, abs=0.001)
