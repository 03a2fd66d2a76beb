"""How an operator is laid on a matrix unit: one small record per design and operator.

The same body evaluates every mapping (`accelsim/engine/matrix.py`). The fixed mapping is one record
for all: the unit's own dataflow and the rules of docs/engine.md. What a search may choose is stated
there too, under "Mapping".
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from accelsim.hardware.design import Organisation

OWN = -1  # the organisation that the design fixes
OBJECTIVES = ("latency", "energy", "edp")
FIXED = "fixed"


class Stays(IntEnum):
    """Which operand of a tile stays on chip while the others pass, the outcome of a loop order."""

    RULE = 0  # what moves fewer bytes, in parts of half of the streaming buffer
    ACTIVATIONS = 1  # a block of m rows over all n: loops m, n
    WEIGHTS = 2  # a block of n columns over all m: loops n, m
    SUMS = 3  # sums of m x n wait in the output buffer (or the PEs) for all k: loops m, n, k


class Blocks(IntEnum):
    """How causal attention runs."""

    FASTER = 0
    WHOLE = 1  # one product over the full context, masked afterwards
    BLOCKS = 2  # block by block of queries


MAPPING_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "organisation",  # Organisation, or OWN
            "stays",  # Stays
            "m_tile",  # elements of a tile in SRAM; 0: by the rule
            "k_tile",
            "n_tile",
            "chunk",  # words that ws and is stream before the next k-fold; 0: as many as fit
            "split",  # parts of k whose sums os and dot add in the output buffer
            "blocks",  # Blocks
        )
    ]
)
Mappings = npt.NDArray[np.void]


def fixed_mapping() -> Mappings:
    """Return the record that stands for every operator of every design, [1, 1]."""
    record = np.zeros((1, 1), dtype=MAPPING_DTYPE)
    record["organisation"], record["split"] = OWN, 1
    return record


def fixed_mappings(designs: int, operators: int) -> Mappings:
    """Return a table of fixed mappings, [designs, operators]."""
    return np.tile(fixed_mapping(), (designs, operators))


def unit_variants(units: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return units [D, 2] as they are and in every organisation, [D, 2, 1 + organisations]."""
    variants = np.repeat(units[:, :, np.newaxis], 1 + len(Organisation), axis=2)
    for organisation in Organisation:
        variants["organisation"][:, :, 1 + organisation] = organisation
    return variants
