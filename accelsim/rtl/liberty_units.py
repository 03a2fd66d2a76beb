"""Units of a Liberty file, and the numbers of its head, checked when the file is read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from accelsim.errors import UserError
from accelsim.rtl.liberty_text import LibertyText

_SCALES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}
_QUANTITY = re.compile(r"\s*([0-9.eE+-]+)\s*([fpnum]?)([swfv])\s*", re.IGNORECASE)
# Seconds, farads, watts and joules in the units of `liberty`.
_PS, _FF, _NW, _FJ = 1e12, 1e15, 1e9, 1e15
_EXAMPLES = {"s": "1ns", "f": "(1, pf)", "w": "1nW", "v": "1V"}


class Units:
    """What one unit of a file is in the units of `liberty`, and how its tables are laid out.

    Attributes:
        time: ps.
        load: fF.
        power: nW.
        energy: Of an internal power table, fJ.
        templates: Of tables, by name.

    Raises:
        UserError: A unit is missing or is no such unit.
    """

    def __init__(self, text: LibertyText) -> None:
        head = text.head
        self.time = _unit(text, "time_unit", head.one("time_unit", "1ns"), "s") * _PS
        load = " ".join(head.attributes.get("capacitive_load_unit", ()))
        self.load = _unit(text, "capacitive_load_unit", load, "f") * _FF
        leakage = head.one("leakage_power_unit", "1nW")
        self.power = _unit(text, "leakage_power_unit", leakage, "w") * _NW
        volts = _unit(text, "voltage_unit", head.one("voltage_unit", "1V"), "v")
        self.energy = self.load / _FF * volts**2 * _FJ
        self.templates = {
            group.arguments[0]: group
            for group in head.named("lu_table_template", "power_lut_template")
            if group.arguments
        }


def _unit(text: LibertyText, key: str, stated: str, symbol: str) -> float:
    """Return a unit of a library's head in seconds, farads, watts or volts."""
    match = _QUANTITY.fullmatch(stated)
    try:
        value = float(match[1]) if match and match[3].lower() == symbol else math.nan
    except ValueError:
        value = math.nan
    if match is None or not 0 < value < math.inf:
        raise UserError(
            "is no such unit",
            file=text.file,
            key=key,
            value=stated or "missing",
            allowed=f"{_EXAMPLES[symbol]}, for instance",
        )
    return value * _SCALES[match[2].lower()]


def common_number(texts: Sequence[LibertyText], name: str) -> float:
    """Return a number that all files of a library state in their heads.

    Raises:
        UserError: It is missing, is none, or differs; a voltage is not above zero.
    """
    values = [_number(text, name) for text in texts]
    if len(set(values)) != 1:
        raise UserError(
            "differs between files",
            file=texts[0].file,
            key=name,
            value=", ".join(f"{value:g}" for value in sorted(set(values))),
            allowed="files of one corner",
        )
    return values[0]


def _number(text: LibertyText, name: str) -> float:
    """Return a number of a library's head; a voltage is above zero."""
    stated = text.head.one(name)
    if not stated:
        raise UserError("is missing", file=text.file, key=name, allowed="a number")
    try:
        value = float(stated)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (name == "nom_voltage" and value <= 0):
        allowed = "a number above 0" if name == "nom_voltage" else "a number"
        raise UserError(
            "is no such number", file=text.file, key=name, value=stated, allowed=allowed
        )
    return value
