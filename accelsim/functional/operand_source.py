"""Operands of a network's linears as they really are: int8 codes of a text, ternary weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.network import Network


@dataclass(frozen=True)
class LinearOperands:
    """What one linear multiplied.

    Attributes:
        name: The linear's name in the checkpoint.
        codes: Activations, int8 [tokens, inputs].
        weights: -1, 0, +1, int8 [outputs, inputs].
    """

    name: str
    codes: NDArray[np.int8]
    weights: NDArray[np.int8]


def linear_operands(network: Network, tokens: NDArray[np.int64]) -> list[LinearOperands]:
    """Run ``tokens`` [batch, positions] and return the operands of every ternary linear."""
    seen: list[tuple[str, NDArray[np.int8]]] = []

    def observe(name: str, layer: int, kind: str, *operands: NDArray[Any]) -> None:
        if kind == "gemm" and operands[0].dtype == np.int8:
            seen.append((name, operands[0]))

    batch, positions = tokens.shape
    network.forward(tokens, network.new_cache(batch, positions), last=1, observer=observe)
    linears = network.checkpoint.linears
    rows: list[LinearOperands] = []
    for name, codes in seen:
        weight = linears[name]
        assert not hasattr(weight, "stored"), "int8 codes enter ternary linears alone"
        rows.append(LinearOperands(name, codes, weight.unpack()))
    return rows
