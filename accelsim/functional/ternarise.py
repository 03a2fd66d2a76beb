"""Absmean quantisation: float master weights to ternary ones, as BitNet b1.58 defines it.

``s = 1 / max(mean|w|, 1e-5)``, ``t = clamp(round(w * s), -1, 1)``, halves to even
(arXiv 2402.17764, section 2), in float32. The mean is summed in float64 in one stated order and
rounded once, which is nearer to the true mean than any float32 sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.functional import row_kernels
from accelsim.functional.checkpoint import TernaryWeight, widen
from accelsim.functional.kernels import LANES

_SMALLEST_MEAN = np.float32(1e-5)
_BLOCK_ELEMENTS = 1 << 22


def ternarise(stored: NDArray[Any]) -> TernaryWeight:
    """Return a float matrix as ternary weights whose scale multiplies.

    Args:
        stored: [outputs, inputs] float32, float16, or uint16 patterns of bfloat16; finite. It is
            read twice and widened a block of rows at a time.
    """
    outputs, inputs = stored.shape
    rows = max(_BLOCK_ELEMENTS // inputs, 1)
    total = np.zeros(LANES, np.float64)
    for begin in range(0, outputs, rows):
        row_kernels.add_magnitudes(widen(stored[begin : begin + rows]).reshape(-1), total)
    mean = np.float32(_add_up(total) / (outputs * inputs))
    factor = np.float32(1) / max(mean, _SMALLEST_MEAN)
    quarter = -(-outputs // 4)
    packed = np.full((quarter, inputs), 0x55, np.uint8)  # every weight 0
    for begin in range(0, outputs, rows):
        block = widen(stored[begin : begin + rows])
        row_kernels.pack_ternary_rows(block, factor, begin, quarter, packed)
    packed.flags.writeable = False
    return TernaryWeight(packed, np.float32(1) / factor, outputs)


def _add_up(lanes: NDArray[np.float64]) -> float:
    total = 0.0
    for lane in lanes.tolist():
        total += lane
    return total
