"""The tables of docs/pes.md, computed from the shipped syntheses; ``--write`` puts them there.

Run from the root of a checkout: ``python benchmarks/pe_page.py --write``. Figures go to
``reports/pes``. Every table stands between ``<!-- figures:NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from readme_figures import replace

from accelsim import circuits
from accelsim.locate import TECHNOLOGIES, shipped
from accelsim.report.pe_table import markdown
from accelsim.report.write import write_pes
from accelsim.rtl.pe_rows import middle_pj, products_of, read_record

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURES = ROOT / "docs" / "pes.md", ROOT / "reports" / "pes"

Record = Mapping[str, Any]
RECORDS: dict[str, Record] = {
    name: read_record(shipped(TECHNOLOGIES) / "synthesised" / f"{name}.json")
    for name in ("asap7", "sky130")
}

# Energy of an operation at 7 nm, pJ: Jouppi et al., ISCA 2021, and Horowitz, ISSCC 2014, at 45 nm,
# both as BitNet (arXiv 2310.11453, Table 2) has them; int32 at 45 nm from PMC8934428, Table 3.
PUBLISHED_PJ = {
    "int_add.8": ("int8 addition", 0.03, 0.007),
    "int_add.32": ("int32 addition", 0.1, 0.03),
    "int_mul.8": ("int8 multiplication", 0.2, 0.07),
    "fp16_add": ("FP16 addition", 0.4, 0.16),
    "fp16_mul": ("FP16 multiplication", 1.1, 0.34),
    "fp32_add": ("FP32 addition", 0.9, 0.38),
    "fp32_mul": ("FP32 multiplication", 3.7, 1.31),
}
# um2 at 45 nm: Horowitz, ISSCC 2014; those of floats recalled, not read.
PUBLISHED_UM2 = {
    "int_add.8": 36, "int_add.32": 137, "int_mul.8": 282, "fp16_add": 1360, "fp16_mul": 1640,
    "fp32_add": 4184, "fp32_mul": 7700,
}  # fmt: skip
RATIOS = (
    ("int_add.32", "int_add.8"),
    ("int_mul.8", "int_add.8"),
    ("fp16_add", "int_add.8"),
    ("fp16_mul", "int_add.8"),
    ("fp16_mul", "fp16_add"),
    ("fp32_add", "fp16_add"),
    ("fp32_mul", "fp16_mul"),
)


def primitive(record: Record, name: str) -> Mapping[str, Any]:
    """Return an adder, multiplier or group of a record."""
    found: Mapping[str, Any] = next(e for e in record["primitives"] if e["name"] == name)
    return found


def energy(record: Record, name: str) -> float:
    """Return the middle of the energy of one result, pJ."""
    each = primitive(record, name)
    return float(each["low_pj"] + each["high_pj"]) / 2


def area(record: Record, name: str) -> float:
    """Return um2 of one result."""
    each = primitive(record, name)
    return float(each["area_um2"] / each["results"])


def pe(record: Record, name: str) -> Mapping[str, Any]:
    """Return a PE of a record."""
    found: Mapping[str, Any] = next(each for each in record["pes"] if each["name"] == name)
    return found


def pe_area(record: Record, name: str) -> float:
    """Return um2 of one product."""
    found = pe(record, name)
    return float(found["area_um2"]) / products_of(found)


def absolute() -> str:
    """Return energies at 7 nm beside the published ones."""
    lines = [
        "| operation | published, 7 nm (pJ) | asap7 (pJ) | asap7 / published |",
        "|---|--:|--:|--:|",
    ]
    for name, (words, _, published) in PUBLISHED_PJ.items():
        each = primitive(RECORDS["asap7"], name)
        ratio = energy(RECORDS["asap7"], name) / published
        lines.append(
            f"| {words} | {published:g} | {each['low_pj']:.3g} to {each['high_pj']:.3g} "
            f"| {ratio:.2f} |"
        )
    return "\n".join(lines)


def ratios() -> str:
    """Return ratios of operations, energy and area, published and synthesised."""
    lines = [
        "| ratio | energy, 45 nm | energy, 7 nm | energy, asap7 | energy, sky130 "
        "| area, 45 nm | area, asap7 | area, sky130 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for over, under in RATIOS:
        words, old, new = PUBLISHED_PJ[over]
        base, old_base, new_base = PUBLISHED_PJ[under]
        cells = [
            old / old_base,
            new / new_base,
            *(energy(record, over) / energy(record, under) for record in RECORDS.values()),
            PUBLISHED_UM2[over] / PUBLISHED_UM2[under],
            *(area(record, over) / area(record, under) for record in RECORDS.values()),
        ]
        numbers = " | ".join(f"{cell:.1f}" for cell in cells)
        lines.append(f"| {words} / {base} | {numbers} |")
    return "\n".join(lines)


def machines() -> str:
    """Return what papers say of whole PEs and tiles beside the nearest that is synthesised here."""

    def both(of: Callable[[Record], float], digits: str = ".2f") -> str:
        return ", ".join(f"{of(record):{digits}} ({name})" for name, record in RECORDS.items())

    rows = (
        (
            "FP16 multiply-add, pJ, 28 nm (BitMoD, HPCA 2025, its simulator)", "0.77",
            both(lambda r: middle_pj(pe(r, "fp16_fmac"), "dense")),
            "with an FP32 sum, its pipeline and a drain word",
        ),
        (
            "FP16 multiply-add, um2, 28 nm (the same)", "1969",
            both(lambda r: pe_area(r, "fp16_fmac"), ".0f"), "the same",
        ),
        (
            "multipliers / adders only, area of a tile, 16 nm, FP16 activations (LUT-DSE, arXiv "
            "2604.25183, Table IV)", f"{0.268 / 0.197:.2f}",
            both(lambda r: pe_area(r, "int8_mac_24") / pe_area(r, "ternary_add")),
            "int8 activations: an integer multiplier is not hidden behind a float's shifters",
        ),
        (
            "the same, sixteen products that share a sum", f"{0.268 / 0.197:.2f}",
            both(lambda r: pe_area(r, "int8_dot16") / pe_area(r, "ternary_dot16")),
            "registers of the sum shared",
        ),
        (
            "adders only / lookup tables, area (the same table)", f"{0.197 / 0.12:.2f}",
            both(lambda r: area(r, "shared_ternary.4") / area(r, "lut_group.16")),
            "four adders on a sum against three activations read by sixteen; int8: a table's "
            "flops cost as much as the adders that they save",
        ),
        (
            "FP16 multiply and add / int8 addition, energy, 7 nm (BitNet b1.58)", "71.4",
            both(lambda r: sum(energy(r, f"fp16_{of}") for of in ("mul", "add"))
                 / energy(r, "int_add.8")),
            "as the paper counts: no accumulator, no registers",
        ),
        (
            "the same, as PEs stand in an array", "-",
            both(lambda r: middle_pj(pe(r, "fp16_fmac")) / middle_pj(pe(r, "ternary_add"))),
            "both fed with the shipped network's operands",
        ),
        (
            "the same, sixteen products that share a sum", "-",
            both(lambda r: middle_pj(pe(r, "fp16_fused")) / middle_pj(pe(r, "ternary_dot16"))),
            "fused FP16 units against ternary adder trees",
        ),
    )  # fmt: skip
    head = "| what | published | here | note |\n|---|--:|--:|---|"
    return "\n".join([head, *(f"| {' | '.join(row)} |" for row in rows)])


def tables() -> dict[str, str]:
    """Return every table by the name of its place on the page."""
    return {
        "pes": markdown(circuits.picture()).rstrip("\n"),
        "absolute": absolute(),
        "ratios": ratios(),
        "machines": machines(),
    }


def main() -> None:
    """Print the tables, or write them and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/pes.md and reports/pes")
    write = parser.parse_args().write
    page = PAGE.read_text(encoding="utf-8")
    for name, table in tables().items():
        page = replace(page, name, table)
        if not write:
            print(f"{name}\n{table}\n")
    if write:
        PAGE.write_text(page, encoding="utf-8")
        write_pes(circuits.picture(), FIGURES)


if __name__ == "__main__":
    main()
