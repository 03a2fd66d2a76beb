"""Train a list of settings, several networks at once on one GPU.

    python run_grid.py --corpus corpus --plan plan.json --out runs [--slots 4]

The plan is a JSON list of objects with fields of train.Settings. Results go to OUT/runs.json after
every finished run; with --keep the best averaged weights of every run go to OUT/NAME.pt (f32).
"""

import argparse
import json
import time
from collections import deque
from pathlib import Path

import torch
from network import Shape
from streams import Streams
from train import EVALUATIONS, Run, Settings


def name_of(s: Settings) -> str:
    """Name a run by its side, seed and main settings."""
    side = "ternary" if s.ternary else "twin"
    return f"{side}-{s.optimiser}-{s.steps}-lr{s.lr:g}-drop{s.dropout:g}-seed{s.seed}"


def kind_of(s: Settings) -> tuple[object, ...]:
    """Runs of one kind can follow each other in a slot."""
    return (s.ternary, s.optimiser, s.batch, s.vocab)


class Slot:
    """A `Run` and its progress through the settings given to it."""

    def __init__(self, run: Run) -> None:
        self.run, self.done, self.active = run, 0, False

    def load(self, settings: Settings) -> None:
        self.run.start(settings)
        self.done, self.active = 0, True

    def tick(self) -> bool:
        """Do one step; evaluate when due; return whether the run just ended."""
        steps = self.run.settings.steps
        self.run.advance()
        self.done += 1
        if self.done % max(1, steps // EVALUATIONS) == 0 or self.done == steps:
            self.run.evaluate(self.done)
        self.active = self.done < steps
        return not self.active


def train_group(
    plan: list[Settings], slots: list[Slot], finished: list[dict], keep: Path | None, end: float
) -> None:
    """Feed the plan through the slots until it is empty or the clock passes `end`."""
    queue = deque(plan)
    while time.time() < end:
        for slot in slots:
            if not slot.active and queue:
                slot.load(queue.popleft())
        active = [slot for slot in slots if slot.active]
        if not active:
            return
        for slot in active:
            if slot.tick():
                finished.append(slot.run.record())
                report(finished[-1])
                if keep:
                    torch.save(slot.run.best, keep / f"{name_of(slot.run.settings)}.pt")


def report(record: dict) -> None:
    """Print one line on a finished run."""
    s, best, last = record["settings"], record["best"], record["curve"][-1]
    changed = {k: v for k, v in s.items() if v != getattr(Settings(), k)}
    scores = " ".join(f"{t} {best[t]:.4f}" for t in ("austen", "kjv", "jargon"))
    tail = f"@{best['step']} last {last['austen']:.4f} raw {last['raw_austen']:.4f}"
    print(f"{scores} {tail} train {last['train_loss']:.3f}", changed, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=2, help="networks trained at once")
    parser.add_argument("--copies", type=int, default=8, help="resegmented copies of the text")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop starting work after this")
    parser.add_argument("--keep", action="store_true", help="write the weights of every run")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shape", type=json.loads, default={}, help="fields of network.Shape")
    arguments = parser.parse_args()
    began, device = time.time(), torch.device(arguments.device)
    plan = [Settings(**entry) for entry in json.loads(arguments.plan.read_text())]
    arguments.out.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple, list[Settings]] = {}
    for settings in plan:
        groups.setdefault(kind_of(settings), []).append(settings)
    streams: dict[tuple[int, int], Streams] = {}
    finished: list[dict] = []
    for group in groups.values():
        shape = Shape(**{**arguments.shape, "vocab_size": group[0].vocab})
        copies = arguments.copies if any(s.resegmented for s in plan) else 0
        key = (group[0].vocab, group[0].batch)
        if key not in streams:
            sizes = (group[0].vocab, shape.positions, group[0].batch)
            streams[key] = Streams(arguments.corpus, *sizes, device, copies)
        print(f"{time.time() - began:.0f} s: streams {streams[key].plain_tokens}", flush=True)
        runs = [
            Run(group[0], streams[key], shape, device)
            for _ in range(min(len(group), arguments.slots))
        ]
        for run in runs:
            if device.type == "cuda":
                run.capture()
        print(f"{time.time() - began:.0f} s: {len(runs)} slots of {group[0]}", flush=True)
        keep = arguments.out if arguments.keep else None
        slots = [Slot(run) for run in runs]
        train_group(group, slots, finished, keep, began + arguments.seconds)
        (arguments.out / "runs.json").write_text(json.dumps(finished))
        print(f"{time.time() - began:.0f} s: {len(finished)} runs done", flush=True)
        del runs, slots
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
