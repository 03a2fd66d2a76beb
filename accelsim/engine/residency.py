"""Which operands stay in SRAM, decided once per design from workload-wide footprints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.hardware.design import Decoder, Designs, Resident
from accelsim.trace import Footprint

Integers = npt.NDArray[np.int64]


def class_bytes(footprint: Footprint, designs: Designs) -> Integers:
    """Return the stored bytes of every Resident class, int64 [D, classes]."""
    machines = designs.machines
    weights = footprint.ternary + footprint.dense
    numerator, denominator = machines["packing_numerator"], machines["packing_denominator"]
    columns = [np.empty(0, dtype=np.int64)] * len(Resident)
    columns[Resident.NORM] = _bytes(footprint.norm * machines["norm_bits"])
    columns[Resident.CACHE] = _bytes(footprint.cache * machines["kv_bits"])
    columns[Resident.WEIGHTS] = _bytes(-(-weights * numerator // denominator))
    columns[Resident.HEAD] = _bytes(footprint.head * machines["head_bits"])
    return np.stack(columns, axis=1)


def kept_bytes(totals: Integers, designs: Designs) -> Integers:
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
            room = activation_room if resident == Resident.CACHE else weight_room
            stays = np.where(chosen, np.minimum(taken[:, resident], room), 0)
            kept[:, resident] += stays
            room -= stays
    shrunk = kept[:, Resident.WEIGHTS] * numerator // unpacked
    kept[:, Resident.WEIGHTS] = np.where(on_arrival, shrunk, kept[:, Resident.WEIGHTS])
    return np.minimum(kept, totals)


def _bytes(bits: Integers) -> Integers:
    return np.asarray((bits + 7) // 8, dtype=np.int64)
