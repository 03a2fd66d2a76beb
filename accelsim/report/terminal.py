"""What the terminal shows: rich renderables, printed by the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from accelsim.report.quantities import (
    digits,
    interval,
    percent,
    plain_name,
    quantity,
    span,
    times,
)
from accelsim.report.summary import JOULES_PER_PJ, compare_summary, ratio, reader_notes, summary
from accelsim.result import CAUSES, MARKED_HOWS, PHASES, Comparison, Result

BAR_WIDTH = 16
SMALLEST_SHARE = 0.005  # components below it in every phase share a line
Row = tuple[str, ...]


def run_tables(result: Result) -> RenderableType:
    """Return the headline of one run: rates, bound, cycles, energy, evidence, notes."""
    content = summary(result)
    phases = _ran(content)
    parts: list[RenderableType] = [_headline(result), _rates(phases), _cycles(phases)]
    parts.append(_energy(phases))
    if "quality" in content:
        parts.append(_quality(content["quality"]))
    return spaced([*parts, _evidence(content), _notes([result])])


def compare_tables(comparison: Comparison) -> RenderableType:
    """Return designs side by side, the waterfall of each candidate, and the gains."""
    content = compare_summary(comparison)
    parts: list[RenderableType] = [_designs(content["designs"])]
    candidates = list(dict.fromkeys(n for by in content["waterfall"].values() for n in by))
    parts += [_waterfall(content["waterfall"], name) for name in candidates]
    if content["gain"]:
        parts.append(_gains(content["gain"]))
    parts += [_evidence(design, design["design"]) for design in content["designs"]]
    return spaced([*parts, _notes(comparison.results)])


def gemm_table(gemm: Mapping[str, Any]) -> RenderableType:
    """Return one GEMM, as ``gemm --json`` holds it: cycles, split, counts, energy."""
    cycles = int(gemm["cycles"])
    head = Table.grid(padding=(0, 2))
    head.add_row("GEMM", f"{gemm['m']} x {gemm['k']} x {gemm['n']} (m x k x n)")
    head.add_row("cycles", f"{cycles:,} in {gemm['folds']:,} folds")
    for name, share in gemm["utilisation"].items():
        head.add_row(f"{name} utilisation", percent(share))
    if gemm["energy_pj"] is not None:
        head.add_row("energy", _gemm_energy(gemm))
    split = titled_table("cycles", ("", "cycles", "share", ""))
    for cause, value in gemm["cycles_by_cause"].items():
        add_row(split, (plain_name(cause), f"{value:,}", *_share(value, cycles)))
    counts = titled_table("counts", ("", "count"))
    for name, value in gemm["counts"].items():
        add_row(counts, (plain_name(name), f"{value:,}"))
    energy = titled_table("energy", ("", "energy", "share", ""))
    for name, picojoules in (gemm["energy_by_component_pj"] or {}).items():
        if picojoules:
            joules = quantity(picojoules * JOULES_PER_PJ, "J")
            add_row(energy, (plain_name(name), joules, *_share(picojoules, gemm["energy_pj"])))
    return spaced([head, split, counts, *([energy] if energy.row_count else [])])


def _gemm_energy(gemm: Mapping[str, Any]) -> str:
    text = quantity(gemm["energy_pj"] * JOULES_PER_PJ, "J")
    if "energy_low_pj" not in gemm:
        return text
    ends = (gemm["energy_low_pj"] * JOULES_PER_PJ, gemm["energy_high_pj"] * JOULES_PER_PJ)
    return f"{text} ({interval(*ends, 'J')})"


def infer_table(result: Mapping[str, Any]) -> RenderableType:
    """Return what the functional model said: the new text or tokens, and the quality."""
    emulation = result.get("emulation", {})
    parts: list[RenderableType] = []
    if "tokens" in result:
        parts.append(_said(result))
    if "quality" in result:
        parts.append(_quality(result["quality"]))
    if emulation:
        parts += _emulation(emulation)
    source = f"{result['checkpoint']}, sha256 {result['sha256'][:16]}"
    return spaced([*parts, Text(source, style="dim")])


def _said(generated: Mapping[str, Any]) -> Text:
    text = generated["text"]
    return Text(" ".join(map(str, generated["tokens"])) if text is None else text)


def _emulation(emulation: Mapping[str, Any]) -> list[RenderableType]:
    """Return the narrow network's side and, linear by linear, where it comes from."""
    parts: list[RenderableType] = [Text(f"as {emulation['arithmetic']}:", style="bold")]
    if "prompt" in emulation:
        prompt = emulation["prompt"]
        first = prompt["first_difference"]
        new = "the same new tokens" if first is None else f"new tokens differ from number {first}"
        parts += [_said(prompt), Text(f"{_changed(prompt, 'prompt')}\n{new}")]
    if "text" in emulation:
        text = emulation["text"]
        parts += [_quality(text["quality"]), Text(_changed(text, "text"))]
    columns = ("", "sums", "differ", "", "RMS error", "largest", "bits", "on the way", "bits")
    table = titled_table("ternary linears, given the exact inputs", columns)
    for kind, row in emulation["linears"].items():
        cells = (
            f"{row['outputs']:,}",
            f"{row['differing']:,}",
            percent(ratio(row["differing"], row["outputs"])),
            percent(row["relative_rms_error"]),
            f"{row['largest_sum']:,}",
            str(row["sum_bits"]),
            f"{row['largest_prefix']:,}",
            str(row["prefix_bits"]),
        )
        add_row(table, (plain_name(kind), *cells))
    return [*parts, table]


def _changed(side: Mapping[str, Any], where: str) -> str:
    changed, positions = side["changed"], side["positions"]
    share = percent(ratio(changed, positions))
    return f"{changed:,} of {positions:,} {where} positions change their likeliest token ({share})"


def listing_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return plain rows as a table; numbers stand to the right."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        numbers = all(isinstance(row.get(column, 0), int | float) for row in rows)
        table.add_column(
            escape(plain_name(column)),
            justify="right" if numbers else "left",
            no_wrap=column == "name",  # what is typed is never cut
            min_width=max(len(f"{row['name']}") for row in rows) if column == "name" else None,
        )
    for row in rows:
        add_row(table, tuple(_cell(row.get(column)) for column in columns))
    return table


def mapping_table(mapping: Mapping[str, Any]) -> RenderableType:
    """Return a nested mapping as lines of key and value."""
    table = Table.grid(padding=(0, 2))
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            table.add_row(escape(plain_name(str(key))), mapping_table(value))
        else:
            table.add_row(escape(plain_name(str(key))), escape(_cell(value)))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return digits(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _headline(result: Result) -> Text:
    workload = result.workload
    text = Text()
    text.append(result.design, style="bold")
    text.append(f" on {result.network}\n")
    text.append(
        f"{result.technology} ({result.node_nm:g} nm), {result.clock_mhz:g} MHz, "
        f"prefill {workload['prefill']}, decode {workload['decode']}, batch {workload['batch']}",
        style="dim",
    )
    return text


def _ran(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: phase for name, phase in content["phases"].items() if phase["tokens"]}


def _rates(phases: Mapping[str, Any]) -> Table:
    table = titled_table("", ("", *phases))
    for name, cell in RATE_ROWS:
        add_row(table, (name, *(cell(phase) for phase in phases.values())))
    return table


def _per_token(phase: Mapping[str, Any], key: str) -> float | None:
    return ratio(phase[key], phase["tokens"])


def _energy_interval(phase: Mapping[str, Any]) -> str:
    return interval(_per_token(phase, "energy_j_low"), _per_token(phase, "energy_j_high"), "J")


RATE_ROWS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("tokens", lambda p: f"{p['tokens']:,}"),
    ("tokens/s", lambda p: quantity(p["tokens_per_second"])),
    ("energy per token", lambda p: quantity(p["energy_j_per_token"], "J")),
    ("  low to high", _energy_interval),
    ("average power", lambda p: quantity(p["average_power_w"], "W")),
    ("bound", lambda p: p["bound"] or ""),
    ("DRAM per token", lambda p: quantity(_per_token(p, "dram_bytes"), "B")),
    ("mapping utilisation", lambda p: percent(p["utilisation"]["mapping"])),
    ("compute utilisation", lambda p: percent(p["utilisation"]["compute"])),
    ("overall utilisation", lambda p: percent(p["utilisation"]["overall"])),
)


def _cycles(phases: Mapping[str, Any]) -> Table:
    table = titled_table("cycles", ("", *(c for phase in phases for c in (phase, ""))))
    for cause in CAUSES:
        cells = [_share(p["cycles_by_cause"][cause], p["cycles"]) for p in phases.values()]
        add_row(table, (plain_name(cause), *(c for pair in cells for c in pair)))
    return table


def _energy(phases: Mapping[str, Any]) -> Table:
    """Return joules per token by component; the smallest share the last line."""
    table = titled_table(
        "energy per token", ("", *(c for phase in phases for c in (phase, "", "")))
    )
    energies = [phase["energy_by_component"] for phase in phases.values()]
    rows = {name: [energy[name] for energy in energies] for name in energies[0]}
    wholes = [phase["energy_j"] for phase in phases.values()]
    large = [n for n, row in rows.items() if _matters(row, wholes)]
    small = [n for n in rows if n not in large and any(rows[n])]
    lines = [(plain_name(name), rows[name]) for name in large]
    if small:
        lines.append(
            (f"{len(small)} others", [sum(c) for c in zip(*(rows[n] for n in small), strict=True)])
        )
    for name, row in lines:
        cells = []
        for joules, phase in zip(row, phases.values(), strict=True):
            cells += [quantity(joules / phase["tokens"], "J"), *_share(joules, phase["energy_j"])]
        add_row(table, (name, *cells))
    return table


def _matters(row: Sequence[float], wholes: Sequence[float]) -> bool:
    return any(
        joules >= SMALLEST_SHARE * whole > 0 for joules, whole in zip(row, wholes, strict=True)
    )


def _quality(quality: Mapping[str, Any]) -> Text:
    return Text(
        f"perplexity {quality['perplexity']:.4g}, {quality['bits_per_character']:.4g} bits per "
        f"character over {quality['tokens']:,} tokens"
    )


def _evidence(content: Mapping[str, Any], name: str = "") -> Text:
    """Return where the prices come from; weak evidence is marked."""
    lead = f"evidence, by energy ({name}): " if name else "evidence, by energy: "
    text = Text(lead)
    shares = [(how, share) for how, share in content["price_share"].items() if share]
    for index, (how, share) in enumerate(shares):
        weak = how in MARKED_HOWS
        comma = ", " if index else ""
        text.append(f"{comma}{'! ' if weak else ''}{how} {percent(share)}",
                    style="yellow" if weak else "")  # fmt: skip
    return text


def _notes(results: Sequence[Result]) -> Text:
    return Text("\n".join(f"note: {note}" for note in reader_notes(results)), style="yellow")


def _designs(designs: Sequence[Mapping[str, Any]]) -> Table:
    table = titled_table("", ("", *(design["design"] for design in designs)))
    for phase in PHASES:
        rows = [design["phases"][phase] for design in designs]
        if not any(row["tokens"] for row in rows):
            continue
        add_row(table, (f"[bold]{phase}[/bold]", *("" for _ in rows)), plain=False)
        for name, cell in RATE_ROWS[1:]:
            add_row(table, (name, *(cell(row) for row in rows)))
        energies = [row["energy_j_per_token"] for row in rows]
        ratios = [times(ratio(energies[0] or 0.0, energy or 0.0)) for energy in energies]
        add_row(table, ("baseline energy over this", *ratios))
    areas = [f"{design['area_mm2']['total']:.3g} mm²" for design in designs]
    add_row(table, ("area", *areas))
    return table


def _waterfall(waterfall: Mapping[str, Any], candidate: str) -> Table:
    by_phase = {phase: rows[candidate] for phase, rows in waterfall.items() if rows.get(candidate)}
    columns = [f"{phase}: ratio so far" for phase in by_phase]
    table = titled_table(
        f"waterfall: {candidate}", ("", *(c for name in columns for c in (name, "")))
    )
    for lines in zip(*by_phase.values(), strict=True):
        cells = [
            cell
            for row in lines
            for cell in (times(row["ratio"]), span(row["ratio_low"], row["ratio_high"]))
        ]
        add_row(table, (lines[0]["step"], *cells))
    return table


def _gains(gains: Mapping[str, Any]) -> Table:
    table = titled_table("gain in energy", ("", "", "format", "arithmetic", "total"))
    for candidate, gain in gains.items():
        for name, split in (("workload", gain), *((phase, gain[phase]) for phase in PHASES)):
            cells = [times(split[key]) for key in ("format", "arithmetic", "total")]
            add_row(table, (candidate if name == "workload" else "", name, *cells))
    return table


def spaced(parts: Sequence[RenderableType]) -> RenderableType:
    """Return the parts below each other, an empty line after each."""
    return Group(*(line for part in parts for line in (part, "")))


def titled_table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table; all named columns but the first stand to the right."""
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if index == 0 or not column else "right")
    return table


def add_row(table: Table, cells: Row, plain: bool = True) -> None:
    """Add a line; ``plain`` cells mean what they say, others may hold markup."""
    table.add_row(*(escape(cell) if plain else cell for cell in cells))


def _share(part: float, whole: float) -> tuple[str, str]:
    """Return the share as text and as a bar."""
    share = ratio(part, whole)
    return percent(share), "█" * round(BAR_WIDTH * (share or 0.0))
