"""The vector unit: what each elementwise operator costs in primitives and issue slots.

Recipes follow the functional model's arithmetic: RMSNorm squares, sums and scales (two passes over
the vector, because the mean must be known first), softmax needs the maximum before the first
exponential and the sum before the first probability (three passes), absmax needs the whole vector
before the first int8 code. A SiLU gate is ``gate * up * (1 / (1 + exp(-gate)))``: the exponential
takes the negated value, so the sign costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from accelsim.hardware.actions import SharedAction
from accelsim.trace import Kind


class Primitive(IntEnum):
    """One lane operation; the order is that of the first SharedActions."""

    ADD = SharedAction.VECTOR_ADD
    MUL = SharedAction.VECTOR_MUL
    COMPARE = SharedAction.VECTOR_COMPARE
    EXP = SharedAction.VECTOR_EXP
    RSQRT = SharedAction.VECTOR_RSQRT
    RECIPROCAL = SharedAction.VECTOR_RECIPROCAL
    QUANTISE = SharedAction.VECTOR_QUANTISE
    DEQUANTISE = SharedAction.VECTOR_DEQUANTISE
    CONVERT = SharedAction.VECTOR_CONVERT


PRIMITIVES = len(Primitive)

# Issue slots of a lane. An exponential is a range reduction and a polynomial on the lane's own
# multiply-add; reciprocals start from a table and take two Newton steps.
SLOTS = {Primitive.EXP: 8, Primitive.RSQRT: 6, Primitive.RECIPROCAL: 5}


@dataclass(frozen=True)
class Recipe:
    """Primitives of one operator: for each element, once for each row, and passes over a row."""

    element: dict[Primitive, int]
    row: dict[Primitive, int]
    passes: int
    reads: int  # activation-buffer elements read for each element, over all passes
    writes: int


P = Primitive
RECIPES = {
    Kind.EMBEDDING: Recipe({P.CONVERT: 1}, {}, 1, 0, 1),
    Kind.RMSNORM: Recipe(
        {P.MUL: 3, P.ADD: 1}, {P.MUL: 1, P.ADD: 1, P.RSQRT: 1}, passes=2, reads=2, writes=1
    ),
    Kind.ABSMAX: Recipe({P.COMPARE: 1}, {P.RECIPROCAL: 1, P.MUL: 1}, passes=1, reads=1, writes=0),
    Kind.QUANTISE: Recipe({P.QUANTISE: 1}, {}, passes=1, reads=1, writes=1),
    Kind.DEQUANTISE: Recipe({P.DEQUANTISE: 1}, {P.MUL: 1}, passes=1, reads=1, writes=1),
    Kind.ROPE: Recipe({P.MUL: 2, P.ADD: 1}, {}, passes=1, reads=1, writes=1),
    Kind.KV_APPEND: Recipe({P.CONVERT: 1}, {}, passes=1, reads=1, writes=1),
    Kind.SOFTMAX: Recipe(
        {P.MUL: 2, P.COMPARE: 1, P.ADD: 2, P.EXP: 1}, {P.RECIPROCAL: 1}, passes=3, reads=3, writes=2
    ),
    Kind.RELU2_GATE: Recipe({P.COMPARE: 1, P.MUL: 2}, {}, passes=1, reads=2, writes=1),
    Kind.SILU_GATE: Recipe(
        {P.EXP: 1, P.ADD: 1, P.RECIPROCAL: 1, P.MUL: 2}, {}, passes=1, reads=2, writes=1
    ),
    Kind.RESIDUAL: Recipe({P.ADD: 1}, {}, passes=1, reads=2, writes=1),
}


def recipe_table() -> npt.NDArray[np.int64]:
    """Return the recipes as int64 [kinds, 2 * PRIMITIVES + 5].

    Columns: primitives of an element, primitives of a row, slots of an element, slots of a row,
    passes, reads, writes. Rows of matrix products are zero.
    """
    table = np.zeros((len(Kind), 2 * PRIMITIVES + 5), dtype=np.int64)
    for kind, recipe in RECIPES.items():
        for offset, counts in ((0, recipe.element), (PRIMITIVES, recipe.row)):
            for primitive, count in counts.items():
                table[kind, offset + primitive] = count
        slots = [
            sum(c * SLOTS.get(p, 1) for p, c in counts.items())
            for counts in (recipe.element, recipe.row)
        ]
        table[kind, 2 * PRIMITIVES :] = (*slots, recipe.passes, recipe.reads, recipe.writes)
    return table
