"""Libraries in, technologies out: the run behind ``accelsim rtl synthesise``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.errors import UserError, did_you_mean
from accelsim.files import write_whole
from accelsim.rtl.characterise import Mapped, Progress
from accelsim.rtl.findings import (
    continued,
    new_record,
    put_pe,
    put_primitive,
    put_register,
    rows,
    write_record,
)
from accelsim.rtl.liberty import Library, read_library
from accelsim.rtl.netlist_verilog import verilog
from accelsim.rtl.pe_measure import Operands, measure
from accelsim.rtl.pe_subjects import SUBJECTS, Subject
from accelsim.rtl.primitives import (
    Primitive,
    measure_primitive,
    measure_register,
    primitives,
)
from accelsim.rtl.synthesis import Mapper

PRIMITIVES = "primitives"  # stands for all of them where names are given
# Cells not meant for logic, too weak to drive any, or that this project does not simulate; and a
# node and a clock that fits it. Libraries that nobody lists leave out nothing.
KNOWN_LIBRARIES: dict[str, tuple[Sequence[str], int, float]] = {
    r"^asap7": (
        ("*x1p*", "*xp*", "SDF*", "*DLL*", "*DHL*", "DFF*Qx4*", "DFFASR*", "ICG*DC*"),
        7,
        1000.0,
    ),
    r"^sky130": (
        ("*probe*", "*lpflow*", "*__edf*", "*__sdf*", "*__sedf*", "*__dl[xr]*", "*clkdly*"),
        130,
        200.0,
    ),
}
DEFAULT_CLOCK_MHZ = 500.0
_CLOCK_MHZ, _NODE_NM = (1, 20_000), (1, 1000)  # what is believed


@dataclass(frozen=True)
class Order:
    """What is to be synthesised.

    Attributes:
        liberty: Files of the library.
        names: PEs of ``SUBJECTS``, primitives, ``primitives`` for all of these; all if empty.
        out: Folder for the files.
        clock_mhz: Clock target; None takes one that fits a known library.
        node_nm: Node; None takes that of a known library.
        excluded: Patterns of cells to leave out of mapping, besides those of a known library.
        name: Of the technology; None takes the library's.
        seed: Of drawn streams.
        netlists: Write the netlist of each as Verilog, too.
    """

    liberty: Sequence[Path]
    names: Sequence[str]
    out: Path
    clock_mhz: float | None = None
    node_nm: int | None = None
    excluded: Sequence[str] = ()
    name: str | None = None
    seed: int = 0
    netlists: bool = False


def synthesise(
    order: Order,
    operands: Callable[[], Sequence[Operands]],
    network: str,
    progress: Progress,
) -> dict[str, Any]:
    """Synthesise and measure PEs and primitives with one library; write what was found.

    What is in the folder already and is not asked for again stays.

    Args:
        order: What is to be synthesised.
        operands: What the linears of a network multiply; called where a PE is to be measured.
        network: Its name.
        progress: Told what is going on.

    Returns:
        Keys library, clock_mhz, rows (see `findings.rows`), files.

    Raises:
        UserError: A bad library, an unknown name, missing tools, files of another library.
    """
    units, chosen = _wanted(order.names or [PRIMITIVES, *SUBJECTS])
    _check_options(order)
    progress("reading the library")
    library = read_library(order.liberty)
    known, node, clock = _target(library, order)
    label = order.name or re.sub(r"\W+", "_", library.texts[0].name)
    mapper = Mapper(library, [*known, *order.excluded])
    try:
        record = new_record(mapper, clock, network if chosen else "")
        record = continued(record, order.out / f"{label}.json")
        # Shares of PEs need the energy of a flop.
        put_register(record, measure_register(mapper, 1e6 / clock, progress))
        netlists: list[Path] = []
        for unit in units:
            found = measure_primitive(mapper, unit, 1e6 / clock, order.seed, progress)
            put_primitive(record, found)
            netlists += _netlist(order, unit.name, found.best)
        files = write_record(record, order.out, label, node)
        streams = operands() if chosen else ()
        for subject in chosen:
            pe = measure(mapper, subject, 1e6 / clock, streams, order.seed, progress)
            put_pe(record, pe)
            # A PE takes minutes: what is known by now survives an interruption.
            files = write_record(record, order.out, label, node)
            netlists += _netlist(order, subject.name, pe.best)
    finally:
        mapper.close()
    return {
        "library": library.name,
        "clock_mhz": clock,
        "rows": rows(record),
        "files": [str(file) for file in [*files, *netlists]],
    }


def _netlist(order: Order, name: str, mapped: Mapped) -> list[Path]:
    """Write a netlist where they are asked for; return its path, if any."""
    if not order.netlists:
        return []
    path = order.out / "netlists" / f"{name}.v"
    return [write_whole(path, verilog(mapped.netlist).encode(), parents=True)]


def _wanted(names: Sequence[str]) -> tuple[list[Primitive], list[Subject]]:
    """Return the primitives and PEs of these names, each once, in the order of their tables."""
    units = {each.name: each for each in primitives()}
    for name in names:
        if name not in (PRIMITIVES, *units, *SUBJECTS):
            allowed = did_you_mean(name, [PRIMITIVES, *units, *SUBJECTS])
            raise UserError("unknown PE or primitive", key="PE", value=name, allowed=allowed)
    return (
        [each for name, each in units.items() if name in names or PRIMITIVES in names],
        [each for name, each in SUBJECTS.items() if name in names],
    )


def _check_options(order: Order) -> None:
    """Refuse numbers out of range, and a name that leads out of the folder."""
    for key, value, (least, most) in (
        ("--clock-mhz", order.clock_mhz, _CLOCK_MHZ),
        ("--node-nm", order.node_nm, _NODE_NM),
    ):
        if value is not None and not least <= value <= most:
            raise UserError("out of range", key=key, value=value, allowed=f"{least} to {most}")
    if order.name is not None and not re.fullmatch(r"\w[\w.-]*", order.name):
        allowed = "letters, digits, _, - and ., not leading: it names files"
        raise UserError("is no name", key="--name", value=order.name, allowed=allowed)


def known_library(library: Library) -> tuple[Sequence[str], int | None, float]:
    """Return cells to leave out, node in nm (None if unknown) and clock in MHz for a library."""
    name = library.texts[0].name
    found = next((row for key, row in KNOWN_LIBRARIES.items() if re.search(key, name)), None)
    return found or ((), None, DEFAULT_CLOCK_MHZ)


def _target(library: Library, order: Order) -> tuple[Sequence[str], int, float]:
    """Return cells to leave out, node and clock."""
    excluded, known_node, known_clock = known_library(library)
    node = known_node if order.node_nm is None else order.node_nm
    if node is None:
        raise UserError("is missing", key="--node-nm", allowed="the node of an unknown library")
    return excluded, node, known_clock if order.clock_mhz is None else order.clock_mhz
