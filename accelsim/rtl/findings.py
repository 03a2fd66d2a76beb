"""What synthesis found for one library: a record in JSON, which a later run adds to.

The tables for people (CSV) and the prices (YAML) follow from the record alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.errors import UserError
from accelsim.files import write_whole
from accelsim.rtl.characterise import Mapped
from accelsim.rtl.operand_streams import COUNTS
from accelsim.rtl.pe_measure import Measured, Weighed
from accelsim.rtl.pe_rows import read_record
from accelsim.rtl.pe_subjects import SUBJECTS
from accelsim.rtl.price_tables import technology
from accelsim.rtl.primitives import MeasuredPrimitive, MeasuredRegister, primitives
from accelsim.rtl.rounding import plain
from accelsim.rtl.synthesis import Mapper

Record = dict[str, Any]

# Entries measured under other ones of these do not belong into one table.
_HEAD = ("library", "voltage_v", "temperature_c", "clock_mhz", "tools", "left_out")


def new_record(mapper: Mapper, clock_mhz: float, network: str) -> Record:
    """Return a record without entries.

    Args:
        mapper: Library and tools.
        clock_mhz: Clock target.
        network: Where network streams are from, "" where no PE is measured.
    """
    library = mapper.library
    head = (
        library.name, library.voltage_v, library.temperature_c, clock_mhz, mapper.version,
        mapper.excluded,
    )  # fmt: skip
    return {
        **plain(dict(zip(_HEAD, head, strict=True))),
        "network_streams": network,
        "register": None,
        "pes": [],
        "primitives": [],
    }


def continued(record: Record, path: Path) -> Record:
    """Return ``record`` with the entries of the one at ``path``, if there is one.

    Raises:
        UserError: What is there is no record, or one of another library, clock or tool.
    """
    if not path.exists():
        return record
    old = read_record(path, "another --out or --name")
    compared = {key: (old.get(key), record[key]) for key in (*_HEAD, "network_streams")}
    if not (old["network_streams"] and record["network_streams"]):
        del compared["network_streams"]  # one of them measured no PE
    for key, (there, here) in compared.items():
        if there != here:
            raise UserError(
                "was synthesised otherwise", file=str(path), key=key, value=there,
                allowed=f"{here}, or another --out",
            )  # fmt: skip
    return {**old, "network_streams": record["network_streams"] or old["network_streams"]}


def put_register(record: Record, register: MeasuredRegister) -> None:
    """Store the price of a flop."""
    record["register"] = plain(vars(register))


def put_pe(record: Record, pe: Measured) -> None:
    """Store a PE, in place of the one of its name."""
    _put(record["pes"], _pe(pe), list(SUBJECTS))


def put_primitive(record: Record, primitive: MeasuredPrimitive) -> None:
    """Store a primitive, in place of the one of its name."""
    _put(record["primitives"], _primitive(primitive), [each.name for each in primitives()])


def write_record(record: Record, folder: Path, name: str, node_nm: int) -> list[Path]:
    """Write ``NAME.csv``, ``NAME.json`` and ``NAME.yaml``; return their paths.

    Raises:
        UserError: A file cannot be written.
    """
    texts = {
        "csv": table(record),
        "json": json.dumps(record, indent=1, allow_nan=False) + "\n",
        "yaml": technology(record, name, node_nm),
    }
    return [
        write_whole(
            folder / f"{name}.{ending}",
            text.encode(),
            parents=True,
            allowed="choose another folder with --out",
        )
        for ending, text in texts.items()
    ]


def rows(record: Record) -> list[dict[str, Any]]:
    """Return a row per PE and primitive: what a reader compares."""
    return [*map(_pe_row, record["pes"]), *map(_primitive_row, record["primitives"])]


def table(record: Record) -> str:
    """Return ``rows`` as CSV."""
    listed = rows(record)
    names = list(dict.fromkeys(key for row in listed for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()


_MAPPED = (
    "latency", "setting", "area_um2", "leakage_uw", "critical_ps", "best_clock_mhz", "gates",
    "flops",
)  # fmt: skip


def _pe_row(pe: Mapping[str, Any]) -> dict[str, Any]:
    energy, parameters = pe["energy"], pe["parameters"]
    gated = pe["gated"] or {}
    return {
        "name": pe["name"],
        "products": parameters.get("LANES", 1),
        "accumulator_bits": parameters["ACC"],
        **{key: pe[key] for key in _MAPPED},
        "idle_pj": next(iter(energy.values()))["fits"]["mean"]["idle_pj"],
        **{
            f"{kind}_{bound}_pj": pj
            for kind, weighed in energy.items()
            for bound, pj in weighed["per_step_pj"].items()
        },
        **{
            f"{kind}_fit_{which}_error": weighed["fits"]["mean"][f"{which}_error"]
            for kind, weighed in energy.items()
            for which in ("mean", "worst")
        },
        **{f"gated_{key}": value for key, value in gated.items()},
    }


def _primitive_row(primitive: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": primitive["name"],
        "products": primitive["results"],
        **{key: primitive[key] for key in _MAPPED},
        "dense_low_pj": primitive["low_pj"],
        "dense_high_pj": primitive["high_pj"],
    }


def _put(entries: list[dict[str, Any]], entry: dict[str, Any], order: Sequence[str]) -> None:
    """Replace or add an entry; entries stand in the given order, whatever was measured first."""
    kept = [each for each in entries if each["name"] != entry["name"]]
    rank = {name: place for place, name in enumerate(order)}
    entries[:] = sorted([*kept, entry], key=lambda each: rank.get(each["name"], len(rank)))


def _mapped(mapped: Mapped, latency: int) -> dict[str, Any]:
    netlist = mapped.netlist
    values = (
        latency, mapped.setting.text(), netlist.area_um2(), netlist.leakage_nw() * 1e-3,
        mapped.timing.critical_ps, 1e6 / mapped.timing.critical_ps, len(netlist.gates),
        len(netlist.flops),
    )  # fmt: skip
    return dict(zip(_MAPPED, values, strict=True))


def _tried(tried: Sequence[Mapped]) -> list[dict[str, Any]]:
    return [
        {
            "parameters": dict(each.parameters),
            "setting": each.setting.text(),
            "area_um2": each.area_um2,
            "critical_ps": each.timing.critical_ps,
        }
        for each in tried
    ]


def _primitive(each: MeasuredPrimitive) -> dict[str, Any]:
    entry: dict[str, Any] = plain(
        {
            "name": each.primitive.name,
            "price": each.primitive.price,
            "bits": each.primitive.bits,
            "results": each.primitive.results,
            "parameters": dict(each.best.parameters),
            **_mapped(each.best, each.latency),
            "cycles_equal_to_source": each.compared,
            "tried": _tried(each.tried),
            "low_pj": min(each.func_pj, each.timed_pj),
            "high_pj": max(each.func_pj, each.timed_pj),
        }
    )
    return entry


def _pe(pe: Measured) -> dict[str, Any]:
    entry: dict[str, Any] = plain(
        {
            "name": pe.subject.name,
            "parameters": dict(pe.best.parameters),
            **_mapped(pe.best, pe.latency),
            "cycles_equal_to_source": pe.compared,
            "tried": _tried(pe.tried),
            "area_share": pe.area_by_part,
            "hierarchy_kept_over_flat": {"area": pe.kept_area, "energy": pe.kept_energy},
            "gated": None if pe.gated is None else vars(pe.gated),
            "energy": {kind: _weighed(weighed) for kind, weighed in pe.weighed.items()},
        }
    )
    return entry


def _weighed(weighed: Weighed) -> dict[str, Any]:
    return {
        "per_step_pj": dict(zip(("low", "high"), weighed.reference_pj, strict=True)),
        "share": weighed.by_part,
        "fits": {
            name: {
                "idle_pj": each.idle_pj,
                "pj": dict(zip(COUNTS, each.pj.tolist(), strict=True)),
                "mean_error": each.mean_error,
                "worst_error": each.worst_error,
                "worst_stream": each.worst_stream,
                "streams_held_out": each.held_out,
            }
            for name, each in zip(("low", "high", "mean"), weighed.fits, strict=True)
        },
        "streams_pj": {
            name: [low, high]
            for name, low, high in zip(weighed.streams, *weighed.mean_pj.tolist(), strict=True)
        },
    }
