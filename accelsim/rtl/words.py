"""Numbers of numpy as the bits of ports: rows of 32-bit words, one row per cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Integers = npt.NDArray[np.integer]
Stimulus = Mapping[str, Integers | int]

_WORD = 32


@dataclass(frozen=True)
class Port:
    """One port: its name, its bits, and what generated C++ calls it."""

    name: str
    bits: int
    member: str

    @property
    def words(self) -> int:
        """How many 32-bit words a row holds for this port."""
        return -(-self.bits // _WORD)


def rows_of(ports: Sequence[Port], stimulus: Stimulus) -> Words:
    """Lay out what stands at the input ports, [cycles, words], ports in the order of ``ports``.

    Args:
        ports: The input ports.
        stimulus: One entry per port, in one of these forms. Values may be signed or not; they have
            to fit either way.

            - an int: the same value in every cycle
            - integers [cycles], for ports of up to 64 bits
            - integers [cycles, lanes], where lanes divide the port's bits: lane 0 is lowest
            - uint32 [cycles, ceil(bits / 32)]: little-endian words, for ports of any width

    Raises:
        ValueError: A port is missing, unknown, or its array has another length or does not fit.
    """
    names = {port.name for port in ports}
    if names != set(stimulus):
        raise ValueError(f"the inputs are {sorted(names)}, given are {sorted(stimulus)}")
    lengths = {len(v) for v in stimulus.values() if isinstance(v, np.ndarray)}
    if len(lengths) != 1:
        raise ValueError(f"arrays must have one number of cycles, these have {sorted(lengths)}")
    cycles = lengths.pop()
    rows = np.empty((cycles, sum(port.words for port in ports)), np.uint32)
    begin = 0
    for port in ports:
        rows[:, begin : begin + port.words] = _words_of(port, stimulus[port.name])
        begin += port.words
    return rows


def ports_of(ports: Sequence[Port], rows: Words) -> dict[str, npt.NDArray[np.unsignedinteger]]:
    """Take rows [cycles, words] of output ports apart.

    Returns:
        Per port uint32 [cycles] for up to 32 bits, uint64 [cycles] for up to 64, and otherwise
        little-endian words uint32 [cycles, ceil(bits / 32)].
    """
    values: dict[str, npt.NDArray[np.unsignedinteger]] = {}
    begin = 0
    for port in ports:
        words = np.ascontiguousarray(rows[:, begin : begin + port.words])
        if port.words == 1:
            values[port.name] = words[:, 0]
        else:
            values[port.name] = words.view("<u8")[:, 0] if port.words == 2 else words
        begin += port.words
    return values


def signed(values: Integers, bits: int) -> npt.NDArray[np.int64]:
    """Read the low ``bits`` (at most 64) of each value as two's complement."""
    shift = np.int64(64 - bits)
    return (values.astype(np.int64) << shift) >> shift


def lanes_of(values: Integers, bits: int, lanes: int) -> npt.NDArray[np.uint64]:
    """Cut output words into ``lanes`` of ``bits`` (at most 64) each, lane 0 lowest.

    Args:
        values: A port as `ports_of` returns it.

    Returns:
        uint64 [cycles, lanes].
    """
    octets = np.ascontiguousarray(values.reshape(len(values), -1)).view(np.uint8)
    flags = np.unpackbits(octets, axis=1, count=bits * lanes, bitorder="little")
    lane_octets = np.packbits(flags.reshape(-1, lanes, bits), axis=2, bitorder="little")
    padded = np.zeros((len(values), lanes, 8), np.uint8)
    padded[:, :, : lane_octets.shape[2]] = lane_octets
    return padded.view("<u8")[:, :, 0]


def _words_of(port: Port, value: Integers | int) -> Words:
    """Return the words of one port, [cycles or 1, words]."""
    if not isinstance(value, np.ndarray):
        _check_fits(port, min(value, 0), max(value, 0), port.bits)
        octets = (value % (1 << port.bits)).to_bytes(4 * port.words, "little")
        return np.frombuffer(octets, "<u4")[None, :]
    if value.dtype == np.uint32 and value.shape[1:] == (port.words,):
        spare = _WORD * port.words - port.bits
        _check_fits(port, 0, int(value[:, -1].max(initial=0)), _WORD - spare)
        return value.astype("<u4", copy=False)
    lanes = value[:, None] if value.ndim == 1 else value
    bits, rest = divmod(port.bits, lanes.shape[1])
    if rest or bits > 64 or lanes.ndim != 2 or lanes.dtype.kind not in "biu":
        raise ValueError(f"{port.name} of {port.bits} bits cannot take {value.dtype} {value.shape}")
    _check_fits(port, int(lanes.min(initial=0)), int(lanes.max(initial=0)), bits)
    return _packed(lanes, bits, port.words)


def _check_fits(port: Port, low: int, high: int, bits: int) -> None:
    if high >= 1 << bits or low < -(1 << (bits - 1)) or (low < 0 and high >= 1 << (bits - 1)):
        raise ValueError(f"{port.name}: {low} to {high} does not fit {bits} bits")


def _packed(lanes: Integers, bits: int, words: int) -> Words:
    """Put lanes [cycles, lanes] of ``bits`` each side by side into words."""
    octets = np.zeros((len(lanes), 4 * words), np.uint8)
    wide = np.ascontiguousarray(lanes.astype(f"<i{_octets(bits)}", copy=False))
    side_by_side = wide.view(np.uint8).reshape(len(lanes), lanes.shape[1], -1)
    if bits % 8:
        flags = np.unpackbits(side_by_side, axis=2, count=bits, bitorder="little")
        side_by_side = np.packbits(flags.reshape(len(lanes), -1), axis=1, bitorder="little")
    else:
        side_by_side = side_by_side[:, :, : bits // 8]
    flat = side_by_side.reshape(len(lanes), -1)
    octets[:, : flat.shape[1]] = flat
    return octets.view("<u4")


def _octets(bits: int) -> int:
    return next(octets for octets in (1, 2, 4, 8) if bits <= 8 * octets)
