"""What a checkpoint is made of: weights by value, what nothing reads, and how wide sums get.

Everything is counted from packed bytes, a block of rows at a time; no tensor is ever unpacked as a
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import UserError
from accelsim.functional import anatomy_kernels
from accelsim.functional.checkpoint import Checkpoint, DenseWeight, TernaryWeight, widen
from accelsim.functional.counts import widest_sums
from accelsim.functional.footprint import FootprintRow, Tensor, entropy_bits, footprint_table
from accelsim.functional.network import Network
from accelsim.functional.packings import CODECS
from accelsim.functional.threads import Threads

LARGEST_CODE = 127  # |code| that absmax quantisation gives at most
FLOAT32_BITS = 32
PASS_TOKENS = 256  # of a text, run at a time
_BLOCK_BYTES = 1 << 24
_BLOCK_ELEMENTS = 1 << 22
# Names of packings in a file, where they differ from what a machine moves.
_CODEC_OF = {"ternary2": "hf"}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TernaryAnatomy:
    """A ternary linear, counted.

    Attributes:
        name: Of the checkpoint, without ``.weight``.
        outputs: Rows of the matrix.
        inputs: Its columns.
        minus: Weights that are -1.
        zero: Weights that are 0.
        plus: Weights that are +1.
        dead_outputs: Rows without a weight that counts: their output is always 0.
        dead_inputs: Columns without one: no output reads that input.
        most_nonzero: Weights that count in the row that has most of them.
    """

    name: str
    outputs: int
    inputs: int
    minus: int
    zero: int
    plus: int
    dead_outputs: int
    dead_inputs: int
    most_nonzero: int

    @property
    def dead_weights(self) -> int:
        """Return the zeros that lie in a dead row or column: a smaller matrix does without."""
        left = (self.outputs - self.dead_outputs) * (self.inputs - self.dead_inputs)
        return self.outputs * self.inputs - left

    @property
    def entropy(self) -> float:
        """Return the order-0 entropy in bits a weight."""
        return entropy_bits(self.minus, self.zero, self.plus) / (self.outputs * self.inputs)

    @property
    def widest_sum(self) -> int:
        """Return the largest |sum| that any int8 codes can reach, in any order of addition."""
        return LARGEST_CODE * self.most_nonzero


@dataclass(frozen=True)
class DenseAnatomy:
    """A linear of floats: its name, shape, storage (``F32``, ``F16`` or ``BF16``) and zeros."""

    name: str
    outputs: int
    inputs: int
    storage: str
    zero: int


class Widths(NamedTuple):
    """How far the sums of one linear went on a text.

    Attributes:
        sum: Largest |sum| of an output.
        prefix: Largest |running sum| in ascending k.
        magnitude: Largest sum of |code * weight|: no order of addition exceeds it.
    """

    sum: int
    prefix: int
    magnitude: int


Linear = TernaryAnatomy | DenseAnatomy


def signed_bits(widest: int) -> int:
    """Return the bits of a two's complement number that holds -widest .. widest."""
    return widest.bit_length() + 1


def place(name: str) -> tuple[int, str]:
    """Return layer and kind of a linear: (3, ``gate``) of ``model.layers.3.mlp.gate_proj``."""
    parts = name.split(".")
    return int(parts[2]), parts[-1].removesuffix("_proj")


def dissect(checkpoint: Checkpoint, progress: Progress) -> list[Linear]:
    """Count every linear of a checkpoint, in the order they run."""
    linears: list[Linear] = []
    for number, (name, weight) in enumerate(checkpoint.linears.items(), start=1):
        progress(f"counting weights, tensor {number} of {len(checkpoint.linears)}")
        if isinstance(weight, TernaryWeight):
            linears.append(dissect_ternary(name, weight))
        else:
            linears.append(dissect_dense(name, weight))
    return linears


def dissect_ternary(name: str, weight: TernaryWeight) -> TernaryAnatomy:
    """Count one ternary matrix from its packed bytes."""
    outputs, inputs = weight.shape
    packed = np.asarray(weight.packed)
    zeros = np.empty((packed.shape[0], 4), np.int32)
    pluses = np.empty_like(zeros)
    column_zeros = np.zeros(inputs, np.int32)
    step = max(1, _BLOCK_BYTES // inputs)
    for begin in range(0, packed.shape[0], step):
        rows = slice(begin, begin + step)
        anatomy_kernels.count_rows(packed[rows], zeros[rows], pluses[rows], column_zeros)
    # Field i of packed row r is output i * quarter + r; rows past the outputs hold zeros.
    row_zeros = zeros.T.reshape(-1)[:outputs]
    zero, plus = int(row_zeros.sum(dtype=np.int64)), int(pluses.sum(dtype=np.int64))
    return TernaryAnatomy(
        name=name,
        outputs=outputs,
        inputs=inputs,
        minus=outputs * inputs - zero - plus,
        zero=zero,
        plus=plus,
        dead_outputs=int((row_zeros == inputs).sum()),
        dead_inputs=int((column_zeros == 4 * packed.shape[0]).sum()),
        most_nonzero=inputs - int(row_zeros.min()),
    )


def dissect_dense(name: str, weight: DenseWeight) -> DenseAnatomy:
    """Count the zeros of one float matrix."""
    flat = weight.stored.reshape(-1)
    zero = 0
    for begin in range(0, flat.size, _BLOCK_ELEMENTS):
        block = flat[begin : begin + _BLOCK_ELEMENTS]
        zero += block.size - int(np.count_nonzero(widen(block)))
    outputs, inputs = weight.shape
    return DenseAnatomy(name, outputs, inputs, weight.storage, zero)


def tensor_row(linear: Linear, widths: Widths | None = None) -> dict[str, Any]:
    """Return one linear as plain JSON; bits are those of a signed accumulator.

    Keys of every row: name, layer, kind, shape, format, zeros. Of a ternary one also plus, minus,
    dead_outputs, dead_inputs, dead_weights, entropy_bits (a weight), widest_sum and worst_bits (any
    codes), any_weights_bits (any codes, any weights of this shape); with ``widths`` also text_sum,
    text_prefix, text_magnitude and text_bits (running sums in ascending k).
    """
    layer, kind = place(linear.name)
    row = {
        "name": linear.name,
        "layer": layer,
        "kind": kind,
        "shape": [linear.outputs, linear.inputs],
        "format": linear.storage if isinstance(linear, DenseAnatomy) else "ternary",
        "zeros": linear.zero,
    }
    if isinstance(linear, TernaryAnatomy):
        row |= {
            "plus": linear.plus,
            "minus": linear.minus,
            "dead_outputs": linear.dead_outputs,
            "dead_inputs": linear.dead_inputs,
            "dead_weights": linear.dead_weights,
            "entropy_bits": linear.entropy,
            "widest_sum": linear.widest_sum,
            "worst_bits": signed_bits(linear.widest_sum),
            "any_weights_bits": signed_bits(LARGEST_CODE * linear.inputs),
        }
    if widths is not None:
        row |= {f"text_{key}": value for key, value in widths._asdict().items()}
        row["text_bits"] = signed_bits(widths.prefix)
    return row


def dense_rows(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the tensors that are no linears as plain JSON: name, shape, format, bytes."""
    return [
        {
            "name": name,
            "shape": list(weight.shape),
            "format": weight.storage,
            "bytes": weight.stored.nbytes,
        }
        for name, weight in checkpoint.dense.items()
    ]


def footprint_rows(linears: Iterable[Linear]) -> list[dict[str, Any]]:
    """Return all ternary linears in every packing and as float32, last their entropy; plain JSON.

    Keys: those of `FootprintRow`, which says what a machine moves; file_bytes, what the tensors
    take in a file, None where the packing is no format of a file or cannot hold them; refused, why
    it cannot. Without ternary linears there are no rows.
    """
    tensors = [
        Tensor(t.name, t.outputs, t.inputs, t.minus, t.zero, t.plus)
        for t in linears
        if isinstance(t, TernaryAnatomy)
    ]
    if not tensors:
        return []
    *table, least = footprint_table(tensors)
    weights = sum(t.outputs * t.inputs for t in tensors)
    # In float32 a weight is 0 or exactly plus or minus the scale, so nothing is lost.
    wide = FootprintRow("fp32", weights * FLOAT32_BITS // 8, float(FLOAT32_BITS), True, "")
    shapes = [(t.outputs, t.inputs) for t in tensors]
    return [{**row._asdict(), **_file_size(row.packing, shapes)} for row in (*table, wide, least)]


def _file_size(packing: str, shapes: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """Return file_bytes and refused of tensors of these shapes."""
    codec = CODECS.get(_CODEC_OF.get(packing, packing))
    if codec is None:
        return {"file_bytes": None, "refused": None}
    try:
        return {"file_bytes": sum(codec.nbytes(*shape) for shape in shapes), "refused": None}
    except UserError as error:
        return {"file_bytes": None, "refused": f"{error.message} ({error.value})"}


def widths_on_text(network: Network, ids: Sequence[int], progress: Progress) -> dict[str, Widths]:
    """Run tokens and return how far the sums of every ternary linear went, by its name.

    Args:
        network: Of ternary linears.
        ids: Tokens of one text, as many as the network has positions at most.
        progress: Told what is going on.

    Raises:
        UserError: no token, a token outside the vocabulary, more tokens than positions, or no
            ternary linear.
    """
    if not network.config.ternary:
        raise UserError("no linear is ternary: there are no integer sums to measure")
    gauge = _Gauge(network.checkpoint, len(ids), progress)
    cache = network.new_cache(1, len(ids))
    for begin in range(0, max(len(ids), 1), PASS_TOKENS):
        part = np.array([ids[begin : begin + PASS_TOKENS]], np.int64)
        network.forward(part, cache, last=1, observer=gauge)
        gauge.done += part.size
    return gauge.widths


class _Gauge:
    """Watches a network and keeps the widest sums of each linear."""

    def __init__(self, checkpoint: Checkpoint, tokens: int, progress: Progress) -> None:
        self.widths: dict[str, Widths] = {}
        self.done = 0
        self._checkpoint = checkpoint
        self._tokens = tokens
        self._progress = progress
        self._threads = Threads()

    def __call__(self, name: str, layer: int, kind: str, *operands: NDArray[Any]) -> None:
        weight = self._checkpoint.linears.get(name)
        if kind != "gemm" or not isinstance(weight, TernaryWeight):
            return
        layers = self._checkpoint.config.layers
        end = min(self.done + PASS_TOKENS, self._tokens)
        self._progress(f"measuring sums, {end} of {self._tokens} tokens, layer {layer} of {layers}")
        codes, sums = operands
        found = Widths(int(np.abs(sums).max()), *self._widest(codes, weight))
        before = self.widths.get(name, found)
        self.widths[name] = Widths(*map(max, before, found))

    def _widest(self, codes: NDArray[np.int8], weight: TernaryWeight) -> tuple[int, int]:
        """Return `widest_sums`, tokens shared among threads."""
        found: list[tuple[int, int]] = []

        def rows(begin: int, end: int) -> None:
            found.append(widest_sums(codes[begin:end], weight))

        self._threads.split(rows, codes.shape[0], codes.size * weight.shape[0])
        prefixes, magnitudes = zip(*found, strict=True)
        return max(prefixes), max(magnitudes)
