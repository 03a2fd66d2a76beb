"""How the operands of a GEMM lie in the SRAMs beside an array, and where its sums go.

Words are as wide as the edge they feed and lie in the order in which docs/timing.md reads them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from accelsim.engine.timing import ArrayTiming
from accelsim.hardware.design import Organisation

Codes = npt.NDArray[np.int64]
Noise = Callable[[list[int]], Codes]
Places = npt.NDArray[np.integer]
Bits = npt.NDArray[np.uint64]


def words_needed(array: ArrayTiming, shape: tuple[int, int, int]) -> int:
    """Return how many words the fullest of the three SRAMs holds for a GEMM m, k, n."""
    m, k, n = shape
    if array.organisation in (Organisation.SYSTOLIC_WS, Organisation.SYSTOLIC_IS):
        streamed, wide = (m, n) if array.organisation == Organisation.SYSTOLIC_WS else (n, m)
        tiles = -(-wide // array.cols)
        return max(-(-k // array.rows) * streamed, tiles * k, tiles * streamed)
    row_tiles, col_tiles, steps = -(-m // array.rows), -(-n // array.cols), -(-k // array.lanes)
    return max(row_tiles * steps, col_tiles * steps, row_tiles * col_tiles * array.rows)


def edge_words(
    array: ArrayTiming, activations: Codes, weights: Codes, noise: tuple[Noise, Noise]
) -> tuple[Codes, Codes]:
    """Return the words that enter from the west and from the north.

    Args:
        array: The array.
        activations: Bits [m, k].
        weights: Bits [k, n].
        noise: Draws what stands in elements that are not in use, of the bits of an activation
            and of a weight.

    Returns:
        int64 [words, rows x lanes] and [words, cols x lanes], element 0 of a word lowest.
    """
    if array.organisation == Organisation.SYSTOLIC_WS:
        return (
            _streamed(_padded(activations, 1, array.rows, noise[0]), array.rows),
            _held(_padded(weights, 1, array.cols, noise[1]), array.cols),
        )
    if array.organisation == Organisation.SYSTOLIC_IS:
        return (
            _streamed(_padded(weights.T, 1, array.rows, noise[1]), array.rows),
            _held(_padded(activations.T, 1, array.cols, noise[0]), array.cols),
        )
    return (
        _stepped(activations, array.rows, array.lanes, noise[0]),
        _stepped(weights.T, array.cols, array.lanes, noise[1]),
    )


def sums_of_words(
    array: ArrayTiming, m: int, n: int, addresses: Places, words: Bits, mask: Bits
) -> Bits:
    """Return the sums [m, n] from the words [written, cols] that were written, in their order.

    A place that is written twice, for two folds of k, holds what was written last.
    """
    if array.organisation == Organisation.SYSTOLIC_IS:
        return _tiled(n, m, n, array.cols, (addresses, words, mask)).T
    if array.organisation == Organisation.SYSTOLIC_WS:
        return _tiled(m, n, m, array.cols, (addresses, words, mask))
    return _tiled(m, n, array.rows, array.cols, (addresses, words, mask))


def _tiled(high: int, wide: int, rows: int, cols: int, written: tuple[Places, Bits, Bits]) -> Bits:
    """Return [high, wide] whose tiles of rows x cols lie one behind the other, a row to a word."""
    shape = -(-high // rows), -(-wide // cols), rows, cols
    memory = np.zeros((shape[0] * shape[1] * rows, cols), np.uint64)
    addresses, words, mask = written
    order, element = np.nonzero(mask)  # in the order of the writes: the last one stays
    memory[addresses[order], element] = words[order, element]
    whole = memory.reshape(shape).transpose(0, 2, 1, 3)
    return whole.reshape(shape[0] * rows, shape[1] * cols)[:high, :wide]


def _padded(matrix: Codes, axis: int, tile: int, noise: Noise) -> Codes:
    """Return ``matrix`` made whole tiles along ``axis`` with values that must not matter."""
    shape = list(matrix.shape)
    shape[axis] = -shape[axis] % tile
    return np.concatenate([matrix, noise(shape)], axis=axis)


def _stepped(matrix: Codes, places: int, lanes: int, noise: Noise) -> Codes:
    """Word (tile, step) holds ``lanes`` reductions of each of ``places`` rows of [size, k]."""
    whole = _padded(_padded(matrix, 1, lanes, noise), 0, places, noise)
    tiles, steps = whole.shape[0] // places, whole.shape[1] // lanes
    words = whole.reshape(tiles, places, steps, lanes).transpose(0, 2, 1, 3)
    return words.reshape(tiles * steps, places * lanes)


def _streamed(matrix: Codes, rows: int) -> Codes:
    """Word (fold of k, row of [long, k]) holds ``rows`` reductions."""
    long, k = matrix.shape
    return matrix.reshape(long, k // rows, rows).transpose(1, 0, 2).reshape(-1, rows)


def _held(matrix: Codes, cols: int) -> Codes:
    """Word (tile of columns, row of [k, wide]) holds ``cols`` operands."""
    k, wide = matrix.shape
    return matrix.reshape(k, wide // cols, cols).transpose(1, 0, 2).reshape(-1, cols)
