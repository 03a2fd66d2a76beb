"""What ships: designs, networks, technologies, PE types, and the schemas of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from accelsim import locate
from accelsim.config import DesignConfig, NetworkConfig, load_design_config, load_network_config
from accelsim.explore.config import SweepConfig, load_sweep_config
from accelsim.hardware.pe import PES
from accelsim.hardware.technology import load_technology
from accelsim.sweeps import read_space


def listing(what: str) -> list[dict[str, Any]]:
    """Return a row for everything of a kind: designs, networks, technologies, pes or sweeps."""
    return {
        "designs": _designs,
        "networks": _networks,
        "technologies": _technologies,
        "pes": _pes,
        "sweeps": _sweeps,
    }[what]()


def schema(what: str) -> dict[str, Any]:
    """Return the JSON Schema of a design, network or sweep file, or of an output."""
    models: dict[str, type[BaseModel]] = {
        "design": DesignConfig,
        "network": NetworkConfig,
        "sweep": SweepConfig,
    }
    if what in models:
        return models[what].model_json_schema()
    content = _output_schema(what)
    if what == "compare":  # a comparison holds summaries: print one schema that stands alone
        content.setdefault("$defs", {})["summary"] = _output_schema("summary")
    return content


def _output_schema(what: str) -> dict[str, Any]:
    path = Path(__file__).parent / "report" / f"{what}.schema.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _designs() -> list[dict[str, Any]]:
    rows = []
    for path in sorted(locate.shipped(locate.DESIGNS).glob("*.yaml")):
        config = load_design_config(path)
        array = config.array
        size = f"{array.rows}x{array.cols}" + (f"x{array.lanes}" if array.lanes > 1 else "")
        wired = "dot" if array.organisation == "dot_product" else array.dataflow
        rows.append(
            {
                "name": path.stem,
                "pe": array.pe,
                "array": f"{wired} {size}",
                "packing": config.weights.packing,
                "dram": config.dram.kind,
                "technology": config.technology,
                "clock_mhz": config.clock_mhz,
                "network_form": config.network_form,
            }
        )
    return rows


def _networks() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    root = locate.shipped(locate.NETWORKS)
    for path in sorted(root.glob("*/config.json")):
        from accelsim.functional.checkpoint_config import read_checkpoint_config

        shape = read_checkpoint_config(path)
        rows.append(
            {
                "name": path.parent.name,
                "weights": "checkpoint",
                "ternary": shape.ternary,
                "layers": shape.layers,
                "hidden_size": shape.hidden_size,
                "vocab_size": shape.vocab_size,
            }
        )
    for path in sorted(root.glob("*.yaml")):
        config = load_network_config(path)
        rows.append(
            {
                "name": path.stem,
                "weights": "shapes only",
                "ternary": config.ternary,
                "layers": config.layers,
                "hidden_size": config.hidden_size,
                "vocab_size": config.vocab_size,
            }
        )
    return rows


def _technologies() -> list[dict[str, Any]]:
    rows = []
    for path in sorted(locate.shipped(locate.TECHNOLOGIES).glob("*.yaml")):
        technology = load_technology(path.stem)
        rows.append(
            {
                "name": path.stem,
                "node_nm": technology.node_nm,
                "voltage_v": technology.voltage_v,
                "prices": len(technology.names()),
                "to be synthesised": len(technology.gaps()),
                "description": technology.description,
            }
        )
    return rows


def _sweeps() -> list[dict[str, Any]]:
    rows = []
    for path in sorted(locate.shipped(locate.SWEEPS).glob("*.yaml")):
        config = load_sweep_config(path)
        objectives = [f"{o.goal} {o.quantity}" for o in config.objectives]
        rows.append(
            {
                "name": path.stem,
                "method": config.method.kind,
                "points": read_space(config, path).points,
                "objectives": ", ".join(objectives),
                "description": config.description,
            }
        )
    return rows


def _pes() -> list[dict[str, Any]]:
    return [
        {
            "name": pe.name,
            "activation": pe.activation,
            "weight": pe.weight,
            "sum": "fp32" if pe.float_sum else "integer",
            "latency": pe.latency,
            "description": pe.description,
        }
        for pe in PES.values()
    ]
