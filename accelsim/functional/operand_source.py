"""Operands of a network's products as they really are, while it reads a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional.checkpoint import Checkpoint, TernaryWeight
from accelsim.functional.network import Network


@dataclass(frozen=True)
class LinearOperands:
    """What one linear multiplied.

    Attributes:
        name: The linear's name in the checkpoint.
        activations: [tokens, inputs]: int8 codes, or float32.
        weights: [outputs, inputs]: int8 -1, 0, +1, or float32.
    """

    name: str
    activations: NDArray[Any]
    weights: NDArray[Any]


def linear_operands(network: Network, tokens: NDArray[np.int64]) -> list[LinearOperands]:
    """Return the operands of every linear while the network reads tokens [batch, positions].

    The output layer comes last.
    """
    seen: list[tuple[str, NDArray[Any]]] = []

    def observe(name: str, layer: int, kind: str, *operands: NDArray[Any]) -> None:
        if kind in ("gemm", "lm_head"):
            seen.append((name, operands[0]))

    batch, positions = tokens.shape
    network.forward(tokens, network.new_cache(batch, positions), observer=observe)
    return [LinearOperands(name, x, _weights(network.checkpoint, name)) for name, x in seen]


def _weights(checkpoint: Checkpoint, name: str) -> NDArray[Any]:
    weight = checkpoint.linears.get(name) or checkpoint.dense[f"{name}.weight"]
    return weight.unpack() if isinstance(weight, TernaryWeight) else weight.widen()
