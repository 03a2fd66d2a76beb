"""The hardware itself as a user asks for it: arrays simulated, cells synthesised into prices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.api import load_design
from accelsim.hardware.columns import build_designs
from accelsim.locate import TECHNOLOGIES, shipped
from accelsim.rtl import cosimulate
from accelsim.rtl.pe_rows import compared, read_record
from accelsim.rtl.synthesise import Order
from accelsim.rtl.synthesise import synthesise as synthesise_pes
from accelsim.workloads import Request, open_source

Progress = Callable[[str], None]


def simulate(
    design: str,
    shape: Sequence[int] = (),
    *,
    cases: int | None = None,
    seed: int = 0,
    assignments: Iterable[str] = (),
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Simulate the SystemVerilog of a design's array and compare it with the engine, plain JSON.

    Operands are cut at random out of what the linears of the shipped network multiply, and for
    floats its output layer, too.

    Args:
        design: A shipped design or a YAML file.
        shape: m, k, n; if empty, GEMMs around the size of the array.
        cases: How many; by default one of a given shape, else six.
        seed: Of where operands are cut, and of what registers hold at the start.
        assignments: Overrides of the design.
        progress: Told what is going on.

    Returns:
        Keys design, array, network, seed, cases (see `rtl.cosimulate.compare`), and equal.

    Raises:
        UserError: A design whose array is not in SystemVerilog, sizes out of range, missing tools.
    """
    source = open_source(Request(decode=0, seed=seed))
    loaded = load_design(design, assignments)
    array = cosimulate.array_of_design(build_designs([loaded.config], [loaded.file]), loaded.file)
    rng = np.random.default_rng(seed)
    shapes = cosimulate.shapes_of(array.timing, shape, cases, rng)
    array, circuit = cosimulate.build_for(array, shapes, progress)
    *linears, head = source.operands(progress)
    products = []
    for number, each in enumerate(shapes):
        # Linears in turn; the output layer, whose operands are no small integers, for floats.
        chosen = head if array.kind.floating and number % 2 else linears[number * 5 % len(linears)]
        products.append(
            cosimulate.cut(array.kind, chosen.name, chosen.activations, chosen.weights, each, rng)
        )
    rows = cosimulate.compare(array, circuit, products, seed, progress)
    return {
        "design": loaded.config.name,
        "array": array.parameters,
        "network": source.name,
        "seed": seed,
        "cases": rows,
        "equal": not any(row["cycles_difference"] or row["sums_different"] for row in rows),
    }


def picture(records: Sequence[Path] = ()) -> dict[str, Any]:
    """Return measured PEs side by side, plain JSON.

    Args:
        records: What ``rtl synthesise`` wrote, ``NAME.json``; if empty, the shipped ones.

    Returns:
        Key libraries, of each what ``rtl.pe_rows.compared`` returns.

    Raises:
        UserError: A file that is no record of a synthesis.
    """
    files = records or sorted((shipped(TECHNOLOGIES) / "synthesised").glob("*.json"))
    return {"libraries": [compared(read_record(file), file.stem) for file in files]}


def synthesise(
    pes: Sequence[str] = (),
    *,
    liberty: Sequence[Path],
    clock_mhz: float | None = None,
    node_nm: int | None = None,
    excluded: Sequence[str] = (),
    name: str | None = None,
    out: Path = Path("reports/synthesis"),
    seed: int = 0,
    netlists: bool = False,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Synthesise PEs and primitives with a cell library into prices; see `rtl.synthesise`.

    Operand streams are drawn, and cut out of what the linears of the shipped network multiply.

    Raises:
        UserError: A bad library, an unknown PE, missing tools.
    """
    order = Order(liberty, pes, out, clock_mhz, node_nm, excluded, name, seed, netlists)
    source = open_source(Request(decode=0, seed=seed))
    # Codes and ternary weights; the output layer, which comes last, has others.
    return synthesise_pes(order, lambda: source.operands(progress)[:-1], source.name, progress)
