"""Rows of a trace as kernels read them: what follows from an operator alone, computed once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.trace import OPERATOR_DTYPE, Series

WORK_DTYPE = np.dtype(
    [(name, np.int64) for name in OPERATOR_DTYPE.names or ()]
    + [
        (name, np.int64)
        for name in (
            "group",  # instances that make up one layer's tensor in one pass (heads, sequences)
            "sharing",  # instances that share one transfer of their second operand
            "layer_operands",  # distinct second operands of a layer
            "no_lead",  # 1: nothing is fetched ahead of this operator
            "target",  # row of the results that it is added to
        )
    ]
)


def work_rows(
    operators: npt.NDArray[np.void],
    layers: int,
    passes: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
) -> npt.NDArray[np.void]:
    """Return operators as ``WORK_DTYPE`` [O].

    Args:
        operators: ``OPERATOR_DTYPE`` [O].
        layers: Decoder layers of the network.
        passes: Passes of each phase, int64 [2], at least 1 each.
        target: To which row of the results each operator is added, int64 [O].
    """
    rows = np.zeros(len(operators), dtype=WORK_DTYPE)
    for name in OPERATOR_DTYPE.names or ():
        rows[name] = operators[name]
    o, times = operators, passes[operators["phase"]]
    per_pass = np.where(o["series"] == Series.NONE, o["repeat"] // times, o["repeat"])
    rows["group"] = np.maximum(np.where(o["in_layer"] == 1, per_pass // layers, per_pass), 1)
    instances = o["repeat"] * o["series_count"] // times
    rows["sharing"] = np.maximum(instances // np.maximum(o["distinct"], 1), 1)
    rows["layer_operands"] = np.maximum(o["distinct"] // layers, 1)
    # What stands before a phase or a layer in the table came before it only once.
    rows["no_lead"][:1] = 1
    rows["no_lead"][1:] = (o["in_layer"][1:] > o["in_layer"][:-1]) | (
        o["phase"][1:] != o["phase"][:-1]
    )
    rows["target"] = target
    rows.setflags(write=False)
    return rows
