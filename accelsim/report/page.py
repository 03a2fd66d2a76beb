"""One self-contained page per run or comparison: no script, font or picture from elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup

from accelsim.report.mappings import mapping_note, mapping_text
from accelsim.report.palette import CAUSE_FILLS, COMPONENT_FILLS, HOW_FILLS, PALETTE, Fill
from accelsim.report.quantities import (
    MISSING,
    digits,
    interval,
    operator_name,
    percent,
    plain_name,
    quantity,
    times,
)
from accelsim.report.render import render
from accelsim.report.summary import (
    JOULES_PER_PJ,
    MM2_PER_UM2,
    compare_summary,
    plain,
    price_share,
    ratio,
    reader_notes,
    summary,
    utilisation,
)
from accelsim.report.tables import json_text, prices
from accelsim.report.words import WORDS
from accelsim.result import CAUSES, MARKED_HOWS, PHASES, Comparison, Result

Context = dict[str, Any]
VARIABLES = {colour: name for name, colour in PALETTE.items()}
SMALLEST_PART = 0.02  # parts of a headline bar below it are merged


def page(result: Result, pictures: Iterable[Context]) -> str:
    """Return the page of one run.

    Args:
        result: What it is about.
        pictures: name, title, caption and svg (an element, from ``style.inline``) of each figure.
    """
    content = summary(result)
    ran = _ran([content])
    context = {
        **_shared([result], pictures),
        "result": result,
        "chips": [*_machine(result), *_workload(result)],
        "phases": [_phase_card(name, content["phases"][name]) for name in ran],
        "quality": content.get("quality"),
        "paper": _flat(result.paper or {}),
        "component_rows": _component_rows(content, ran),
        "uncertainty": _uncertainty(result, ran),
        "cycle_rows": _cycle_rows(content, ran),
        "area_total": content["area_mm2"]["total"],
        "areas": _areas(result),
        "evidence": _evidence(content),
        "weak": sum(content["price_share"][how] for how in MARKED_HOWS),
        "operators": _operators(result),
        "mapping_note": mapping_note(result),
        "command": _command([result]),
        "design_yaml": _yaml(result),
        "manifest": json_text(result.manifest),
    }
    return render("run.html.j2", context)


def compare_page(comparison: Comparison, pictures: Iterable[Context]) -> str:
    """Return the page of a comparison; arguments as for ``page``."""
    content = compare_summary(comparison)
    results = comparison.results
    ran = _ran(content["designs"])
    shared = _shared(results, pictures)
    context = {
        **shared,
        "names": [result.design for result in results],
        "network": ", ".join(dict.fromkeys(result.network for result in results)),
        "chips": _workload(results[0]),
        "gains": [_gain(name, gain, ran) for name, gain in content["gain"].items()],
        "side": _side_by_side(content["designs"], ran),
        "waterfalls": list(_waterfalls(content, ran, shared["pictures"])),
        "papers": [(r.design, key, value) for r in results for key, value in _flat(r.paper or {})],
        "evidence": [(d["design"], _evidence(d)) for d in content["designs"]],
        "command": _command(results),
        "design_yamls": [(result.design, _yaml(result)) for result in results],
    }
    return render("compare.html.j2", context)


def _shared(results: Sequence[Result], pictures: Iterable[Context]) -> Context:
    version = results[0].manifest.get("accelsim", "")
    return {
        "marked_hows": MARKED_HOWS,
        "notes": [*_weak_notes(results), *reader_notes(results)],
        "pictures": {p["name"]: {**p, "svg": Markup(p["svg"])} for p in pictures},
        "prices": _price_rows(results),
        "words": WORDS,
        "footer": f"accelsim {version}, full accounting. Numbers: the JSON and CSV files beside "
        "this page. Timeline: open timeline.json in a trace viewer.",
    }


def _weak_notes(results: Sequence[Result]) -> Iterator[str]:
    """Yield one sentence for each design whose energy rests on weak evidence."""
    for result in results:
        shares = price_share(result)
        weak = sum(shares[how] for how in MARKED_HOWS)
        if weak < SMALLEST_PART:
            continue
        rows = [row for row in _price_rows([result]) if row["price"].how in MARKED_HOWS]
        price, share = rows[0]["price"], rows[0]["share"]
        lead = f"{result.design}: " if len(results) > 1 else ""
        yield (
            f"{lead}{percent(weak)} of the energy rests on prices that are composed, extrapolated "
            f"or unverified, {percent(share)} on {price.name} alone ({price.how})."
        )


def _ran(designs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in PHASES if any(d["phases"][name]["tokens"] for d in designs)]


def _machine(result: Result) -> list[str]:
    return [f"{result.technology}, {result.node_nm:g} nm", f"{result.clock_mhz:g} MHz"]


def _workload(result: Result) -> list[str]:
    w, source = result.workload, result.weights
    tokens = f"prefill {w['prefill']}, decode {w['decode']}, batch {w['batch']}"
    if source.get("kind") == "synthetic":
        return [tokens, f"synthetic operands, profile {source.get('profile')}"]
    return [tokens, f"weights: {source.get('source')}"]


def _phase_card(name: str, phase: Context) -> Context:
    energy, cycles = phase["energy_j"], phase["cycles"]
    return {
        **phase,
        "name": name,
        "low": ratio(phase["energy_j_low"], phase["tokens"]),
        "high": ratio(phase["energy_j_high"], phase["tokens"]),
        "components": _parts(phase["energy_by_component"], energy, COMPONENT_FILLS),
        "causes": _parts(phase["cycles_by_cause"], cycles, CAUSE_FILLS),
    }


def _parts(values: Mapping[str, float], whole: float, fills: Mapping[str, Fill]) -> list[Context]:
    """Return name, share and colour of each part of a bar, largest first, the smallest merged."""
    shares = {name: ratio(value, whole) or 0.0 for name, value in values.items()}
    large = {name: share for name, share in shares.items() if share >= SMALLEST_PART}
    parts = [
        {"name": plain_name(name), "share": share, "colour": VARIABLES[fills[name].colour]}
        for name, share in sorted(large.items(), key=lambda part: -part[1])
    ]
    rest = sum(shares.values()) - sum(large.values())
    if rest > 0:
        parts.append({"name": "other", "share": rest, "colour": "grid"})
    return parts


def _evidence(content: Mapping[str, Any]) -> list[Context]:
    return [
        {"name": how, "share": share, "colour": VARIABLES[HOW_FILLS[how].colour]}
        for how, share in content["price_share"].items()
        if share
    ]


def _component_rows(content: Context, ran: Sequence[str]) -> list[Context]:
    phases = [content["phases"][name] for name in ran]
    rows = []
    for component in phases[0]["energy_by_component"]:
        joules = [phase["energy_by_component"][component] for phase in phases]
        cells = [
            {"joules": ratio(part, phase["tokens"]), "share": ratio(part, phase["energy_j"])}
            for part, phase in zip(joules, phases, strict=True)
        ]
        rows.append({"name": plain_name(component), "cells": cells})
    return rows


def _uncertainty(result: Result, ran: Sequence[str]) -> list[Context]:
    """Return each cause: its share, and energy per token with its prices at low and at high."""
    phases = [result.phases[PHASES.index(name)] for name in ran]
    rows: list[Context] = []
    for cause in dict.fromkeys(name for phase in phases for name in phase.causes_pj):
        cells = []
        for phase in phases:
            whole = float(phase.energy_pj.sum())
            value, low, high = phase.causes_pj.get(cause, (0.0, 0.0, 0.0))
            scale = JOULES_PER_PJ / phase.tokens
            ends = {"low": (whole - value + low) * scale, "high": (whole - value + high) * scale}
            cells.append({"share": ratio(value, whole), **ends})
        rows.append({"name": cause, "cells": cells})
    rows.sort(key=lambda row: -max(cell["high"] - cell["low"] for cell in row["cells"]))
    return rows


def _cycle_rows(content: Context, ran: Sequence[str]) -> list[Context]:
    phases = [content["phases"][name] for name in ran]
    rows: list[Context] = [
        {
            "name": plain_name(cause),
            "cells": [
                f"{quantity(p['cycles_by_cause'][cause])} "
                f"({percent(ratio(p['cycles_by_cause'][cause], p['cycles']))})"
                for p in phases
            ],
        }
        for cause in CAUSES
    ]
    rows.append({"name": "all cycles", "cells": [quantity(p["cycles"]) for p in phases]})
    for name in ("mapping", "compute", "overall"):
        cells = [percent(p["utilisation"][name]) for p in phases]
        rows.append({"name": f"{name} utilisation", "cells": cells})
    return rows


def _areas(result: Result) -> list[Context]:
    return [
        {
            "component": row.component,
            "part": row.part,
            "count": row.count,
            "mm2": row.area_um2 * MM2_PER_UM2,
            "low": row.low_um2 * MM2_PER_UM2,
            "high": row.high_um2 * MM2_PER_UM2,
            "how": row.price.how,
        }
        for row in sorted(result.area, key=lambda row: -row.area_um2)
    ]


def _price_rows(results: Sequence[Result]) -> list[Context]:
    """Return every price with its share of the energy of all results, largest first."""
    energy = {price: 0.0 for result in results for price in prices(result)}
    charged = set()
    for result in results:
        for charge in result.charges:
            energy[charge.price] += charge.energy_pj
            charged.add(charge.price)
    whole = sum(energy.values()) or 1.0
    rows: list[Context] = [
        {"price": price, "share": spent / whole, "energy": price in charged}
        for price, spent in energy.items()
    ]
    rows.sort(key=lambda row: (-row["share"], row["price"].name))
    return rows


def _operators(result: Result) -> list[Context]:
    return [
        {
            "name": operator_name(row.name),
            "phase": PHASES[row.phase],
            "shape": f"{row.m:,} × {row.k:,} × {row.n:,}",
            "size": row.m * row.k * row.n,
            "instances": row.instances,
            "cycles": row.total_cycles,
            "ideal": utilisation(row.cycles)["overall"],
            "bound": row.bound,
            "dram_bytes": row.dram_bytes,
            "joules": float(row.energy_pj.sum()) * JOULES_PER_PJ,
            "mapping": mapping_text(row.mapping),
            "gain": ratio(row.fixed_cycles or row.total_cycles, row.total_cycles),
        }
        for row in result.operators
    ]


def _gain(candidate: str, gain: Context, ran: Sequence[str]) -> Context:
    phases = [{"name": name, **gain[name]} for name in ran]
    whole = gain["total"]
    inverse = times(1 / whole) if whole else MISSING
    verdict = f"needs {inverse} the energy of the baseline" if whole is None or whole < 1 else ""
    return {"candidate": candidate, **gain, "phases": phases, "verdict": verdict}


def _side_by_side(designs: Sequence[Context], ran: Sequence[str]) -> Iterator[Context]:
    blank = ["" for _ in designs]
    yield {"name": "machine", "group": True, "cells": blank}
    yield {"name": "technology", "group": False, "cells": [d["technology"] for d in designs]}
    yield {"name": "clock", "group": False, "cells": [f"{d['clock_mhz']:g} MHz" for d in designs]}
    areas = [f"{digits(d['area_mm2']['total'])} mm²" for d in designs]
    yield {"name": "area", "group": False, "cells": areas}
    for name in ran:
        phases = [design["phases"][name] for design in designs]
        yield {"name": name, "group": True, "cells": blank}
        yield from _phase_rows(phases)


def _phase_rows(phases: Sequence[Context]) -> Iterator[Context]:
    first = phases[0]["energy_j_per_token"]
    cells = {
        "tokens/s": [quantity(p["tokens_per_second"]) for p in phases],
        "energy per token": [quantity(p["energy_j_per_token"], "J") for p in phases],
        "low to high": [
            interval(
                ratio(p["energy_j_low"], p["tokens"]), ratio(p["energy_j_high"], p["tokens"]), "J"
            )
            for p in phases
        ],
        "baseline energy over this": [
            times(ratio(first or 0.0, p["energy_j_per_token"] or 0.0)) for p in phases
        ],
        "average power": [quantity(p["average_power_w"], "W") for p in phases],
        "bound": [p["bound"] or "" for p in phases],
        "overall utilisation": [percent(p["utilisation"]["overall"]) for p in phases],
        "DRAM per token": [quantity(ratio(p["dram_bytes"], p["tokens"]), "B") for p in phases],
    }
    for name, row in cells.items():
        yield {"name": name, "group": False, "cells": row}


def _waterfalls(
    content: Context, ran: Sequence[str], pictures: Mapping[str, Context]
) -> Iterator[Context]:
    by_phase = {name: content["waterfall"].get(name, {}) for name in ran}
    tokens = {name: content["designs"][0]["phases"][name]["tokens"] for name in ran}
    candidates = list(dict.fromkeys(c for rows in by_phase.values() for c in rows))
    for index, candidate in enumerate(candidates, start=1):
        phases = [name for name in ran if candidate in by_phase[name]]
        lines = zip(*(by_phase[name][candidate] for name in phases), strict=True)
        rows = [
            {
                "step": line[0]["step"],
                "cells": [_waterfall_cell(r, tokens[n]) for r, n in zip(line, phases, strict=True)],
            }
            for line in lines
        ]
        picture = pictures["waterfall" if len(candidates) == 1 else f"waterfall_{index}"]
        yield {"candidate": candidate, "phases": phases, "rows": rows, "picture": picture}


def _waterfall_cell(row: Context, tokens: int) -> Context:
    return {
        "baseline": ratio(row["baseline_j"], tokens),
        "candidate": ratio(row["candidate_j"], tokens),
        "ratio": row["ratio"],
        "low": row["ratio_low"],
        "high": row["ratio_high"],
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the leaves of ``tree`` as words: path and value."""
    leaves: list[tuple[str, str]] = []
    for key, value in tree.items():
        path = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            leaves += _flat(value, f"{path}, ")
        else:
            leaves.append((path, digits(value) if isinstance(value, float) else str(value)))
    return leaves


def _command(results: Sequence[Result]) -> str:
    """Return the command that repeats the run: as it was given, else put together."""
    first = results[0]
    given = first.manifest.get("command")
    if given:
        return given if isinstance(given, str) else shlex.join(map(str, given))
    shapes = first.weights.get("kind") == "synthetic"
    words = ["accelsim", "run" if len(results) == 1 else "compare"]
    words += [f"{result.design}.yaml" for result in results]
    words += ["--network" if shapes else "--checkpoint", first.network]
    words += ["--mapping", first.mapping] if first.mapping != "fixed" else []
    for key in ("prefill", "decode", "batch"):
        words += [f"--{key}", str(first.workload[key])]
    if "seed" in first.manifest:
        words += ["--seed", str(first.manifest["seed"])]
    return shlex.join(words)


def _yaml(result: Result) -> str:
    return yaml.safe_dump(plain(result.design_config), sort_keys=False, allow_unicode=True)
