"""The README's tables, computed: prints them, and with ``--write`` puts them into README.md.

Run from the root of a checkout: ``python benchmarks/readme_figures.py --write``. Every table stands
between ``<!-- figures:NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from accelsim import api
from accelsim.locate import NETWORKS, shipped
from accelsim.workloads import SHIPPED_NETWORK

README = Path(__file__).resolve().parent.parent / "README.md"
LARGE = {"network": "bitnet-b1.58-2b-4t", "prefill": 512, "decode": 128}
SHIPPED: dict[str, Any] = {}  # the default workload

# Baseline, candidate, and what a reader calls the baseline.
PAIRS = (
    ("bf16_dot_8x8x16", "ternary_dot_8x8x16", "BF16 dot-product units, same packed weights"),
    ("int8_dot_8x8x16", "ternary_dot_8x8x16", "INT8 dot-product units, same packed weights"),
    ("fp16_ws_32x32_packed", "ternary_ws_32x32", "FP16 systolic array, same packed weights"),
    ("fp16_ws_32x32_fp16weights", "ternary_ws_32x32", "the same array, weights stored as FP16"),
    ("fp16_ws_32x32_twin", "ternary_ws_32x32", "the same array running the FP16 twin"),
)
MACHINES = (
    "fp16_ws_32x32_twin",
    "fp16_ws_32x32_fp16weights",
    "fp16_ws_32x32_packed",
    "fp16_dot_8x8x16",
    "bf16_dot_8x8x16",
    "int8_dot_8x8x16",
    "ternary_os_32x32",
    "ternary_ws_32x32",
    "ternary_dot_8x8x16",
)


def gains(workload: dict[str, Any]) -> str:
    """Return what the ternary machine gains over each baseline, and why."""
    lines = [
        "| energy, against | prefill | format x arithmetic | decode | format x arithmetic |",
        "|---|---|---|---|---|",
    ]
    for baseline, candidate, words in PAIRS:
        content = api.outcome_summary(api.compare([baseline, candidate], **workload))
        cells = [cell for phase in ("prefill", "decode") for cell in _gain(content, phase)]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gain(content: dict[str, Any], phase: str) -> tuple[str, str]:
    (rows,) = content["waterfall"][phase].values()
    (gain,) = content["gain"].values()
    last, split = rows[-1], gain[phase]
    whole = f"**{last['ratio']:.2f}** ({last['ratio_low']:.2f} to {last['ratio_high']:.2f})"
    return whole, f"{split['format']:.2f} x {split['arithmetic']:.2f}"


def machines(workload: dict[str, Any]) -> str:
    """Return machines side by side."""
    lines = [
        "| machine | prefill tokens/s | decode tokens/s "
        "| prefill mJ/token | decode mJ/token | mm2 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for design in api.outcome_summary(api.compare(MACHINES, **workload))["designs"]:
        phases = design["phases"].values()
        rates = [f"{phase['tokens_per_second']:,.3g}" for phase in phases]
        energies = [_energy(phase) for phase in phases]
        area = f"{design['area_mm2']['total']:.2f}"
        lines.append(f"| `{design['design']}` | " + " | ".join([*rates, *energies, area]) + " |")
    return "\n".join(lines)


def _energy(phase: dict[str, Any]) -> str:
    scale = 1e3 / phase["tokens"]
    value, low, high = (phase[f"energy_j{end}"] * scale for end in ("", "_low", "_high"))
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def training(results: dict[str, Any]) -> str:
    """Return what ternary training costs, as the recipe's own results state it."""
    summary, lzma = results["summary"], results["lzma"]["austen"]
    rows = (
        ("ternary from the start", summary["ternary"]["austen"]),
        ("FP16 twin", summary["twin"]["austen"]),
        ("the twin with int8 activations", summary["twin_activations_only"]["austen"]),
        ("the twin made ternary after training", summary["twin_ternarised"]["austen"]),
    )
    lines = ["| bits per character, Northanger Abbey | mean | lowest to highest | runs |"]
    lines.append("|---|--:|--:|--:|")
    for words, row in rows:
        spread = f"{row['lowest']:.4f} to {row['highest']:.4f}"
        lines.append(f"| {words} | {row['mean']:.4f} | {spread} | {row['runs']} |")
    lines.append(f"| lzma, given the training text | {lzma['given_training_text']:.4f} | | |")
    lines.append(f"| lzma alone | {lzma['alone']:.4f} | | |")
    return "\n".join([*lines, "", _verdict(rows[0][1], rows[1][1])])


def _verdict(ternary: dict[str, float], twin: dict[str, float]) -> str:
    """Return whether the sides differ: overlapping intervals are called equal."""
    if ternary["lowest"] <= twin["highest"] and twin["lowest"] <= ternary["highest"]:
        return "The intervals of ternary and twin overlap: equal."
    apart = ternary["mean"] - twin["mean"]
    better, worse = ("twin", "ternary network") if apart > 0 else ("ternary network", "twin")
    share = abs(apart) / twin["mean"]
    return (
        f"The intervals do not overlap: the {worse} is {abs(apart):.3f} bits ({share:.1%}) behind "
        f"the {better}."
    )


def tables() -> dict[str, str]:
    """Return every table by the name of its place in the README."""
    found = {"gain-2b4t": gains(LARGE), "machines-2b4t": machines(LARGE)}
    results = shipped(NETWORKS) / SHIPPED_NETWORK / "results.json"
    found["gain-shipped"] = gains(SHIPPED)
    found["training"] = training(json.loads(results.read_text(encoding="utf-8")))
    return found


def replace(page: str, name: str, table: str) -> str:
    """Return ``page`` with the named table in its place."""
    pattern = rf"(<!-- figures:{name} -->\n).*?(<!-- end -->)"
    changed, count = re.subn(pattern, lambda m: f"{m[1]}{table}\n{m[2]}", page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"README.md has {count} places for {name}")
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    write = parser.parse_args().write
    found = tables()
    for name, table in found.items():
        print(f"{name}\n\n{table}\n")
    if write:
        page = README.read_text(encoding="utf-8")
        for name, table in found.items():
            page = replace(page, name, table)
        README.write_text(page, encoding="utf-8")
    print(json.dumps({"tables": sorted(found), "written": write}))


if __name__ == "__main__":
    main()
