"""Designs as columns: one YAML is one row, everything downstream is an array over designs.

``hardware/columns.py`` fills these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from accelsim.config import DesignConfig
from accelsim.hardware.pe import PE, lookup_pe

ARRAY, MAC, VECTOR = 0, 1, 2
UNIT_CODES = {"array": ARRAY, "mac": MAC, "vector": VECTOR}


class Organisation(IntEnum):
    """How the PEs of an array are wired."""

    SYSTOLIC_OS = 0
    SYSTOLIC_WS = 1
    SYSTOLIC_IS = 2
    DOT = 3


class Gating(IntEnum):
    """What stops its clock while it has nothing to do."""

    NONE = 0  # everything clocks in every cycle of the workload
    ARRAY = 1  # a unit that is not in use is stopped as a whole
    ROW = 2  # also rows without work
    PE = 3  # also every PE without a step


class Decoder(IntEnum):
    """Where packed weights are unpacked."""

    NONE = 0
    DRAM = 1
    SRAM = 2


class Resident(IntEnum):
    """Operand classes that may stay in SRAM."""

    NORM = 0
    CACHE = 1
    WEIGHTS = 2
    HEAD = 3


# One matrix unit of one design. ``toggle_*``: bits that change at the weight port.
UNIT_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "organisation",
            "rows",
            "cols",
            "lanes",
            "latency",
            "interval",
            "interleave",
            "overlap",
            "gating",
            "accumulator_bits",
            "activation_bits",
            "weight_bits",
            "skips_zero",
            "multiplies",
            "fused",
            "product_bits",
            "casts",
            "toggle_zero_plus",
            "toggle_zero_minus",
            "toggle_plus_minus",
            "operand_register_bits",
            "sum_register_bits",
            "dataflows",  # bit o is set where the unit can take organisation o
            "drain_adders",
        )
    ]
)
BUFFERS = ("activation", "weight", "output")
MACHINE_DTYPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "place_attention",
            "place_lm_head",
            "vector_lanes",
            "vector_latency",
            "packing_numerator",
            "packing_denominator",
            "packing_block",
            "packing_rest_bits",
            "packing_tensor_bits",
            "decoder",
            "unpacked_bits",
            "activation_bits",
            "kv_bits",
            "head_bits",
            "norm_bits",
            "activation_stream",  # bytes that double buffer, and bytes that keep residents
            "activation_keep",
            "weight_stream",
            "weight_keep",
            "output_stream",
            "activation_width",
            "activation_banks",
            "weight_width",
            "weight_banks",
            "output_width",
            "output_banks",
            "dram_capacity",
            "burst",
            "scale_on_drain",
            "absmax_on_write",
            "resident_0",
            "resident_1",
            "resident_2",
            "resident_3",
        )
    ]
    + [
        (name, np.float64)
        for name in ("dram_bytes_per_cycle", "dram_gb_per_s", "dram_gib", "clock_mhz")
    ]
)


@dataclass(frozen=True)
class Designs:
    """Machines as arrays over designs D.

    Attributes:
        configs: The validated YAML of each design, [D].
        units: ``UNIT_DTYPE`` [D, 2]: the array and the mac unit (zeros where there is none).
        machines: ``MACHINE_DTYPE`` [D].
    """

    configs: tuple[DesignConfig, ...]
    units: npt.NDArray[np.void]
    machines: npt.NDArray[np.void]

    def __len__(self) -> int:
        return len(self.machines)


@dataclass(frozen=True)
class Family:
    """Designs that differ in numbers only: one list of parts and charges serves them all.

    Attributes:
        config: One of them; stands for all in names and choices, never in numbers.
        units: ``UNIT_DTYPE`` [G, 2].
        machines: ``MACHINE_DTYPE`` [G].
    """

    config: DesignConfig
    units: npt.NDArray[np.void]
    machines: npt.NDArray[np.void]

    def some(self, chosen: npt.NDArray[np.bool_]) -> Family:
        """Return the designs where ``chosen`` [G] is true."""
        if chosen.all():
            return self
        return Family(self.config, self.units[chosen], self.machines[chosen])


def unit_pe(config: DesignConfig, unit: int) -> PE | None:
    """Return the PE of a unit code, None for the vector unit or a missing mac."""
    part = (config.array, config.mac, None)[unit]
    return None if part is None else lookup_pe(part.pe)
