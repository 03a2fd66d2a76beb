"""The two kinds of linear layer: ternary weights on int8 codes, and plain floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import operators
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight
from accelsim.functional.operators import Floats, Norm, Quantised
from accelsim.functional.threads import Threads

# What a linear tells whoever watches it: its operands and its sums, see `Observer`.
Report = Callable[[str, NDArray[Any], NDArray[Any]], None]


# The int32 sums [m, outputs] of int8 codes [m, k] and the weights of one linear.
Product = Callable[[NDArray[np.int8]], NDArray[np.int32]]


@dataclass(frozen=True)
class TernaryLinear:
    """y = dequantise(codes @ weights.T).

    Attributes:
        name: The checkpoint's name without ``.weight``.
        product: Multiplies codes by the weights, exactly or as narrow hardware would.
        scale: Weight scale.
        multiplies: Whether the scale multiplies or divides.
        threads: For the kernels.
    """

    name: str
    product: Product
    scale: np.float32
    multiplies: bool
    threads: Threads

    def enter(self, x: Floats, norm: Norm | None = None) -> Quantised:
        """Return x [m, k] as int8 codes and scales; linears that read the same x share them."""
        return operators.quantise(x, self.threads, norm)

    def __call__(self, x: Quantised, report: Report | None = None) -> Floats:
        """Return float32 [m, outputs]."""
        sums = self.product(x.codes)
        if report is not None:
            report(self.name, x.codes, sums)
        return operators.dequantise(sums, x.scales, self.scale, self.multiplies, self.threads)


@dataclass(frozen=True)
class DenseLinear:
    """y = x @ weights.T in float32, whatever format the weights are stored in.

    Attributes:
        name: The checkpoint's name without ``.weight``.
        panels: The weights as `operators.panels` lays them out.
        outputs: Rows of the weight matrix.
        threads: For the kernels.
    """

    name: str
    panels: NDArray[Any]
    outputs: int
    threads: Threads

    def enter(self, x: Floats, norm: Norm | None = None) -> Floats:
        """Return x [m, k]."""
        return x if norm is None else operators.rms_norm(x, norm, self.threads)

    def __call__(self, x: Floats, report: Report | None = None) -> Floats:
        """Return float32 [m, outputs]."""
        y = operators.dense_gemm(x, self.panels, self.outputs, self.threads)
        if report is not None:
            report(self.name, x, y)
        return y


class Linear(Protocol):
    """A layer's matrix product: what enters it is made once for all linears that read it."""

    def enter(self, x: Floats, norm: Norm | None = None) -> Any:
        """Return float32 x [m, k], after the norm if there is one, as this linear reads it."""

    def __call__(self, x: Any, report: Report | None = None) -> Floats:
        """Return float32 [m, outputs] of what `enter` returned; tell ``report`` the operands."""


class LinearBuilder(Protocol):
    """Makes a linear of a checkpoint's weight; see `build_linear` and `narrow.emulating`."""

    def __call__(
        self, name: str, weight: TernaryWeight | DenseWeight, multiplies: bool, threads: Threads
    ) -> Linear:
        """Return the linear; ``multiplies`` says how the weight's scale applies."""


def build_linear(
    name: str, weight: TernaryWeight | DenseWeight, multiplies: bool, threads: Threads
) -> TernaryLinear | DenseLinear:
    """Wrap ternary weights as they lie; copy dense ones into the layout their kernel wants."""
    if isinstance(weight, TernaryWeight):
        product = exact_product(weight, threads)
        return TernaryLinear(name, product, weight.scale, multiplies, threads)
    laid = operators.panels(weight.stored)
    return DenseLinear(name, laid, weight.shape[0], threads)


def exact_product(weight: TernaryWeight, threads: Threads) -> Product:
    """Return what multiplies codes by weights as they lie, without a copy of them."""
    matrix = operators.TernaryMatrix(weight.packed, weight.outputs)
    return lambda codes: matrix.multiply(codes, threads)
