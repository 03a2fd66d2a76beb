"""The fields of designs that agree in every choice and may differ in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.formats import lookup_format, lookup_packing
from accelsim.hardware.pe import lookup_pe

STORED = ("activation", "kv", "head", "norm")  # what a design names a storage format for


@dataclass(frozen=True)
class Fields:
    """The numbers of G designs that agree in everything else.

    Attributes:
        config: Gives names and choices, and every number without a column.
        columns: By path, ``array.rows`` for instance: int64 or float64 [G].
        size: G.
    """

    config: DesignConfig
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    size: int = 1

    def number(self, path: str) -> Any:
        """Return a column, or the number (or None) that all designs share."""
        column = self.columns.get(path)
        return value_at(self.config, path) if column is None else column

    def some(self, chosen: npt.NDArray[np.bool_]) -> Fields:
        """Return the fields of the designs where ``chosen`` [G] is true."""
        if chosen.all():
            return self
        columns = {path: column[chosen] for path, column in self.columns.items()}
        return Fields(self.config, columns, int(chosen.sum()))


def value_at(config: DesignConfig, path: str) -> Any:
    """Return the field of a design at ``path``."""
    return reduce(getattr, path.split("."), config)


def resolve_names(config: DesignConfig, file: object) -> None:
    """Look up the PEs, packing and formats of a design; raise UserError for an unknown one."""
    for key, unit in (("array", config.array), ("mac", config.mac)):
        if unit is not None:
            lookup_pe(unit.pe, file=file, key=f"{key}.pe")
    lookup_packing(config.weights.packing, file=file, key="weights.packing")
    for name in STORED:
        lookup_format(getattr(config.formats, name), file=file, key=f"formats.{name}")
