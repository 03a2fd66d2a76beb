"""The command line: parse, call the api, print; `printing` and `progress` alone print besides.

Importing this module loads click and nothing heavy, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from accelsim import __version__
from accelsim.errors import UserError
from accelsim.printing import LISTING_WIDTH, console, deliver, print_result
from accelsim.progress import Progress

DIFFERENT = 1
USER_ERROR = 2
INTERRUPTED = 130


class _Group(click.Group):
    """A group whose commands end with one line and code 2 where the user erred."""

    given: tuple[str, ...] = ()

    def main(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            self.given = tuple(sys.argv[1:] if args is None else args)
            sys.exit(super().main(list(self.given), *rest, **kwargs) or 0)
        except UserError as error:
            _complain(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(0)
        except click.UsageError as error:
            place = error.ctx.command_path if error.ctx else "accelsim"
            _complain(f"{place}: {' '.join(error.format_message().split())}")
        except (click.Abort, KeyboardInterrupt):
            click.echo("stopped", err=True)
            sys.exit(INTERRUPTED)


def _complain(line: str) -> None:
    click.echo(line, err=True)
    sys.exit(USER_ERROR)


def _options(*decorators: Callable[..., Any]) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


_WORKLOAD = _options(
    click.option(
        "--network", metavar="NAME|YAML", help="Shapes without weights; synthetic counts."
    ),
    click.option(
        "--checkpoint", metavar="DIR|GGUF", help="A network with its weights: HF layout or GGUF."
    ),
    click.option(
        "--prompt", metavar="TEXT", help="Prefill this text instead of the shipped slice."
    ),
    click.option("--token-ids", metavar="1,17,99", help="The prompt as token ids."),
    click.option("--prefill", type=int, help="Prompt positions.  [default: 256]"),
    click.option("--decode", type=int, help="Decode passes.  [default: 64]"),
    click.option("--batch", type=int, default=1, show_default=True, help="Sequences."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of synthetic counts."),
)
_OUTPUT = _options(
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a field of the design, array.rows=16 for instance.",
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where to write.  [default: reports/<design>--<network>]",
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else."
    ),
    click.option("--no-report", is_flag=True, help="Numbers only, no figures and no page."),
)
_ACCOUNTING = click.option(
    "--accounting",
    type=click.Choice(["full", "paper"]),
    default="full",
    show_default=True,
    help="full counts everything; paper is the published formula, arithmetic only.",
)


_MAPPING = click.option(
    "--mapping",
    type=click.Choice(["fixed", "latency", "energy", "edp"]),
    help="Search the mapping of each operator for the least of this.  [default: fixed]",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="accelsim")
def main() -> None:
    """What ternary hardware gains on real networks, once everything is counted."""


@main.command()
@click.argument("design")
@_WORKLOAD
@click.option("--text", type=click.Path(path_type=Path), help="Also score this text.")
@_ACCOUNTING
@_MAPPING
@_OUTPUT
def run(design: str, as_json: bool, no_report: bool, out: Path | None, **options: Any) -> None:
    """Run a network on DESIGN, or on row RESULT#ROW of a sweep: cycles, energy, area, a report."""
    from accelsim import api

    with Progress(as_json) as tell:
        outcome = api.run(design, command=_typed(), progress=tell, **options)
        deliver(outcome, as_json, no_report, out, tell)


@main.command()
@click.argument("designs", nargs=-1, required=True)
@_WORKLOAD
@_ACCOUNTING
@_MAPPING
@click.option("--iso", help="Reserved for comparisons at equal area or power.")
@_OUTPUT
def compare(
    designs: tuple[str, ...], as_json: bool, no_report: bool, out: Path | None, **options: Any
) -> None:
    """Compare DESIGNS side by side; the first is the baseline."""
    from accelsim import api

    with Progress(as_json) as tell:
        outcome = api.compare(designs, command=_typed(), progress=tell, **options)
        deliver(outcome, as_json, no_report, out, tell)


@main.command()
@click.argument("name", metavar="SWEEP")
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Work on a Dask cluster instead.")
@click.option("--resume", is_flag=True, help="Go on with a sweep that was stopped.")
@click.option("--force", is_flag=True, help="Start over, removing the sweep that is there.")
@click.option("--csv", is_flag=True, help="CSV also above 100,000 designs, instead of Parquet.")
@click.option("--yes", is_flag=True, help="Allow more than a million designs.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to write.")
@click.option("--json", "as_json", is_flag=True, help="Print sweep.json, nothing else.")
@click.option("--no-report", is_flag=True, help="Numbers only, no figures and no page.")
def sweep(
    name: str, out: Path | None, yes: bool, as_json: bool, no_report: bool, **options: Any
) -> None:
    """Evaluate the designs of SWEEP, a file of axes, and find those worth building."""
    from accelsim import sweeps
    from accelsim.report.sweep_table import sweep_tables
    from accelsim.report.write import write_sweep_report

    with Progress(as_json) as tell:
        result, folder = sweeps.sweep(
            name,
            out=out,
            order=sweeps.Order(**options),
            yes=yes,
            tell=tell,
            advance=tell.advance,
        )
        if not no_report:
            tell("drawing figures")
            write_sweep_report(result, folder)
    if as_json:
        click.echo((folder / "sweep.json").read_text(encoding="utf-8"), nl=False)
    else:
        console().print(sweep_tables(result))
        page = "" if no_report else ", start with report.html"
        again = f"run a design again: accelsim run '{folder}#ROW'"
        click.echo(f"\nwritten to {folder}{page}; {again}")
    error = sweeps.nothing_feasible(result, name)
    if error is not None:
        raise error


@main.command()
@click.argument("design")
@click.argument("m", type=int)
@click.argument("k", type=int)
@click.argument("n", type=int)
@click.option("--timing", type=click.Choice(["rtl", "scalesim"]), default="rtl", show_default=True)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def gemm(design: str, m: int, k: int, n: int, as_json: bool, **options: Any) -> None:
    """Time one GEMM of M tokens, reduction K and N outputs on DESIGN, from SRAM to SRAM."""
    from accelsim import api

    with Progress(as_json):
        result = api.gemm(design, m, k, n, **options)
    print_result(result, as_json, "terminal.gemm_table")


@main.command()
@click.argument("path")
@click.option("--prompt", metavar="TEXT")
@click.option("--token-ids", metavar="1,17,99")
@click.option("--new-tokens", type=int, default=32, show_default=True)
@click.option("--text", type=click.Path(path_type=Path), help="Score this text: perplexity.")
@click.option("--dump", type=click.Path(path_type=Path), help="Write codes, sums and logits (npz).")
@click.option(
    "--emulate",
    metavar="NAME",
    default="exact",
    show_default=True,
    help="Compare with narrow hardware: wrap:BITS, saturate:BITS, i2_s or q8_k.",
)
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0 is greedy.")
@click.option("--top-k", type=int, help="Sample from the K most likely tokens.")
@click.option("--top-p", type=float, help="Sample from the most likely tokens of this mass.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def infer(path: str, as_json: bool, **options: Any) -> None:
    """Run the functional model alone on the checkpoint at PATH."""
    from accelsim import inference

    with Progress(as_json) as tell:
        result = inference.infer(path, progress=tell, **options)
    print_result(result, as_json, "terminal.infer_table")


@main.command()
@click.argument("path")
@click.option("--text", type=click.Path(path_type=Path), help="Also measure sums on this text.")
@click.option("--prompt", metavar="TEXT", help="The text itself.")
@click.option("--token-ids", metavar="1,17,99", help="The text as token ids.")
@click.option("--tokens", type=int, default=256, show_default=True, help="Of the text, at most.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write tables and figures."
)
@click.option("--json", "as_json", is_flag=True)
def inspect(path: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """Show what the checkpoint at PATH is made of: weights, footprint, accumulators."""
    from accelsim import inference
    from accelsim.report import anatomy, write

    with Progress(as_json) as tell:
        result = inference.inspect(path, progress=tell, **options)
        if out is not None:
            tell("drawing figures")
            write.write_inspection(result, out)
    if as_json:
        click.echo(json.dumps(result, indent=2, allow_nan=False))
        return
    console(LISTING_WIDTH).print(anatomy.inspect_table(result))
    end = f"written to {out}, start with report.html" if out else "figures and tables: --out DIR"
    click.echo(end)


@main.group()
def rtl() -> None:
    """Simulate the hardware itself, in SystemVerilog, and synthesise it into prices."""


@rtl.command("simulate")
@click.argument("design")
@click.argument("shape", nargs=-1, type=int, metavar="[M K N]")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE")
@click.option("--cases", type=int, help="GEMMs to run.  [default: 1 of M K N, else 6]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def rtl_simulate(design: str, shape: tuple[int, ...], as_json: bool, **options: Any) -> None:
    """Run the array of DESIGN on operands of the shipped network; compare cycles and sums.

    Without M K N the GEMMs are of sizes around the array's. Ends with 1 where anything differs
    from the engine.
    """
    from accelsim import circuits

    with Progress(as_json) as tell:
        result = circuits.simulate(design, shape, progress=tell, **options)
    print_result(result, as_json, "terminal_rtl.rtl_table")
    if not result["equal"]:
        sys.exit(DIFFERENT)


@rtl.command("synthesise")
@click.argument("pes", nargs=-1, metavar="[PE]...")
@click.option(
    "--liberty",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A Liberty file, plain or xz; once for each file of the library.",
)
@click.option("--clock-mhz", type=float, help="Clock target.  [default: fits a known library]")
@click.option("--node-nm", type=int, help="Node of a library that is not known.")
@click.option(
    "--dont-use", "excluded", multiple=True, metavar="PATTERN", help="Cells to leave out."
)
@click.option("--name", help="Of the technology that is written.  [default: the library's]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports/synthesis"),
    show_default=True,
    metavar="DIR",
    help="Where to write.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of drawn operands.")
@click.option("--netlists", is_flag=True, help="Write DIR/netlists/PE.v, Verilog of library cells.")
@click.option("--json", "as_json", is_flag=True)
def rtl_synthesise(pes: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Synthesise PEs with a cell library, measure their energy, write a technology.

    PE is one of docs/pes.md, a primitive that other prices are made of (`dequantise`), or
    `primitives` for all of these; without names, everything.
    """
    from accelsim import circuits

    with Progress(as_json) as tell:
        result = circuits.synthesise(pes, progress=tell, **options)
    print_result(result, as_json, "terminal_rtl.synthesis_table")


@rtl.command("picture")
@click.argument("records", nargs=-1, type=click.Path(path_type=Path), metavar="[RECORD.json]...")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Tables and figures.")
@click.option("--json", "as_json", is_flag=True)
def rtl_picture(records: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Show measured PEs side by side: area and energy of a multiply-add, and what takes them.

    RECORD.json is what `rtl synthesise` wrote; without one the shipped libraries are shown.
    """
    from accelsim import circuits

    comparison = circuits.picture(records)
    if out is not None:
        from accelsim.report.write import write_pes

        write_pes(comparison, out)
    print_result(comparison, as_json, "terminal_rtl.pes_table")
    if out is not None and not as_json:
        click.echo(f"written to {out}: pes.csv, pes.md, figures/pes.png, figures/pe_effects.png")


@main.command("list")
@click.argument("what", type=click.Choice(["designs", "networks", "technologies", "pes", "sweeps"]))
@click.option("--json", "as_json", is_flag=True)
def list_(what: str, as_json: bool) -> None:
    """List what ships: designs, networks, technologies, PE types or sweeps."""
    from accelsim import catalogue

    print_result(catalogue.listing(what), as_json, "terminal.listing_table")


@main.command()
@click.argument("what", type=click.Choice(["design", "network", "sweep", "summary", "compare"]))
def schema(what: str) -> None:
    """Print the JSON Schema of a YAML file or of an output."""
    from accelsim import catalogue

    click.echo(json.dumps(catalogue.schema(what), indent=2))


def _typed() -> str:
    """Return the command as it was typed, less where its output goes."""
    words = list(main.given)
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    return shlex.join(["accelsim", *(word for word in words if not word.startswith("--out="))])
