"""One ``.npz`` with all that another implementation of the same network can be compared with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.files import write_whole
from accelsim.functional.generate import Generation, Sampling, generate
from accelsim.functional.network import Network


class _Recorder:
    """Keeps the codes and accumulators of every ternary linear, rows behind rows."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.is_prompt = True

    def __call__(self, name: str, layer: int, kind: str, *operands: NDArray[Any]) -> None:
        codes, accumulators = operands[:2]
        if self.is_prompt and kind == "gemm" and codes.dtype == np.int8:
            self.arrays[f"{name}.q"] = codes
            self.arrays[f"{name}.acc"] = accumulators

    def start_pass(self, number: int) -> None:
        self.is_prompt = number == 0


def write_dump(
    network: Network,
    prompt: ArrayLike,
    new_tokens: int,
    path: Path,
    sampling: Sampling | None = None,
) -> Generation:
    """Generate from a prompt and write what happened to ``path``.

    The file holds ``input_ids`` int64 [n], ``logits`` float32 [n, V] of all prompt positions,
    ``tokens`` int64 [new], and of each ternary linear the prompt's int8 codes ``NAME.q`` [n, k] and
    int32 accumulators ``NAME.acc`` [n, outputs], NAME as in the checkpoint without ``.weight``.

    Args:
        network: What to run.
        prompt: Token ids [n].
        new_tokens: How many to generate.
        path: Written under a temporary name and moved into place.
        sampling: None takes the likeliest token.

    Raises:
        UserError: as `generate`; or the file cannot be written.
    """
    ids = np.asarray(prompt).reshape(-1)
    recorder = _Recorder()
    result = generate(
        network,
        ids[None],
        new_tokens,
        sampling=sampling,
        all_logits=True,
        observer=recorder,
        before_pass=recorder.start_pass,
    )
    arrays = {"input_ids": ids, "logits": result.logits[0], "tokens": result.tokens[0]}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays, **recorder.arrays)
    write_whole(path, content.getvalue(), allowed="choose another file with --dump")
    return result
