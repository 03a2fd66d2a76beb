"""Static and external memory: energy a bit, area, leakage and access time, one row per design.

Static memory starts from a table of CACTI 7 (size, width -> energy, area, leakage, time) at the
node the technology names, times the technology's four ``sram.*.factor`` prices. Between the
points of the table every quantity is a straight line over logarithms of size and width.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError, did_you_mean
from accelsim.hardware.prices import Price, weakest
from accelsim.hardware.technology import TECHNOLOGY_FOLDER, Technology

SRAM_TABLE_FILE = TECHNOLOGY_FOLDER / "sram_cacti.csv"
SRAM_SOURCE = "CACTI 7 (sources in hwcomponents-cacti 1.0.40), itrs-lstp, 300 K, one bank"
# Past the table's ends the last line goes on for this factor in size, marked; then it is refused.
REACH = 8
OUT_OF_REACH = "bank of static memory is out of reach of the memory model"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SramTable:
    """CACTI points of one node; sizes and widths double from one to the next.

    Attributes:
        sizes_bytes: Bank sizes, ascending [S].
        widths_bits: Port widths, ascending [W].
        read_pj: Energy of one read access [S, W]; the others likewise.
    """

    node_nm: int
    sizes_bytes: Floats
    widths_bits: Floats
    read_pj: Floats
    write_pj: Floats
    area_um2: Floats
    leakage_mw: Floats
    access_ns: Floats
    _logs: dict[str, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def logarithms(self, quantity: str) -> Floats:
        """Return the logarithms of one of the tables of quantities, [S * W]."""
        if quantity not in self._logs:
            self._logs[quantity] = np.log(getattr(self, quantity)).ravel()
        return self._logs[quantity]


@dataclass(frozen=True)
class SramColumns:
    """Prices of one buffer in D designs; value, low and high are float64 [D].

    Area and leakage are of all banks together, the access time of one. ``how`` is the weakest
    over the designs asked together; ask for one design to know its own.
    """

    read_pj_per_bit: Price
    write_pj_per_bit: Price
    area_um2: Price
    leakage_mw: Price
    access_ns: Price


@dataclass(frozen=True)
class DramPrices:
    """Prices of one kind of external memory."""

    energy: Price  # pJ/bit, scope in its source
    background: Price  # mW/GiB, for every second that passes
    controller_energy: Price  # pJ/bit, on the accelerator's side
    controller_area: Price  # um2/(GB/s) of peak bandwidth


def sram_bank(
    technology: Technology, capacity_bytes: Any, width_bits: Any, banks: Any
) -> SramColumns:
    """Price a buffer of ``capacity_bytes`` cut into ``banks`` equal banks.

    A port wider than the table's widest is made of slices side by side; a narrower one than its
    narrowest reads that word and drops the rest.

    Args:
        technology: Gives the table's node and the factors on it.
        capacity_bytes: Of the whole buffer [D].
        width_bits: Of one bank's port [D].
        banks: How many banks [D].

    Raises:
        UserError: a bank is more than eight times smaller or larger than the table's ends.
    """
    place = _place(technology, capacity_bytes, width_bits, banks)
    looked_up = {
        quantity: _interpolate(quantity, place)
        for quantity in ("read_pj", "write_pj", "area_um2", "leakage_mw", "access_ns")
    }
    bits = place.width / place.slices  # of what a slice reads, the bits somebody asked for
    parts = place.count * place.slices

    def priced(name: str, numbers: Floats, unit: str, factor: str) -> Price:
        return _scaled(technology, name, numbers, unit, factor, place.outside)

    return SramColumns(
        priced("sram.read.energy", looked_up["read_pj"] / bits, "pJ/bit", "energy"),
        priced("sram.write.energy", looked_up["write_pj"] / bits, "pJ/bit", "energy"),
        priced("sram.area", looked_up["area_um2"] * parts, "um2", "area"),
        priced("sram.leakage", looked_up["leakage_mw"] * parts, "mW", "leakage"),
        priced("sram.access", looked_up["access_ns"], "ns", "access"),
    )


def bank_access(technology: Technology, capacity_bytes: Any, width_bits: Any, banks: Any) -> Price:
    """Return the access time of one bank in ns; arguments and errors as in ``sram_bank``."""
    place = _place(technology, capacity_bytes, width_bits, banks)
    numbers = _interpolate("access_ns", place)
    return _scaled(technology, "sram.access", numbers, "ns", "access", place.outside)


@dataclass(frozen=True)
class _Place:
    """Where the banks of D buffers lie between the points of a table, [D] each."""

    table: SramTable
    width: Floats  # of a bank's port
    count: Floats  # banks
    slices: Floats  # side by side in a bank
    cell: Integers  # of the flat table, the corner of the smaller size and width
    along_sizes: Floats
    along_widths: Floats
    corner: Integers  # of the flat table, the point that the place is; -1 between points
    outside: bool


def _place(technology: Technology, capacity_bytes: Any, width_bits: Any, banks: Any) -> _Place:
    table = load_sram_table(technology.sram_table_node_nm)
    size, width, count, slices = _slices(table, capacity_bytes, width_bits, banks)
    outside = _outside(table, size)
    port = np.clip(width / slices, table.widths_bits[0], None)
    (row, along_sizes), (column, along_widths) = (
        _cell(table.sizes_bytes, size),
        _cell(table.widths_bits, port),
    )
    stride = len(table.widths_bits)
    cell = row * stride + column
    ends = (along_sizes == 0, along_sizes == 1, along_widths == 0, along_widths == 1)
    corner = np.where(ends[1], cell + stride, cell) + ends[3]
    corner = np.where((ends[0] | ends[1]) & (ends[2] | ends[3]), corner, -1)
    return _Place(table, width, count, slices, cell, along_sizes, along_widths, corner, outside)


def _slices(
    table: SramTable, capacity_bytes: Any, width_bits: Any, banks: Any
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the bytes of a slice, the width of a bank, banks, and slices of each, all [D]."""
    capacity, width, count = np.broadcast_arrays(
        np.atleast_1d(np.asarray(capacity_bytes, dtype=np.float64)),
        np.asarray(width_bits, dtype=np.float64),
        np.asarray(banks, dtype=np.float64),
    )
    slices = np.ceil(width / table.widths_bits[-1])
    return capacity / (count * slices), width, count, slices


def banks_in_reach(
    technology: Technology, capacity_bytes: Any, width_bits: Any, banks: Any
) -> npt.NDArray[np.bool_]:
    """Return which buffers ``sram_bank`` can price, bool [D]; arguments as there."""
    table = load_sram_table(technology.sram_table_node_nm)
    size, *_ = _slices(table, capacity_bytes, width_bits, banks)
    return ~_far(table, size)


def banks_for_bandwidth(
    access_ns: Any, clock_mhz: Any, bits_per_cycle: Any, width_bits: Any, minimum_banks: Any
) -> Integers:
    """Return how many banks deliver ``bits_per_cycle`` every cycle, at least ``minimum_banks``.

    A bank is not pipelined: it starts an access every ceil(access time x clock) cycles. Smaller
    banks are no slower, so the access time of ``minimum_banks`` gives a count that suffices.

    Args:
        access_ns: Access time of one bank [D].
        clock_mhz: Clock [D].
        bits_per_cycle: Bandwidth the buffer must sustain [D].
        width_bits: Port of one bank [D].
        minimum_banks: Banks the design asks for [D].

    Returns:
        int64 [D].
    """
    cycles = np.ceil(
        np.asarray(access_ns, dtype=np.float64) * np.asarray(clock_mhz) / 1000 - 1e-9
    ).clip(1)
    needed = np.ceil(np.asarray(bits_per_cycle, dtype=np.float64) * cycles / width_bits)
    result: Integers = np.maximum(needed.astype(np.int64), minimum_banks).astype(np.int64)
    return result


def dram_prices(technology: Technology, kind: str, *, file: object = None) -> DramPrices:
    """Return the prices of external memory ``kind``; raise UserError for an unknown kind."""
    stem = f"dram.{kind}"
    if technology.find(f"{stem}.energy") is None:
        raise UserError(
            "unknown external memory",
            file=file,
            key="dram.kind",
            value=kind,
            allowed=did_you_mean(kind, dram_kinds(technology)),
        )
    return DramPrices(
        technology.price(f"{stem}.energy"),
        technology.price(f"{stem}.background"),
        technology.price(f"{stem}.controller.energy"),
        technology.price(f"{stem}.controller.area"),
    )


def dram_kinds(technology: Technology) -> tuple[str, ...]:
    """Return the kinds of external memory that the technology prices."""
    parts = [name.split(".") for name in technology.names()]
    return tuple(part[1] for part in parts if part[0] == "dram" and part[2:] == ["energy"])


@lru_cache(maxsize=8)
def load_sram_table(node_nm: int, file: Path = SRAM_TABLE_FILE) -> SramTable:
    """Return the CACTI points of ``node_nm``; raise UserError where the table has none."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        nodes = sorted({int(row["node_nm"]) for row in rows})
        points = {
            (float(row["size_bytes"]), float(row["width_bits"])): row
            for row in rows
            if int(row["node_nm"]) == node_nm
        }
    except (OSError, KeyError, ValueError, TypeError) as cause:
        raise UserError("is no table of static memories", file=file) from cause
    if not points:
        raise UserError(
            "has no such node",
            file=file,
            key="node_nm",
            value=node_nm,
            allowed="allowed: " + ", ".join(map(str, nodes)),
        )
    return _table(node_nm, points, file)


def _table(
    node_nm: int, points: dict[tuple[float, float], dict[str, str]], file: Path
) -> SramTable:
    sizes = sorted({size for size, _ in points})
    widths = sorted({width for _, width in points})

    def grid(column: str) -> Floats:
        try:
            values = np.array([[float(points[s, w][column]) for w in widths] for s in sizes])
        except (KeyError, ValueError) as cause:
            raise UserError("misses a point", file=file, key=f"{node_nm} nm {column}") from cause
        values.flags.writeable = False
        return values

    columns = ("read_pj", "write_pj", "area_um2", "leakage_mw", "access_ns")
    return SramTable(node_nm, np.array(sizes), np.array(widths), *(grid(name) for name in columns))


def _outside(table: SramTable, size: Floats) -> bool:
    """Return whether a bank lies past the table's ends; refuse one that lies far past them."""
    least, most = table.sizes_bytes[0], table.sizes_bytes[-1]
    far = _far(table, size)
    if far.any():
        raise UserError(
            OUT_OF_REACH,
            key="sram",
            value=f"{size[far][0]:.0f} bytes",
            allowed=f"allowed: {least / REACH:.0f} to {most * REACH:.0f} bytes a bank",
        )
    return bool(((size < least) | (size > most)).any())


def _far(table: SramTable, size: Floats) -> npt.NDArray[np.bool_]:
    least, most = table.sizes_bytes[0], table.sizes_bytes[-1]
    far: npt.NDArray[np.bool_] = (size < least / REACH) | (size > most * REACH) | ~np.isfinite(size)
    return far


def _interpolate(quantity: str, place: _Place) -> Floats:
    """Return a quantity at a place: linear over logarithms, exact at the points. [D]."""
    logs, cell, stride = place.table.logarithms(quantity), place.cell, len(place.table.widths_bits)
    at = _between(logs[cell], logs[cell + stride], place.along_sizes)
    if place.along_widths.any():  # no width of the table, as that of almost every family is
        far = _between(logs[cell + 1], logs[cell + stride + 1], place.along_sizes)
        at = _between(at, far, place.along_widths)
    points: Floats = getattr(place.table, quantity).ravel()[place.corner]
    return np.where(place.corner < 0, np.exp(at), points)


def _cell(axis: Floats, position: Floats) -> tuple[Integers, Floats]:
    """Return the interval of ``axis`` that ``position`` is read from, and where it lies in it."""
    if position.size > 1 and (position == position[0]).all():
        index, share = _cell(axis, position[:1])
        return np.broadcast_to(index, position.shape), np.broadcast_to(share, position.shape)
    index = np.clip(np.searchsorted(axis, position, side="right") - 1, 0, len(axis) - 2)
    share = np.log(position / axis[index]) / np.log(axis[1:] / axis[:-1])[index]
    share = np.where(position == axis[index + 1], 1.0, share)
    return index, share


def _between(start: Floats, end: Floats, share: Floats) -> Floats:
    return start + (end - start) * share


def _scaled(
    technology: Technology, name: str, numbers: Floats, unit: str, factor: str, outside: bool
) -> Price:
    """Return the table's numbers times one factor of the technology, with its evidence."""
    scale = technology.price(f"sram.{factor}.factor")
    hows = ["modelled", scale.how, *(["extrapolated"] if outside else [])]
    edge = f"; past the table's sizes by up to {REACH}" if outside else ""
    source = f"{SRAM_SOURCE}, {technology.sram_table_node_nm} nm{edge}; factor: {scale.source}"
    return Price(
        name,
        _sealed(numbers * scale.value),
        _sealed(numbers * scale.low),
        _sealed(numbers * scale.high),
        unit,
        weakest(hows),
        source,
        scale.because,
    )


def _sealed(numbers: Floats) -> Floats:
    numbers.flags.writeable = False
    return numbers
