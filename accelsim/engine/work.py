"""Rows of a trace as kernels read them: what follows from an operator alone, computed once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.hardware.actions import SharedAction
from accelsim.hardware.vector import PRIMITIVES, Primitive, recipe_table
from accelsim.trace import OPERATOR_DTYPE, Kind, Series

_OF_RECIPE = ("slots", "row_slots", "passes", "reads", "writes")
WORK_DTYPE = np.dtype(
    [(name, np.int64) for name in OPERATOR_DTYPE.names or ()]
    + [
        (name, np.int64)
        for name in (
            "group",  # instances that make up one layer's tensor in one pass (heads, sequences)
            "groups",  # repeat in groups
            "sharing",  # instances that share one transfer of their second operand
            "layer_operands",  # distinct second operands of a layer
            "no_lead",  # 1: nothing is fetched ahead of this operator
            "target",  # row of the results that it is added to
            "elements",  # of the vector unit, in an instance of every member together
            "slots",  # issue slots of an element and of a row, by the recipe
            "row_slots",
            "passes",
            "reads",  # of an element, and its writes
            "writes",
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
    rows["groups"] = o["repeat"] // rows["group"]
    instances = o["repeat"] * o["series_count"] // times
    rows["sharing"] = np.maximum(instances // np.maximum(o["distinct"], 1), 1)
    rows["layer_operands"] = np.maximum(o["distinct"] // layers, 1)
    # What stands before a phase or a layer in the table came before it only once.
    rows["no_lead"][:1] = 1
    rows["no_lead"][1:] = (o["in_layer"][1:] > o["in_layer"][:-1]) | (
        o["phase"][1:] != o["phase"][:-1]
    )
    rows["target"] = target
    rows["elements"] = _elements(o)
    recipes = recipe_table()[o["kind"]]
    for name, column in zip(_OF_RECIPE, recipes[:, 2 * PRIMITIVES :].T, strict=True):
        rows[name] = column
    rows.setflags(write=False)
    return rows


def standing_counts(rows: npt.NDArray[np.void], results: int) -> npt.NDArray[np.int64]:
    """Return what the vector unit counts on every design alike: primitives and passes issued.

    Args:
        rows: ``WORK_DTYPE`` [O].
        results: Rows of results.

    Returns:
        int64 [2, results, shared actions]: of designs that do not scale on drain and that do.
    """
    recipes = recipe_table()[rows["kind"]]  # those of matrix products are zero
    each, once = recipes[:, :PRIMITIVES], recipes[:, PRIMITIVES : 2 * PRIMITIVES]
    times = rows["m"] * rows["series_count"]
    table = np.zeros((len(rows), len(SharedAction)), dtype=np.int64)
    table[:, :PRIMITIVES] = each * rows["elements"][:, np.newaxis] + once * times[:, np.newaxis]
    absmax = rows["kind"] == Kind.ABSMAX
    table[absmax, SharedAction.SCALE_COMPARE] = table[absmax, Primitive.COMPARE]
    table[absmax, Primitive.COMPARE] = 0
    table[:, SharedAction.INSTRUCTION] = rows["passes"] * rows["series_count"]
    table *= rows["repeat"][:, np.newaxis]
    counts = np.zeros((2, results, len(SharedAction)), dtype=np.int64)
    needed = rows["kind"] != Kind.DEQUANTISE  # also where the drain scales
    np.add.at(counts[0], rows["target"], table)
    np.add.at(counts[1], rows["target"][needed], table[needed])
    return counts


def _elements(o: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return the elements of operators, masked scores left out, of all members of a series."""
    first = np.where(o["causal"] == 1, o["m"] * (o["m"] + 1) // 2, o["m"] * o["n"])
    grown = o["series_count"] * (o["series_count"] - 1) // 2 * o["m"] * o["series_step"]
    elements: npt.NDArray[np.int64] = np.where(
        o["kind"] == Kind.SOFTMAX, first * o["series_count"] + grown, o["m"] * o["n"]
    )
    return elements
