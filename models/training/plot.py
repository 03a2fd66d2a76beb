"""Draw the validation curves of results.json: one panel per side, one line per grid cell.

python plot.py ../austen-12m/results.json ../austen-12m/curves.svg
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

DASHES = {0.003: ":", 0.006: "--", 0.012: "-"}
GREYS = {0.2: "0.6", 0.3: "0.0", 0.4: "0.35"}
MARKERS = {0.2: "^", 0.3: "o", 0.4: "s"}


def draw(results: Path, out: Path) -> None:
    """Plot bits per character on the Austen validation slices against the step."""
    grid = json.loads(results.read_text())["grid"]
    plt.rcParams["svg.hashsalt"] = "curves"
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    for panel, ternary in zip(panels, (True, False), strict=True):
        for run in (r for r in grid if r["settings"]["ternary"] == ternary):
            s = run["settings"]
            steps = [point["step"] for point in run["curve"]]
            bits = [point["austen"] for point in run["curve"]]
            label = f"{s['steps']} steps, lr {s['lr']:g}, dropout {s['dropout']:g}"
            style = {"linestyle": DASHES[s["lr"]], "color": GREYS[s["dropout"]]}
            marker = {"marker": MARKERS[s["dropout"]], "markersize": 4, "markevery": 2}
            panel.plot(steps, bits, linewidth=1.1, label=label, **style, **marker)
        panel.set(title="ternary" if ternary else "FP16 twin", xlabel="optimiser steps")
        panel.set(xlim=(0, 5100), ylim=(1.25, 1.5))
        panel.grid(color="0.9")
        panel.legend(fontsize=7, frameon=False)
    panels[0].set_ylabel("validation, Austen slices (bits per character)")
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
