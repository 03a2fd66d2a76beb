"""Cells of a Liberty library, in one set of units: ps, fF, fJ, nW, um2.

A file's own units are converted as they are read. An entry of an internal power table is an energy
in units of capacitance times voltage squared. Where a file gives tables for power and for ground
pins, the power pins' alone are taken: over a rise and a fall both carry the same charge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt

from accelsim.errors import UserError
from accelsim.rtl.liberty_text import Group, LibertyText, parse_group, read_text
from accelsim.rtl.liberty_units import Units, common_number

Floats = npt.NDArray[np.float64]

# What stands along the columns of a table, wherever a library puts it; slews of the pin itself are
# the rows.
_ACROSS = ("total_output_net_capacitance", "related_pin_transition")


@dataclass(frozen=True)
class Table:
    """Values over input slew (ps) and load (fF); one row or column where one does not matter.

    Of a setup time the columns are slews of the clock (ps).
    """

    slews: Floats
    loads: Floats
    values: Floats  # [slews, loads]

    def at(self, slew: float, load: float) -> float:
        """Return the value between the four nearest entries; past the edge the plane goes on."""
        row, along = _place(self.slews, slew)
        column, across = _place(self.loads, load)
        corner = self.values[row : row + 2, column : column + 2]
        weights = np.array([[1 - along], [along]]) * np.array([[1 - across, across]])
        return float((corner * weights[: corner.shape[0], : corner.shape[1]]).sum())


def _place(points: Floats, wanted: float) -> tuple[int, float]:
    if len(points) == 1:
        return 0, 0.0
    index = min(max(int(np.searchsorted(points, wanted)) - 1, 0), len(points) - 2)
    return index, float((wanted - points[index]) / (points[index + 1] - points[index]))


@dataclass(frozen=True)
class Arc:
    """How a change of ``related`` reaches a pin, or how long before it the pin must be stable."""

    related: str
    kind: str  # timing_type
    sense: str
    rise: Table | None  # ps
    fall: Table | None
    rise_slew: Table | None
    fall_slew: Table | None


@dataclass(frozen=True)
class Power:
    """Energy inside the cell when a pin changes (fJ), where the state of others is ``when``."""

    related: str
    when: str
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True)
class Pin:
    """One signal pin."""

    name: str
    direction: str
    capacitance_ff: float
    function: str
    arcs: tuple[Arc, ...]
    power: tuple[Power, ...]
    role: str  # of a clock gate's pins: clock, enable, test; else ""


@dataclass(frozen=True)
class Flop:
    """An edge-triggered cell: what it stores, and on which edge."""

    clock: str
    falling: bool
    data: str
    inverted: bool
    state: tuple[str, str]  # names of the stored value and of its complement


@dataclass(frozen=True)
class Cell:
    """One kind of cell."""

    name: str
    area_um2: float
    leakage_nw: float
    pins: dict[str, Pin]
    flop: Flop | None
    gates_clock: bool
    stores: bool  # any cell with a state, flop or not

    @property
    def inputs(self) -> tuple[Pin, ...]:
        """Input pins in the order of the file."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "input")

    @property
    def outputs(self) -> tuple[Pin, ...]:
        """Output pins in the order of the file."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "output")


class Library:
    """Cells of one or several files that belong together.

    Attributes:
        name: Names of the files' libraries, joined.
        texts: The files.
        voltage_v: Supply.
        temperature_c: Junction temperature.
    """

    def __init__(self, texts: Sequence[LibertyText]) -> None:
        self.texts = tuple(texts)
        self.name = "+".join(text.name for text in texts)
        for text in texts:
            Units(text)
        self.voltage_v = common_number(texts, "nom_voltage")
        self.temperature_c = common_number(texts, "nom_temperature")
        self._homes: dict[str, LibertyText] = {}
        for text in texts:
            for name in text.cells:
                if name in self._homes:
                    raise UserError(
                        "cell stands in two files",
                        file=text.file,
                        key=name,
                        allowed=f"each cell once; {self._homes[name].file} holds it, too",
                    )
                self._homes[name] = text
        self._parsed: dict[str, Cell] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of all cells."""
        return tuple(self._homes)

    def cell(self, name: str) -> Cell:
        """Return a cell.

        Raises:
            UserError: There is none of that name, or its description is malformed.
        """
        if name not in self._homes:
            raise UserError(
                "unknown cell type",
                file=self.texts[0].file,
                value=name,
                allowed="a cell of " + self.name,
            )
        if name not in self._parsed:
            self._parsed[name] = _cell(name, self._homes[name])
        return self._parsed[name]

    def check(self, excluded: Sequence[str] = ()) -> None:
        """Read every cell but the excluded ones; raise UserError at the first malformed one."""
        for name in self._homes:
            if not is_excluded(name, excluded):
                self.cell(name)

    def plain_flop(self, excluded: Sequence[str] = ()) -> Cell:
        """Return the smallest rising-edge flop with nothing but clock, data and one output.

        Raises:
            UserError: The library has none.
        """
        found = [
            cell
            for cell in (self.cell(name) for name, text in self._flop_texts())
            if cell.flop is not None
            and not cell.flop.falling
            and len(cell.inputs) == 2
            and not is_excluded(cell.name, excluded)
        ]
        if not found:
            raise UserError(
                "has no plain flop",
                file=self.texts[0].file,
                value=self.name,
                allowed="with a rising-edge flop of clock, data and output; more files: --liberty",
            )
        return min(found, key=lambda cell: cell.area_um2)

    def _flop_texts(self) -> list[tuple[str, str]]:
        found = ((name, home.cells[name]) for name, home in self._homes.items())
        return [(name, text) for name, text in found if re.search(r"\bff\s*\(", text)]


def is_excluded(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a cell's name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def read_library(paths: Sequence[Path]) -> Library:
    """Read the files of one library.

    Raises:
        UserError: A file is malformed, they disagree in voltage or temperature, hold the same cell,
            or none of them holds tables of internal power.
    """
    texts = [read_text(Path(path)) for path in paths]
    if not texts:
        raise UserError("is missing", key="--liberty", allowed="one Liberty file or more")
    if not any(text.has_power() for text in texts):
        raise UserError(
            "has no tables of internal power",
            file=texts[0].file,
            allowed="a Liberty file with internal_power groups",
        )
    return Library(texts)


def _cell(name: str, text: LibertyText) -> Cell:
    file = f"{text.file}:{name}"
    group = parse_group(text.cells[name], file)
    try:
        return _built_cell(name, group, Units(text))
    except (ValueError, IndexError, KeyError) as error:
        raise UserError("is a malformed cell", file=file, value=str(error)) from None


def _built_cell(name: str, group: Group, units: Units) -> Cell:
    rails = {
        pin.arguments[0] for pin in group.named("pg_pin") if "power" in pin.one("pg_type", "power")
    }
    pins = {}
    for pin in group.named("pin"):
        for argument in pin.arguments:
            pins[argument] = _pin(argument, pin, units, rails)
    return Cell(
        name,
        float(group.one("area", "0")),
        _leakage(group, rails) * units.power,
        pins,
        _flop(group, pins),
        "clock_gating_integrated_cell" in group.attributes,
        any(True for _ in group.named("ff", "latch", "statetable", "ff_bank", "latch_bank")),
    )


def _leakage(group: Group, rails: set[str]) -> float:
    """Return the stated mean, or the mean over the states that are listed."""
    if "cell_leakage_power" in group.attributes:
        return float(group.one("cell_leakage_power"))
    listed = [
        leak for leak in group.named("leakage_power") if leak.one("related_pg_pin") in {*rails, ""}
    ]
    mean = [leak for leak in listed if "when" not in leak.attributes] or listed
    return float(np.mean([float(leak.one("value")) for leak in mean])) if mean else 0.0


def _pin(name: str, group: Group, units: Units, rails: set[str]) -> Pin:
    edges = [group.one(f"{edge}_capacitance") for edge in ("rise", "fall")]
    stated = [float(text) for text in edges if text] or [float(group.one("capacitance", "0"))]
    roles = {"clock_pin": "clock", "enable_pin": "enable", "test_pin": "test"}
    role = [word for key, word in roles.items() if f"clock_gate_{key}" in group.attributes]
    return Pin(
        name,
        group.one("direction"),
        float(np.mean(stated)) * units.load,
        group.one("function"),
        tuple(_arc(each, units) for each in group.named("timing")),
        tuple(
            _power(each, units)
            for each in group.named("internal_power")
            if each.one("related_pg_pin") in {*rails, ""}
        ),
        role[0] if role else "",
    )


def _arc(group: Group, units: Units) -> Arc:
    tables = {table.name: _table(table, units, units.time) for table in group.groups}
    return Arc(
        group.one("related_pin"),
        group.one("timing_type", "combinational"),
        group.one("timing_sense", "non_unate"),
        tables.get("cell_rise") or tables.get("rise_constraint"),
        tables.get("cell_fall") or tables.get("fall_constraint"),
        tables.get("rise_transition"),
        tables.get("fall_transition"),
    )


def _power(group: Group, units: Units) -> Power:
    tables = {table.name: _table(table, units, units.energy) for table in group.groups}
    both = tables.get("power")
    rise, fall = tables.get("rise_power", both), tables.get("fall_power", both)
    return Power(group.one("related_pin"), group.one("when"), rise, fall)


def _table(group: Group, units: Units, scale: float) -> Table:
    """Return a table with slew along rows; what it is laid out by is the template's business."""
    template = units.templates.get(group.arguments[0] if group.arguments else "")
    values = np.array([_numbers(row) for row in group.attributes["values"]])
    axes = []
    for number in (1, 2):
        variable = template.one(f"variable_{number}") if template else ""
        if number > 1 and not variable and "index_2" not in group.attributes:
            continue
        text = group.one(f"index_{number}") or (template.one(f"index_{number}") if template else "")
        if text:
            axes.append((variable, _numbers(text)))
    values = values.reshape([len(points) for _, points in axes] or [1, 1]) * scale
    one = np.zeros(1)
    if len(axes) == 2:
        if axes[0][0].startswith(_ACROSS):
            axes.reverse()
            values = values.T
        (_, first), (variable, second) = axes
        across = units.load if "capacitance" in variable else units.time
        return Table(first * units.time, second * across, values)
    if len(axes) == 1 and "capacitance" in axes[0][0]:
        return Table(one, axes[0][1] * units.load, values.reshape(1, -1))
    return Table(axes[0][1] * units.time if axes else one, one, values.reshape(-1, 1))


def _numbers(text: str) -> Floats:
    return np.array([float(word) for word in text.replace(",", " ").replace("\\", " ").split()])


def _flop(group: Group, pins: dict[str, Pin]) -> Flop | None:
    """Return what a flop stores, None for cells that this project cannot simulate as one."""
    for ff in group.named("ff"):
        clock, clock_inverted = _literal(ff.one("clocked_on"))
        data, inverted = _literal(ff.one("next_state"))
        plain = not {"clear", "preset"} & set(ff.attributes)
        if plain and clock in pins and data in pins and len(ff.arguments) == 2:
            return Flop(clock, clock_inverted, data, inverted, (ff.arguments[0], ff.arguments[1]))
    return None


def _literal(text: str) -> tuple[str, bool]:
    """Return the pin of ``A`` or ``!A`` and whether it is negated; "" for anything else."""
    match = re.fullmatch(r"\s*\(?\s*(!?)\s*([A-Za-z_]\w*)\s*('?)\s*\)?\s*", text)
    return (match[2], bool(match[1]) != bool(match[3])) if match else ("", False)
