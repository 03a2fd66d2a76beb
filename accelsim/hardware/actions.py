"""Everything a machine can be billed for, as one enumeration of counters.

A design turns an operator into counts of these actions; a technology prices them. The first block
exists once per *role* (linear layers, attention, lm_head), because a design may give each role a
unit of its own; ``counter(role, action)`` is its index. The second block is shared.
"""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """What a matrix unit works on."""

    LINEAR = 0
    ATTENTION = 1
    LM_HEAD = 2


class UnitAction(IntEnum):
    """Actions of a matrix unit, counted per role."""

    PRODUCT = 0  # product of two dense operands
    PRODUCT_TERNARY = 1  # product, or selection, with a ternary second operand
    ADD = 2  # addition of one product, at operand width
    ACCUMULATE = 3  # what the accumulator's width adds to that addition
    TREE_ADD = 4  # adder of a dot-product unit's tree
    NORMALISE = 5  # normalisation of a fused floating dot product
    ACCUMULATOR_CLOCK = 6  # accumulator and pipeline bits clocked in active PEs
    ACCUMULATOR_TOGGLE = 7  # bits that change in them
    OPERAND_CLOCK = 8  # operand register bits clocked in active PEs
    OPERAND_TOGGLE = 9  # bits that change in them; each also moves one PE pitch of wire
    IDLE_CLOCK = 10  # register bits clocked in PEs without a step
    DECODE = 11  # weights unpacked
    CAST = 12  # int8 codes turned into the port's float
    PARTIAL_ADD = 13  # partial sums added across k-folds, at accumulator width
    DRAIN = 14  # accumulator bits shifted through the drain chain
    VECTOR_MAC = 15  # multiply-add on the vector unit instead of an array


class SharedAction(IntEnum):
    """Actions that belong to no matrix unit."""

    VECTOR_ADD = 0
    VECTOR_MUL = 1
    VECTOR_COMPARE = 2
    VECTOR_EXP = 3
    VECTOR_RSQRT = 4
    VECTOR_RECIPROCAL = 5
    VECTOR_QUANTISE = 6
    VECTOR_DEQUANTISE = 7
    VECTOR_CONVERT = 8
    SCALE_COMPARE = 9  # absmax: billed with the casts
    DRAIN_DEQUANTISE = 10  # scaling at the array's edge
    ACTIVATION_READ = 11  # SRAM bits
    ACTIVATION_WRITE = 12
    WEIGHT_READ = 13
    WEIGHT_WRITE = 14
    OUTPUT_READ = 15
    OUTPUT_WRITE = 16
    DRAM_READ = 17  # bytes, whole bursts
    DRAM_WRITE = 18
    INSTRUCTION = 19  # tiles and vector passes issued
    CONTROL_CYCLE = 20  # cycles a matrix unit is sequenced
    CYCLE = 21  # cycles that pass: leakage and background power


ROLES = len(Role)
UNIT_ACTIONS = len(UnitAction)
SHARED = ROLES * UNIT_ACTIONS
COUNTERS = SHARED + len(SharedAction)


def counter(role: int, action: int) -> int:
    """Return the index of ``action`` of ``role``."""
    return role * UNIT_ACTIONS + action


def counter_names() -> tuple[str, ...]:
    """Return the name of every counter, ``linear.product`` or ``dram_read``."""
    units = [f"{r.name.lower()}.{a.name.lower()}" for r in Role for a in UnitAction]
    return (*units, *(a.name.lower() for a in SharedAction))
