"""The one module that joins network, engine and report: what the command line and users call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim import locate
from accelsim.config import DesignConfig, load_design_config, override, validate
from accelsim.engine.compare import compare_results
from accelsim.engine.feasible import check_design
from accelsim.engine.mapping import FIXED, OBJECTIVES
from accelsim.engine.simulate import simulate
from accelsim.errors import UserError, did_you_mean
from accelsim.explore.rows import Row, is_row, read_row
from accelsim.formats import lookup_packing
from accelsim.hardware.columns import build_designs
from accelsim.hardware.pe import lookup_pe
from accelsim.hardware.technology import Technology, load_technology
from accelsim.manifest import build_manifest
from accelsim.papers import paper_quote, paper_table
from accelsim.result import Comparison, Result
from accelsim.sweeps import workload_request
from accelsim.workloads import Request, Source, open_source, shipped_profile

if TYPE_CHECKING:
    from accelsim.trace import Trace

Progress = Callable[[str], None]
# What a command ends with; a mapping is the papers' own table.
Outcome = Result | Comparison | dict[str, Any]


def _silent(text: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class LoadedDesign:
    """A validated design, where it came from, and its prices."""

    config: DesignConfig
    file: Path
    technology: Technology
    row: Row | None = None  # of a sweep, where it came from one


def load_design(name: str, assignments: Iterable[str] = ()) -> LoadedDesign:
    """Read a design by name or path.

    Args:
        name: A shipped design, a YAML file, or ``RESULT#ROW`` for a design of a sweep.
        assignments: ``path.to.key=value`` overrides.

    Raises:
        UserError: Unknown name, bad YAML, or a technology that does not exist.
    """
    row = read_row(name) if is_row(name) else None
    if row is not None:
        content = override(row.config.model_dump(mode="json"), assignments)
        path, config = row.file, validate(DesignConfig, content, name)
    else:
        path = locate.resolve(name, locate.DESIGNS, option="DESIGN")
        config = load_design_config(path, assignments)
    try:
        technology = load_technology(config.technology)
    except UserError as error:
        if error.file is not None:
            raise
        raise UserError(
            error.message, file=path, key="technology", value=error.value, allowed=error.allowed
        ) from error
    return LoadedDesign(config, path, technology, row)


def run(
    design: str,
    *,
    network: str | None = None,
    checkpoint: str | None = None,
    prompt: str | None = None,
    token_ids: str | None = None,
    text: Path | None = None,
    prefill: int | None = None,
    decode: int | None = None,
    batch: int = 1,
    seed: int = 0,
    accounting: str = "full",
    mapping: str | None = None,
    assignments: Iterable[str] = (),
    command: str | None = None,
    progress: Progress = _silent,
) -> Result | dict[str, Any]:
    """Run a workload on one design.

    Args:
        design: A shipped design or a YAML file; or ``RESULT#ROW``, a design of a sweep, which
            brings its workload.
        network: A network shape; counts are synthetic. Excludes ``checkpoint``.
        checkpoint: A folder with weights; by default the shipped network.
        prompt: Text to prefill; by default the shipped held-out slice.
        token_ids: The prompt as ``1,17,99``, for a checkpoint without a tokenizer.
        text: A text to score besides.
        prefill: Prompt positions; by default 256, or the whole ``prompt``.
        decode: Decode passes, by default 64.
        batch: Sequences.
        seed: Of synthetic counts.
        accounting: ``full``, or ``paper`` for the published formula.
        mapping: ``fixed``, or what a search of mappings minimises: ``latency``, ``energy`` or
            ``edp``; by default that of the sweep for ``RESULT#ROW``, else fixed.
        assignments: Overrides of the design.
        command: What the user typed, for the manifest.
        progress: Told what is going on.

    Returns:
        A Result, or with ``paper`` accounting its table.

    Raises:
        UserError: Anything in the input that does not fit.
    """
    loaded = load_design(design, assignments)
    request = Request(network, checkpoint, prompt, prefill, decode, batch, seed, text, token_ids)
    if loaded.row is not None:
        request = _request_of_row(loaded.row, design, request)
        mapping = mapping or str(loaded.row.workload["mapping"])
    source = open_source(request)
    if accounting == "paper":
        return paper_table(source.config, source.workload, loaded.config.name, loaded.technology)
    return _results([loaded], source, mapping, command, progress, own=True)[0]


def _request_of_row(row: Row, name: str, given: Request) -> Request:
    """Return the workload that a row of a sweep ran."""
    if given != Request():
        raise UserError("brings its own workload", file=name, allowed="allowed: no options of it")
    return workload_request(row.workload)


def compare(
    designs: Sequence[str],
    *,
    iso: str | None = None,
    accounting: str = "full",
    mapping: str | None = None,
    assignments: Iterable[str] = (),
    network: str | None = None,
    checkpoint: str | None = None,
    prompt: str | None = None,
    token_ids: str | None = None,
    prefill: int | None = None,
    decode: int | None = None,
    batch: int = 1,
    seed: int = 0,
    command: str | None = None,
    progress: Progress = _silent,
) -> Comparison:
    """Compare designs on one workload, the first as baseline; arguments as in ``run``.

    Raises:
        UserError: As ``run``; also fewer than two designs, two of one name, or ``iso``.
    """
    if iso is not None:
        raise UserError("is not supported yet", file="--iso", value=iso)
    if accounting != "full":
        raise UserError("compares full accounting only", file="--accounting", value=accounting)
    if len(designs) < 2:
        raise UserError(
            "needs a baseline and a candidate",
            file="compare",
            value=list(designs),
            allowed="two or more designs",
        )
    loaded = [load_design(name, assignments) for name in designs]
    _refuse_equal_names(loaded)
    source = open_source(
        Request(network, checkpoint, prompt, prefill, decode, batch, seed, token_ids=token_ids)
    )
    hybrids = [_hybrid(loaded[0], candidate) for candidate in loaded[1:]]
    results = _results([*loaded, *hybrids], source, mapping, command, progress)
    names = [candidate.config.name for candidate in loaded[1:]]
    return compare_results(
        results[: len(loaded)], dict(zip(names, results[len(loaded) :], strict=True))
    )


def _refuse_equal_names(loaded: Sequence[LoadedDesign]) -> None:
    seen: set[str] = set()
    for design in loaded:
        if design.config.name in seen:
            raise UserError(
                "two designs have one name",
                file=design.file,
                key="name",
                value=design.config.name,
                allowed="a name of its own for each",
            )
        seen.add(design.config.name)


def _hybrid(baseline: LoadedDesign, candidate: LoadedDesign) -> LoadedDesign:
    """Return the baseline's machine fed with the candidate's network form and packing."""
    other = candidate.config
    weights = other.weights
    packing = lookup_packing(weights.packing)
    if not packing.decoder and packing.name != lookup_pe(baseline.config.array.pe).weight:
        # A port format of the candidate's PE that the baseline cannot read: keep its own.
        weights = baseline.config.weights
    changed = baseline.config.model_copy(
        update={
            "name": f"{baseline.config.name} with the packing of {other.name}",
            "network_form": other.network_form,
            "weights": weights,
        }
    )
    return replace(baseline, config=changed)


def _results(
    loaded: Sequence[LoadedDesign],
    source: Source,
    mapping: str | None,
    command: str | None,
    progress: Progress,
    own: bool = False,
) -> list[Result]:
    """Run every design on the form of the network it asks for; one engine call per form.

    With ``own`` the workload of a design from a sweep is what that sweep ran.
    """
    mapping = _known_mapping(mapping or FIXED)
    traces: dict[str, Trace] = {}
    results: dict[int, Result] = {}
    forms = {source.form(design.config.network_form) for design in loaded}
    for form in sorted(forms):
        traces[form] = source.trace(form, progress)
        chosen = [i for i, d in enumerate(loaded) if source.form(d.config.network_form) == form]
        designs = build_designs(
            [loaded[i].config for i in chosen], [loaded[i].file for i in chosen]
        )
        for position, i in enumerate(chosen):
            check_design(designs, position, traces[form], loaded[i].technology, loaded[i].file)
        progress("counting cycles and energy")
        technologies = [loaded[i].technology for i in chosen]
        manifest = build_manifest(source, [loaded[i].file for i in chosen], command)
        for i, result in zip(
            chosen,
            simulate(traces[form], designs, technologies, source.notes(form), manifest, mapping),
            strict=True,
        ):
            results[i] = replace(
                result,
                notes=(*_changes(loaded[i], own, traces[form]), *result.notes),
                quality=source.quality(progress),
                paper=paper_quote(source.config, source.workload, loaded[i].technology),
            )
    return [results[i] for i in range(len(loaded))]


def _changes(loaded: LoadedDesign, own: bool, trace: Trace) -> list[str]:
    """Return a note where a design of a sweep meets other inputs than it was evaluated with."""
    if loaded.row is None:
        return []
    return loaded.row.changes(loaded.config, loaded.technology, trace if own else None)


def _known_mapping(name: str) -> str:
    known = (FIXED, *OBJECTIVES)
    if name not in known:
        raise UserError(
            "unknown mapping",
            file="--mapping",
            value=name,
            allowed=did_you_mean(name, known),
        )
    return name


def gemm(
    design: str,
    m: int,
    k: int,
    n: int,
    *,
    timing: str = "rtl",
    seed: int = 0,
    assignments: Iterable[str] = (),
) -> dict[str, Any]:
    """Return cycles, counts and energy of one GEMM from SRAM to SRAM, plain JSON.

    Args:
        design: A shipped design or a YAML file.
        m: Tokens.
        k: Reduction.
        n: Outputs.
        timing: ``rtl`` or ``scalesim``.
        seed: Of operand counts.
        assignments: Overrides of the design.

    Raises:
        UserError: Sizes out of range, or a design that does not fit.
    """
    from accelsim.engine.single import single_gemm
    from accelsim.functional.synthetic import synthetic_gemm

    loaded = load_design(design, assignments)
    trace = synthetic_gemm(m, k, n, loaded.config.network_form, shipped_profile(), seed)
    designs = build_designs([loaded.config], [loaded.file])
    check_design(designs, 0, trace, loaded.technology, loaded.file)
    return single_gemm(trace, designs, loaded.technology, timing)


def write_numbers(outcome: Outcome, folder: Path) -> None:
    """Write the numbers of an outcome; figures and page come with ``write_report``."""
    from accelsim.report import write

    if isinstance(outcome, dict):
        from accelsim.report.tables import json_text

        write.write_files(folder, {"summary.json": json_text(outcome).encode()})
    else:
        write.write_numbers(outcome, folder)


def write_report(outcome: Outcome, folder: Path) -> None:
    """Write page, figures and timeline of an outcome; the papers' table has none."""
    from accelsim.report import write

    if not isinstance(outcome, dict):
        write.write_report(outcome, folder)


def outcome_summary(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the stable JSON contract."""
    from accelsim.report.summary import compare_summary, summary

    if isinstance(outcome, dict):
        return outcome
    return summary(outcome) if isinstance(outcome, Result) else compare_summary(outcome)


def outcome_table(outcome: Outcome) -> Any:
    """Return an outcome as tables for a terminal."""
    from accelsim.report import terminal

    if isinstance(outcome, dict):
        return terminal.mapping_table(outcome)
    if isinstance(outcome, Result):
        return terminal.run_tables(outcome)
    return terminal.compare_tables(outcome)


def default_folder(outcome: Outcome) -> Path:
    """Return ``reports/<design>--<network>``, or the designs of a comparison joined by vs."""
    if isinstance(outcome, dict):
        return Path("reports") / f"{outcome['design']}--{outcome['network']}--paper"
    results = outcome.results if isinstance(outcome, Comparison) else (outcome,)
    designs = "-vs-".join(result.design for result in results)
    return Path("reports") / f"{designs[:120]}--{results[0].network}"
