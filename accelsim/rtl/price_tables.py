"""A record of synthesis as prices: the YAML of a technology."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from accelsim.rtl.operand_streams import COUNTS
from accelsim.rtl.price_shares import shape_prices, share_prices
from accelsim.rtl.price_widths import merged_widths
from accelsim.rtl.rounding import plain

Entry = Mapping[str, Any]  # a record, a PE or a primitive of it


def technology(record: Entry, name: str, node_nm: int) -> str:
    """Return prices as the YAML of a technology; it builds on the shared formulas for the rest."""
    head = {
        "name": name,
        "description": f"synthesised with {record['library']}"[:200],
        "node_nm": node_nm,
        "voltage_v": record["voltage_v"],
        "corner": "as the library says",
        "temperature_c": round(record["temperature_c"]),
        "sram_table_node_nm": min((22, 32, 45, 65, 90), key=lambda node: abs(node - node_nm)),
    }
    prices = _register_prices(record) | _primitive_prices(record)
    for pe in record["pes"]:
        prices |= _pe_prices(record, pe)
    prices = merged_widths(prices) | _leakage(record)
    comment = "# Written by `accelsim rtl synthesise`. docs/prices.md explains the forms.\n"
    return comment + yaml.safe_dump(
        {**head, "prices": plain(prices)}, sort_keys=False, width=100, allow_unicode=True
    )


def _source(record: Entry, how: str) -> str:
    """Return the source text of a price."""
    return (
        f"synthesis of the project's SystemVerilog: {record['tools']}; cells {record['library']}, "
        f"{record['voltage_v']:g} V, {record['temperature_c']:g} C; "
        f"clock {record['clock_mhz']:g} MHz; {how}; no wires, no clock tree"
    )


def _price(value: float, low: float, high: float, unit: str, because: str, source: str) -> Any:
    numbers = {"value": value, "low": min(low, value), "high": max(high, value)}
    return {**numbers, "how": "synthesised", "unit": unit, "because": because, "source": source}


def _between(low: float, high: float, because: str, source: str) -> Any:
    low, high = min(low, high), max(low, high)
    return _price((low + high) / 2, low, high, "pJ", because, source)


def _areas(entry: Entry) -> tuple[float, float, float]:
    """Return the area, and the smallest and largest of all settings with the same parameters."""
    tried: Iterable[Entry] = entry["tried"]
    same = [each["area_um2"] for each in tried if each["parameters"] == entry["parameters"]]
    return entry["area_um2"], min(same), max(same)


def _register_prices(record: Entry) -> dict[str, Any]:
    source = _source(record, "plain flop that drives the next one")
    register = record["register"]
    return {
        f"register.{name}": _price(number, number, number, unit, because, source)
        for name, number, unit, because in (
            ("clock.energy", register["clock_pj"], "pJ", "registers"),
            ("toggle.energy", register["toggle_pj"], "pJ", "registers"),
            ("area", register["area_um2"], "um2", "area"),
        )
    } | {
        "clock.sink.energy": _price(
            *(register["sink_pj"],) * 3,
            "pJ",
            "clock",
            _source(record, "clock pin of a flop, C V^2"),
        )
    }


def _primitive_prices(record: Entry) -> dict[str, Any]:
    prices: dict[str, Any] = {}
    for each in record["primitives"]:
        stem, results = each["price"], each["results"]
        way = f"{each['setting']}, latency {each['latency']}, drawn operands"
        source = _source(record, way)
        energy = _between(each["low_pj"], each["high_pj"], "arithmetic", source)
        value, low, high = (area / results for area in _areas(each))
        area = _price(value, low, high, "um2", "area", source)
        delay = each["critical_ps"] * 1e-3
        if each["bits"] and stem == "int_add":
            for name, price in ((f"{stem}.energy", energy), (f"{stem}.area", area)):
                _add_width(prices, name, each["bits"], price)
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


def _add_width(prices: dict[str, Any], name: str, bits: int, price: Entry) -> None:
    """Add a width to a price that is listed by width."""
    numbers = {key: price[key] for key in ("value", "low", "high")}
    rest = {key: price[key] for key in ("how", "unit", "because", "source")}
    prices.setdefault(name, {"by_bits": {}, **rest})["by_bits"][bits] = numbers


def _pe_prices(record: Entry, pe: Entry) -> dict[str, Any]:
    stem = f"pe.{pe['name']}"
    way = (
        f"{_wiring(pe)} with its registers and control, {pe['setting']}, "
        f"latency {pe['latency']}, {pe['parameters']['ACC']}-bit sum"
    )
    source = _source(record, way)
    delay = pe["critical_ps"] * 1e-3
    prices = {
        f"{stem}.area": _price(*_areas(pe), "um2", "area", source),
        f"{stem}.delay": _price(delay, delay, delay, "ns", "delay", source),
    }
    for kind, energy in pe["energy"].items():
        fit = energy["fits"]["mean"]
        idle = fit["idle_pj"]
        prices[f"{stem}.idle.energy"] = _price(
            idle, idle, idle, "pJ", "registers", f"{source}; a cycle without a step"
        )
        low, high = _above_idle(energy)
        middle = (low + high) / 2
        network = record["network_streams"]
        about = (
            f"{source}; {kind} weights; streams "
            + (f"drawn and of {network}" if network else "drawn")
            + f"; fit within {fit['mean_error']:.1%} mean, {fit['worst_error']:.1%} worst, of "
            f"{fit['streams_held_out']} streams it never saw"
        )
        for count in COUNTS:
            pj = fit["pj"][count]
            prices[f"{stem}.{kind}.{count}.energy"] = _price(
                pj, pj * low / middle, pj * high / middle, "pJ", "arithmetic", about
            )
    return prices | shape_prices(pe) | share_prices(pe, record["register"]["clock_pj"])


def _wiring(pe: Entry) -> str:
    parameters = pe["parameters"]
    return "pe_held" if "HELD" in parameters else "pe_dot" if "LANES" in parameters else "pe_os"


def _above_idle(energy: Entry) -> tuple[float, float]:
    """Return the mean over streams of a cycle's energy above idle, without and with delays."""
    idle = energy["fits"]["mean"]["idle_pj"]
    lows, highs = zip(*energy["streams_pj"].values(), strict=True)
    return sum(lows) / len(lows) - idle, sum(highs) / len(highs) - idle


def _leakage(record: Entry) -> dict[str, Any]:
    # 1 uW/um2 is 1000 mW/mm2.
    densities = [each["leakage_uw"] / each["area_um2"] * 1e3 for each in record["pes"]]
    if not densities:
        return {}
    mean = sum(densities) / len(densities)
    source = _source(record, "mean over all PEs of the cells' mean leakage; high: ten times, hot")
    return {
        "leakage.logic": _price(
            mean, min(densities), 10 * max(densities), "mW/mm2", "leakage", source
        )
    }
