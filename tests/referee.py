"""A slow referee: real operands move through registers, one clock edge at a time.

It implements the hardware of docs/timing.md (skew, PEs, chains, tokens, control counters) and
knows no cycle formula: cycles are counted until the last output word is in the SRAM. Data registers
start with garbage and SRAM ports show garbage whenever nothing is read. ``fault`` breaks one part,
for tests of the tests.
"""

from __future__ import annotations

import numpy as np
from referee_operands_held import OperandsHeld
from referee_outputs_held import OutputsHeld
from referee_registers import Run

from accelsim.engine.timing import ArrayTiming, Organisation


def simulate(
    array: ArrayTiming, activations: np.ndarray, weights: np.ndarray, *, fault: str = ""
) -> Run:
    """Run activations [m, k] times weights [k, n] on ``array``, integers in and out."""
    rng = np.random.default_rng(0)
    if array.organisation == Organisation.SYSTOLIC_WS:
        return OperandsHeld(array, weights, activations, fault, rng).run()
    if array.organisation == Organisation.SYSTOLIC_IS:
        run = OperandsHeld(array, activations.T, weights.T, fault, rng).run()
        run.outputs = run.outputs.T
        run.activation_reads, run.weight_reads = run.weight_reads, run.activation_reads
        return run
    return OutputsHeld(array, activations, weights, fault, rng).run()
