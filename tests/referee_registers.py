"""What all referee arrays share: the run record, tiles, skew registers and issue ports."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

VALUE, VALID = 0, 1
PATIENCE = 20_000


@dataclass
class Run:
    """What the referee saw; ``table`` maps a cycle to what happened at each named place."""

    outputs: np.ndarray
    folds: int = 0
    cycles: int = 0
    activation_reads: int = 0
    weight_reads: int = 0
    output_writes: int = 0
    partial_reads: int = 0
    table: dict[int, dict[str, str]] = field(default_factory=dict)

    def note(self, cycle: int, place: str, text: str) -> None:
        self.table.setdefault(cycle, {})[place] = text

    @property
    def accesses(self) -> tuple[int, int, int, int]:
        return self.activation_reads, self.weight_reads, self.output_writes, self.partial_reads


def tiles(size: int, tile: int) -> list[tuple[int, int]]:
    return [(start, min(tile, size - start)) for start in range(0, size, tile)]


def garbage(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-128, 128, shape)


class Skew:
    """Delay lane i of a bundle [fields, lanes] by ``delays[i]`` registers."""

    def __init__(self, fields: int, delays: np.ndarray, rng: np.random.Generator) -> None:
        self._line = np.zeros((delays.max() + 1, fields, len(delays)), dtype=np.int64)
        self._line[:, VALUE] = garbage(rng, len(self._line), len(delays))
        self._delays, self._lanes = delays, np.arange(len(delays))

    def clock(self, bundle: np.ndarray) -> np.ndarray:
        self._line[1:] = self._line[:-1].copy()
        self._line[0] = bundle
        return self._line[self._delays, :, self._lanes].T


class IssuePort:
    """Refuses an operation that comes sooner than ``interval`` cycles after the one before."""

    def __init__(self, interval: int, *shape: int) -> None:
        self._interval, self._wait = interval, np.zeros(shape, dtype=np.int64)

    def clock(self, active: np.ndarray) -> None:
        assert not (active & (self._wait > 0)).any(), "issued within the initiation interval"
        self._wait = np.where(active, self._interval - 1, np.maximum(self._wait - 1, 0))
