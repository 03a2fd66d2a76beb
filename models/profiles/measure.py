"""Measure operand profiles on checkpoints and write them beside this file.

    python models/profiles/measure.py NAME models/austen-12m [TWIN_CHECKPOINT]

Each network reads the start of its held-out text and continues it greedily. ``--trace`` also saves
the trace of the last one.
"""

from __future__ import annotations

from pathlib import Path

import click

from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.measure import measure_form
from accelsim.functional.network import Network
from accelsim.functional.profile import OperandProfile, save_profile
from accelsim.functional.tracer import record_network
from accelsim.trace import save_trace
from accelsim.workloads import HELD_OUT, Request, open_source


@click.command()
@click.argument("name")
@click.argument(
    "checkpoints",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--prefill", default=256, show_default=True)
@click.option("--decode", default=64, show_default=True)
@click.option("--batch", default=1, show_default=True)
@click.option("--trace", type=click.Path(path_type=Path), help="Save the last trace here.")
def main(
    name: str,
    checkpoints: tuple[Path, ...],
    prefill: int,
    decode: int,
    batch: int,
    trace: Path | None,
) -> None:
    """Record CHECKPOINTS, one of a form, and write their operand profile NAME."""
    text = f"the first {batch * prefill} tokens of {HELD_OUT}, continued greedily"
    forms = {}
    for folder in checkpoints:
        source = open_source(
            Request(checkpoint=str(folder), prefill=prefill, decode=decode, batch=batch)
        )
        network = Network(read_checkpoint(folder))
        recording = record_network(network, source.tokens, source.workload, name=source.name)
        forms[recording.trace.form] = measure_form(recording, text)
        if trace is not None and folder == checkpoints[-1]:
            save_trace(recording.trace, trace)
    profile = OperandProfile.model_validate(
        {
            "name": name,
            "description": "Measured; low and high are the range over layers.",
            "forms": forms,
        }
    )
    path = Path(__file__).parent / f"{name}.yaml"
    save_profile(profile, path)
    click.echo(f"written to {path}")


if __name__ == "__main__":
    main()
