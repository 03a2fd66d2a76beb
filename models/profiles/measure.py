"""Measure an operand profile on a checkpoint and write it beside this file.

    python models/profiles/measure.py models/austen-12m --name austen-12m

The network reads the start of its held-out text and continues it greedily. ``--trace`` also saves
the trace itself.
"""

from __future__ import annotations

from pathlib import Path

import click

from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.measure import measure_profile
from accelsim.functional.network import Network
from accelsim.functional.profile import save_profile
from accelsim.functional.tracer import record_network
from accelsim.trace import save_trace
from accelsim.workloads import HELD_OUT, open_source


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", required=True, help="Of the profile, and of its file.")
@click.option("--prefill", default=256, show_default=True)
@click.option("--decode", default=64, show_default=True)
@click.option("--batch", default=1, show_default=True)
@click.option("--trace", type=click.Path(path_type=Path), help="Also save the trace here.")
def main(
    checkpoint: Path, name: str, prefill: int, decode: int, batch: int, trace: Path | None
) -> None:
    """Record CHECKPOINT and write its operand profile."""
    source = open_source(None, str(checkpoint), None, prefill, decode, batch, 0, None)
    network = Network(read_checkpoint(checkpoint))
    assert source.tokens is not None
    recording = record_network(network, source.tokens, source.workload, name=source.name)
    profile = measure_profile(
        recording,
        name=name,
        description=f"Measured on {source.name}; low and high are the range over its layers.",
        text=f"the first {batch * prefill} tokens of {HELD_OUT}, continued greedily",
    )
    path = Path(__file__).parent / f"{name}.yaml"
    save_profile(profile, path)
    click.echo(f"written to {path}")
    if trace is not None:
        save_trace(recording.trace, trace)
        click.echo(f"written to {trace}")


if __name__ == "__main__":
    main()
