"""Which operands stay in SRAM, decided once per design from workload-wide footprints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.formats import row_numerator
from accelsim.hardware.design import MACHINE_DTYPE, Decoder, Designs, Family, Resident
from accelsim.trace import Phase, Stationary, Trace

Integers = npt.NDArray[np.int64]

_PACKING = ("numerator", "denominator", "block", "rest_bits", "tensor_bits")

# A machine with a workload in its memories, as kernels read it: bytes of each class, and of them
# those that stay in SRAM.
LOADED_DTYPE = np.dtype(
    [(name, MACHINE_DTYPE[name]) for name in MACHINE_DTYPE.names or ()]
    + [(name, np.int64, (len(Resident),)) for name in ("kept", "totals")]
)


def class_bytes(trace: Trace, designs: Designs | Family) -> Integers:
    """Return the stored bytes of every Resident class, int64 [D, classes]."""
    footprint, machines = trace.footprint, designs.machines
    columns = [np.empty(0, dtype=np.int64)] * len(Resident)
    columns[Resident.NORM] = _bytes(footprint.norm * machines["norm_bits"])
    columns[Resident.CACHE] = _bytes(footprint.cache * machines["kv_bits"])
    columns[Resident.WEIGHTS] = weight_bytes(trace, designs)
    columns[Resident.HEAD] = _bytes(footprint.head * machines["head_bits"])
    return np.stack(columns, axis=1)


def passes_of(trace: Trace) -> Integers:
    """Return the passes of each phase, at least 1 each, int64 [2]."""
    return np.array([1, max(trace.workload.decode, 1)], dtype=np.int64)


def weight_bytes(trace: Trace, designs: Designs | Family) -> Integers:
    """Return the bytes of all packed weights of a network, int64 [D]."""
    packing = [designs.machines[f"packing_{name}"] for name in _PACKING]
    size = len(designs.machines)
    if all((column == column[:1]).all() for column in packing):  # as in every family
        packing = [column[:1] for column in packing]
    numerator, denominator, block, rest_bits, tensor_bits = packing
    result = np.zeros(len(numerator), dtype=np.int64)
    for row in packed_rows(trace):
        bits_of_row = row_numerator(numerator, denominator, block, rest_bits, row["k"])
        bits = -(-row["n"] * bits_of_row // denominator) + tensor_bits
        result += row["distinct"] * _bytes(bits)
    return np.broadcast_to(result, size)


def packed_rows(trace: Trace) -> npt.NDArray[np.void]:
    """Return the operators whose ``distinct`` second operands are all packed weights, each once.

    Every phase uses all of them, so those of the first phase that has any.
    """
    o = trace.operators
    packed = o[np.isin(o["stationary"], (Stationary.TERNARY, Stationary.DENSE))]
    first: npt.NDArray[np.void] = packed[
        packed["phase"] == packed["phase"].min(initial=Phase.DECODE)
    ]
    return first


def kept_bytes(totals: Integers, designs: Designs | Family) -> Integers:
    """Return how many bytes of each class need not come from DRAM again, int64 [D, classes].

    In the order that the design states; the cache stays in the activation buffer, everything else
    in the weight buffer, each beside the part that streams. A class may stay in part. Weights that
    are unpacked on arrival take their unpacked size.
    """
    machines = designs.machines
    kept = np.zeros_like(totals)
    taken = totals.copy()
    numerator, denominator = machines["packing_numerator"], machines["packing_denominator"]
    unpacked = machines["unpacked_bits"] * denominator
    on_arrival = machines["decoder"] == Decoder.DRAM
    grown = -(-totals[:, Resident.WEIGHTS] * unpacked // numerator)
    taken[:, Resident.WEIGHTS] = np.where(on_arrival, grown, totals[:, Resident.WEIGHTS])
    weight_room = machines["weight_keep"].copy()
    activation_room = machines["activation_keep"].copy()
    for position in range(len(Resident)):
        named = machines[f"resident_{position}"]
        for resident in Resident:
            chosen = named == resident
            if not chosen.any():
                continue
            room = activation_room if resident == Resident.CACHE else weight_room
            stays = np.where(chosen, np.minimum(taken[:, resident], room), 0)
            kept[:, resident] += stays
            room -= stays
    shrunk = kept[:, Resident.WEIGHTS] * numerator // unpacked
    kept[:, Resident.WEIGHTS] = np.where(on_arrival, shrunk, kept[:, Resident.WEIGHTS])
    return np.minimum(kept, totals)


def loaded_machines(
    machines: npt.NDArray[np.void], kept: Integers, totals: Integers
) -> npt.NDArray[np.void]:
    """Return ``MACHINE_DTYPE`` [D] with int64 [D, classes] each, as ``LOADED_DTYPE`` [D]."""
    columns = np.ascontiguousarray(machines).view(np.int64).reshape(len(machines), -1)
    return np.concatenate([columns, kept, totals], axis=1).view(LOADED_DTYPE)[:, 0]


def _bytes(bits: Integers) -> Integers:
    return np.asarray((bits + 7) // 8, dtype=np.int64)
