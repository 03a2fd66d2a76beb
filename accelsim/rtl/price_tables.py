"""What synthesis found, as a table for people (CSV), all of it (JSON), and prices (YAML)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from accelsim.files import write_whole
from accelsim.rtl.characterise import Mapped
from accelsim.rtl.operand_streams import COUNTS
from accelsim.rtl.pe_measure import Measured, Weighed
from accelsim.rtl.price_shares import shape_prices, share_prices
from accelsim.rtl.price_widths import merged_widths
from accelsim.rtl.primitives import MeasuredPrimitive, MeasuredRegister

_DIGITS = 5


@dataclass
class Findings:
    """All that one run of synthesis found for one library.

    Attributes:
        library: Its name.
        voltage_v: Supply.
        temperature_c: Junction temperature.
        clock_mhz: Clock target.
        tools: Versions.
        excluded: Patterns of cells left out of mapping.
        operands: Where network streams are from, "" for none.
    """

    library: str
    voltage_v: float
    temperature_c: float
    clock_mhz: float
    tools: str
    excluded: tuple[str, ...]
    operands: str
    register: MeasuredRegister | None = None
    pes: list[Measured] = field(default_factory=list)
    primitives: list[MeasuredPrimitive] = field(default_factory=list)

    def source(self, how: str) -> str:
        """Return the source text of a price."""
        return (
            f"synthesis of the project's SystemVerilog: {self.tools}; cells {self.library}, "
            f"{self.voltage_v:g} V, {self.temperature_c:g} C; clock {self.clock_mhz:g} MHz; {how}; "
            "no wires, no clock tree"
        )


def write_findings(findings: Findings, folder: Path, name: str, node_nm: int) -> list[Path]:
    """Write ``NAME.csv``, ``NAME.json`` and ``NAME.yaml``; return their paths.

    Raises:
        UserError: A file cannot be written.
    """
    texts = {
        "csv": table(findings),
        "json": json.dumps(everything(findings), indent=1, allow_nan=False) + "\n",
        "yaml": technology(findings, name, node_nm),
    }
    return [
        write_whole(folder / f"{name}.{ending}", text.encode(), parents=True)
        for ending, text in texts.items()
    ]


def rows(findings: Findings) -> list[dict[str, Any]]:
    """Return a row per PE and primitive: what a reader compares."""
    found = []
    for pe in findings.pes:
        per_step = {
            f"{kind}_{bound}_pj": energy
            for kind, weighed in pe.weighed.items()
            for bound, energy in zip(("low", "high"), weighed.reference_pj, strict=True)
        }
        common = {
            "name": pe.subject.name,
            "products": pe.subject.lanes,
            "accumulator_bits": pe.subject.accumulator,
            **_mapped_row(pe.best, pe.latency),
            "idle_pj": next(iter(pe.weighed.values())).fits[2].idle_pj,
        }
        errors = {
            f"{kind}_{name}": value
            for kind, weighed in pe.weighed.items()
            for name, value in (
                ("fit_mean_error", weighed.fits[2].mean_error),
                ("fit_worst_error", weighed.fits[2].worst_error),
            )
        }
        found.append({**common, **per_step, **errors})
    for each in findings.primitives:
        bits = f".{each.primitive.bits}" if each.primitive.bits else ""
        found.append(
            {
                "name": each.primitive.price + bits,
                "products": each.primitive.results,
                **_mapped_row(each.best, each.latency),
                "dense_low_pj": each.func_pj,
                "dense_high_pj": each.timed_pj,
            }
        )
    return found


def _mapped_row(mapped: Mapped, latency: int) -> dict[str, Any]:
    netlist = mapped.netlist
    return {
        "latency": latency,
        "setting": mapped.setting.text(),
        "area_um2": netlist.area_um2(),
        "leakage_uw": netlist.leakage_nw() * 1e-3,
        "critical_ps": mapped.timing.critical_ps,
        "best_clock_mhz": 1e6 / mapped.timing.critical_ps,
        "gates": len(netlist.gates),
        "flops": len(netlist.flops),
    }


def table(findings: Findings) -> str:
    """Return ``rows`` as CSV."""
    listed = rows(findings)
    names = list(dict.fromkeys(key for row in listed for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _rounded(value) for key, value in row.items()} for row in listed)
    return text.getvalue()


def everything(findings: Findings) -> dict[str, Any]:
    """Return all of it as plain JSON."""
    register = findings.register
    return {
        "library": findings.library,
        "voltage_v": findings.voltage_v,
        "temperature_c": findings.temperature_c,
        "clock_mhz": findings.clock_mhz,
        "tools": findings.tools,
        "left_out": list(findings.excluded),
        "network_streams": findings.operands,
        "register": None if register is None else _plain(vars(register)),
        "pes": [_pe(pe) for pe in findings.pes],
        "primitives": _plain(rows(Findings(**{**vars(findings), "pes": []}))),
    }


def _pe(pe: Measured) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(
        {
            "name": pe.subject.name,
            "parameters": dict(pe.best.parameters),
            **_mapped_row(pe.best, pe.latency),
            "cycles_equal_to_source": pe.compared,
            "tried": [
                {"parameters": dict(each.parameters), "setting": each.setting.text(),
                 "area_um2": each.area_um2, "critical_ps": each.timing.critical_ps}
                for each in pe.tried
            ],
            "area_share": pe.area_by_part,
            "hierarchy_kept_over_flat": {"area": pe.kept_area, "energy": pe.kept_energy},
            "gated": None if pe.gated is None else dict(
                zip(("area_um2", "idle_pj", "busy_over_ungated"), pe.gated, strict=True)
            ),
            "energy": {kind: _weighed(weighed) for kind, weighed in pe.weighed.items()},
        }
    )  # fmt: skip
    return plain


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


def technology(findings: Findings, name: str, node_nm: int) -> str:
    """Return prices as the YAML of a technology; it builds on the shared formulas for the rest."""
    head = {
        "name": name,
        "description": f"synthesised with {findings.library}"[:200],
        "node_nm": node_nm,
        "voltage_v": findings.voltage_v,
        "corner": "as the library says",
        "temperature_c": round(findings.temperature_c),
        "sram_table_node_nm": min((22, 32, 45, 65, 90), key=lambda node: abs(node - node_nm)),
    }
    prices: dict[str, Any] = {}
    if findings.register is not None:
        prices |= _register_prices(findings, findings.register)
    prices |= _primitive_prices(findings)
    for pe in findings.pes:
        prices |= _pe_prices(findings, pe)
    prices = merged_widths(prices) | _leakage(findings)
    comment = "# Written by `accelsim rtl synthesise`. docs/prices.md explains the forms.\n"
    return comment + yaml.safe_dump(
        {**head, "prices": _plain(prices)}, sort_keys=False, width=100, allow_unicode=True
    )


def _price(value: float, low: float, high: float, unit: str, because: str, source: str) -> Any:
    numbers = {"value": value, "low": min(low, value), "high": max(high, value)}
    return {**numbers, "how": "synthesised", "unit": unit, "because": because, "source": source}


def _between(low: float, high: float, because: str, source: str) -> Any:
    low, high = min(low, high), max(low, high)
    return _price((low + high) / 2, low, high, "pJ", because, source)


def _areas(tried: Iterable[Mapped], best: Mapped) -> tuple[float, float, float]:
    """Return the area, and the smallest and largest of all settings with the same parameters."""
    same = [each.area_um2 for each in tried if each.parameters == best.parameters]
    return best.area_um2, min(same), max(same)


def _register_prices(findings: Findings, register: MeasuredRegister) -> dict[str, Any]:
    source = findings.source("plain flop that drives the next one")
    return {
        f"register.{name}.energy": _price(energy, energy, energy, "pJ", "registers", source)
        for name, energy in (("clock", register.clock_pj), ("toggle", register.toggle_pj))
    } | {
        "register.area": _price(
            register.area_um2, register.area_um2, register.area_um2, "um2", "area", source
        )
    }


def _primitive_prices(findings: Findings) -> dict[str, Any]:
    prices: dict[str, Any] = {}
    for each in findings.primitives:
        stem, results = each.primitive.price, each.primitive.results
        way = f"{each.best.setting.text()}, latency {each.latency}, drawn operands"
        source = findings.source(way)
        energy = _between(each.func_pj, each.timed_pj, "arithmetic", source)
        value, low, high = (area / results for area in _areas(each.tried, each.best))
        area = _price(value, low, high, "um2", "area", source)
        delay = each.best.timing.critical_ps * 1e-3
        if each.primitive.bits and stem == "int_add":
            for name, price in ((f"{stem}.energy", energy), (f"{stem}.area", area)):
                _add_width(prices, name, each.primitive.bits, price)
            continue
        prices[f"{stem}.energy"], prices[f"{stem}.area"] = energy, area
        prices[f"{stem}.delay"] = _price(delay, delay, delay, "ns", "delay", source)
    for kind, of in (("energy", "pJ"), ("area", "um2")):
        for bits, name in ((16, f"fp16_add.{kind}"), (32, f"fp32_add.{kind}")):
            if name in prices and prices[name]["unit"] == of:
                _add_width(prices, f"fp_add.{kind}", bits, prices[name])
    listed = {name: price for name, price in prices.items() if len(price.get("by_bits", "ok")) > 1}
    for price in listed.values():
        _spread(price.get("by_bits", {}))
    return listed


def _spread(by_bits: dict[int, dict[str, float]]) -> None:
    """Give all widths the widest interval of any: lines past the last width then never cross."""
    low = min((each["low"] / each["value"] for each in by_bits.values()), default=1.0)
    high = max((each["high"] / each["value"] for each in by_bits.values()), default=1.0)
    for numbers in by_bits.values():
        numbers |= {"low": numbers["value"] * low, "high": numbers["value"] * high}


def _add_width(prices: dict[str, Any], name: str, bits: int, price: Mapping[str, Any]) -> None:
    """Add a width to a price that is listed by width."""
    numbers = {key: price[key] for key in ("value", "low", "high")}
    rest = {key: price[key] for key in ("how", "unit", "because", "source")}
    prices.setdefault(name, {"by_bits": {}, **rest})["by_bits"][bits] = numbers


def _pe_prices(findings: Findings, pe: Measured) -> dict[str, Any]:
    stem = f"pe.{pe.subject.name}"
    way = (
        f"{pe.subject.top} with its registers and control, {pe.best.setting.text()}, "
        f"latency {pe.latency}, {pe.subject.accumulator}-bit sum"
    )
    source = findings.source(way)
    prices = {
        f"{stem}.area": _price(*_areas(pe.tried, pe.best), "um2", "area", source),
        f"{stem}.delay": _price(*(pe.best.timing.critical_ps * 1e-3,) * 3, "ns", "delay", source),
    }
    for kind, weighed in pe.weighed.items():
        mean = weighed.fits[2]
        prices[f"{stem}.idle.energy"] = _price(
            *(mean.idle_pj,) * 3, "pJ", "registers", f"{source}; a cycle without a step"
        )
        spread = [float(each.mean()) - mean.idle_pj for each in weighed.mean_pj]
        middle = sum(spread) / 2
        about = (
            f"{source}; {kind} weights; streams "
            + (f"drawn and of {findings.operands}" if findings.operands else "drawn")
            + f"; fit within {mean.mean_error:.1%} mean, {mean.worst_error:.1%} worst, of "
            f"{mean.held_out} streams it never saw"
        )
        for name, energy in zip(COUNTS, mean.pj, strict=True):
            prices[f"{stem}.{kind}.{name}.energy"] = _price(
                energy, energy * spread[0] / middle, energy * spread[1] / middle, "pJ",
                "arithmetic", about,
            )  # fmt: skip
    if findings.register is None:  # shares need the energy of a flop
        return prices
    plain = _pe(pe)
    return prices | shape_prices(plain) | share_prices(plain, findings.register.clock_pj)


def _leakage(findings: Findings) -> dict[str, Any]:
    netlists: Sequence[Mapped] = [pe.best for pe in findings.pes]
    if not netlists:
        return {}
    # 1 nW/um2 is 1 mW/mm2.
    densities = [each.netlist.leakage_nw() / each.area_um2 for each in netlists]
    mean = sum(densities) / len(densities)
    source = findings.source("mean over all PEs of the cells' mean leakage; high: ten times, hot")
    return {
        "leakage.logic": _price(
            mean, min(densities), 10 * max(densities), "mW/mm2", "leakage", source
        )
    }


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """Return plain numbers, rounded, all the way down."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return _rounded(value)
