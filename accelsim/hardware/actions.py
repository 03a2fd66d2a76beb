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

    TERNARY_STEP = 0  # operand pairs taken, masked ones included; the weight is ternary
    TERNARY_WEIGHT_NONZERO = 1  # of these, those whose weight is not zero
    TERNARY_BOTH_NONZERO = 2  # of these, those whose operands both are not zero
    TERNARY_ACTIVATION_TOGGLE = 3  # bits that change at the activation ports of PEs
    TERNARY_WEIGHT_TOGGLE = 4  # bits that change at their weight ports
    DENSE_STEP = 5  # the same where the second operand is not ternary; any of it counts as not zero
    DENSE_WEIGHT_NONZERO = 6
    DENSE_BOTH_NONZERO = 7
    DENSE_ACTIVATION_TOGGLE = 8
    DENSE_WEIGHT_TOGGLE = 9
    ADD = 10  # additions of products to running sums
    REDUCTION = 11  # additions of interleaved partial sums in a PE
    TREE_ADD = 12  # adder of a dot-product unit's tree
    NORMALISE = 13  # normalisation of a fused floating dot product
    ACCUMULATOR_CLOCK = 14  # accumulator and pipeline bits clocked in active PEs
    OPERAND_CLOCK = 15  # operand register bits clocked in active PEs
    IDLE_CLOCK = 16  # register bits clocked in PEs without a step
    DECODE = 17  # weights unpacked
    CAST = 18  # int8 codes turned into the port's float
    PARTIAL_ADD = 19  # partial sums added across k-folds, at accumulator width
    DRAIN = 20  # accumulator bits shifted through the drain chain
    VECTOR_MAC = 21  # multiply-add on the vector unit instead of an array
    OPERAND_TOGGLE = 22  # operand register bits that change; each also moves one PE pitch of wire
    SKEW_TOGGLE = 23  # those of them beyond the ports of PEs: in skew, chains and shadows


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


# What the operands of a step do, in the order of the first two blocks of ``UnitAction``.
EVENTS = ("step", "weight_nonzero", "both_nonzero", "activation_toggle", "weight_toggle")
EVENT_KINDS = ("ternary", "dense")

ROLES = len(Role)
UNIT_ACTIONS = len(UnitAction)
SHARED = ROLES * UNIT_ACTIONS
COUNTERS = SHARED + len(SharedAction)


def counter(role: int, action: int) -> int:
    """Return the index of ``action`` of ``role``."""
    return role * UNIT_ACTIONS + action


def event_action(kind: str, event: str) -> UnitAction:
    """Return the action of one of ``EVENTS`` with a second operand of one of ``EVENT_KINDS``."""
    return UnitAction[f"{kind}_{event}".upper()]


def counter_names() -> tuple[str, ...]:
    """Return the name of every counter, ``linear.ternary_step`` or ``dram_read``."""
    units = [f"{r.name.lower()}.{a.name.lower()}" for r in Role for a in UnitAction]
    return (*units, *(a.name.lower() for a in SharedAction))
