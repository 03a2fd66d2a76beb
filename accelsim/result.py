"""What one design did on one workload: everything a report needs, price sources included.

A leaf: plain frozen rows and read-only arrays. The engine fills it, reports read nothing else.
Energies are picojoules here; joules, seconds and mm2 appear only in reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PHASES = ("prefill", "decode")
# Order of every total over components.
COMPONENTS = (
    "array",
    "accumulator",
    "operand_registers",
    "decoder",
    "reduction",
    "cast",
    "vector",
    "attention",
    "lm_head",
    "sram",
    "dram",
    "clock",
    "interconnect",
    "control",
    "leakage",
)
# Steps of the waterfall: a partition of the total, in the order they are added up.
STEPS = (
    "matmul",
    "accumulators",
    "casts, scales and reductions",
    "attention",
    "norms, softmax, elementwise",
    "lm_head",
    "SRAM and registers",
    "DRAM",
    "clock, wires and control",
    "leakage and idle",
)
CAUSES = ("ideal", "spatial_stall", "temporal_stall", "memory_stall", "vector")
UNITS = ("array", "mac", "vector")
BOUNDS = ("compute", "memory", "vector")
# From the best evidence to the weakest; the last three are marked wherever they appear.
HOWS = (
    "synthesised",
    "measured",
    "published",
    "modelled",
    "composed",
    "extrapolated",
    "unverified",
)
MARKED_HOWS = HOWS[-3:]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PriceRow:
    """One price as it was used; ``because`` groups prices that are wrong together."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    how: str
    source: str
    because: str


@dataclass(frozen=True)
class Charge:
    """One line of the bill: ``count`` actions of phase ``phase``, each at ``price``.

    ``quantity`` price units make one action (bits of an access, mm of a wire), so
    ``energy_pj = count * quantity * price``, likewise low and high.
    """

    phase: int
    action: str
    component: str
    step: str
    count: float
    quantity: float
    price: PriceRow
    energy_pj: float
    low_pj: float
    high_pj: float


@dataclass(frozen=True)
class AreaRow:
    """One line of the floor plan: ``count`` parts, placed at ``density``."""

    component: str
    part: str
    count: float
    price: PriceRow
    area_um2: float
    low_um2: float
    high_um2: float


@dataclass(frozen=True)
class MappingRow:
    """How a matrix product lies on its unit: of a growing context, at its last member."""

    dataflow: str  # os, ws, is or dot
    m_tile: int  # elements of a tile in SRAM
    k_tile: int
    n_tile: int
    stays: str  # what of a tile stays while the rest passes: activations, weights or sums
    split: int  # parts of k whose sums are added in the output buffer
    chunk: int  # words that ws and is stream before the next k-fold, else 0
    causal: str  # whole or blocks, empty where nothing is masked


@dataclass(frozen=True)
class OperatorRow:
    """One trace row on this design. Cycles and bytes are totals over its instances."""

    name: str
    kind: str
    phase: int
    m: int
    k: int
    n: int  # of the first instance, where a series grows
    instances: int
    unit: str  # one of UNITS
    folds: int
    steps: int
    cycles: tuple[int, int, int, int, int]  # by CAUSES
    busy: tuple[int, int, int]  # compute, memory, vector time in cycles
    bound: str
    dram_bytes: int
    sram_bytes: int
    energy_pj: Floats  # by COMPONENTS
    mapping: MappingRow | None = None  # of a matrix product on an array
    looked: int = 0  # mappings that a search evaluated
    fixed_cycles: int | None = None  # of the fixed mapping, where a search chose

    @property
    def total_cycles(self) -> int:
        """Cycles over all instances."""
        return sum(self.cycles)


@dataclass(frozen=True)
class PhaseResult:
    """Totals of one phase; arrays follow COMPONENTS, CAUSES and STEPS."""

    tokens: int
    cycles: Integers  # [CAUSES]
    busy: Integers  # [BOUNDS]
    dram_bytes: int
    sram_bytes: int
    energy_pj: Floats  # [COMPONENTS]
    energy_low_pj: float
    energy_high_pj: float
    waterfall_pj: Floats  # [STEPS], not cumulative
    # By cause of uncertainty: energy of all charges with that cause, at value, low and high.
    causes_pj: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Segment:
    """One operator instance on the timeline; cycles count from the start of the excerpt."""

    excerpt: str  # prefill | first decode step | last decode step
    name: str
    unit: str
    start: int
    cycles: int
    dram_start: int
    dram_cycles: int


@dataclass(frozen=True)
class Roofline:
    """Peaks of the machine the roofline is drawn from."""

    macs_per_cycle: int
    mac_unit_macs_per_cycle: int
    dram_bytes_per_cycle: float


@dataclass(frozen=True)
class Result:
    """One design on one workload under ``full`` accounting."""

    design: str
    description: str
    design_config: Mapping[str, Any]
    network: str
    network_form: str
    technology: str
    node_nm: float
    clock_mhz: float
    workload: Mapping[str, int]
    weights: Mapping[str, Any]  # kind, source, sha256, zero_fraction, profile, extrapolated
    area: tuple[AreaRow, ...]
    phases: tuple[PhaseResult, ...]  # by PHASES
    operators: tuple[OperatorRow, ...]
    charges: tuple[Charge, ...]
    timeline: tuple[Segment, ...]
    roofline: Roofline
    notes: tuple[str, ...]  # what a reader must know: synthetic, extrapolated, unverified parts
    manifest: Mapping[str, Any]  # versions, hashes, seed
    paper: Mapping[str, Any] | None = (
        None  # the papers' own accounting, quoted beside the waterfall
    )
    quality: Mapping[str, float] | None = None  # perplexity, bits_per_character, tokens
    mapping: str = "fixed"  # or what a search of mappings minimised: latency, energy, edp


@dataclass(frozen=True)
class WaterfallRow:
    """One cumulative step of baseline and candidate, in joules; ratio = baseline / candidate."""

    step: str
    baseline_j: float
    candidate_j: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True)
class Gain:
    """Energy of the baseline over the candidate's, split: total = format * arithmetic.

    format: the baseline against the same machine fed with the candidate's packing;
    arithmetic: that machine against the candidate. By phase name, and "total" for the workload.
    """

    format: Mapping[str, float]
    arithmetic: Mapping[str, float]
    total: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Designs side by side; the first result is the baseline."""

    results: tuple[Result, ...]
    waterfall: Mapping[str, Mapping[str, tuple[WaterfallRow, ...]]]  # phase -> candidate -> rows
    gain: Mapping[str, Gain]  # by candidate


@dataclass(frozen=True)
class SweepAxis:
    """One axis of a sweep: paths that move together, and the values of each, level by level."""

    paths: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]  # [levels][paths], as written into a design
    numeric: tuple[bool, ...]  # [paths], whether the column of a path holds numbers


@dataclass(frozen=True)
class SweepBound:
    """Bounds that a constraint sets on a column of the results."""

    quantity: str
    at_least: float | None
    at_most: float | None
    failed: int  # evaluated designs that break it; 0 for a swept number, which refuses before


@dataclass(frozen=True)
class FrontRow:
    """One design of the front: its number, the level of every axis, its objectives."""

    index: int
    levels: tuple[int, ...]  # [axes]
    objectives: tuple[float, ...]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found; its table of designs stands in a file of its own beside sweep.json.

    A design's number is its index among all points, so numbers of refused points are missing in
    the table.
    """

    schema_version: int
    name: str
    description: str
    bases: Mapping[str, Mapping[str, Any]]  # contents of the base designs
    axes: tuple[SweepAxis, ...]
    constraints: tuple[SweepBound, ...]
    objectives: tuple[tuple[str, str], ...]  # column and goal, min or max
    workloads: tuple[Mapping[str, Any], ...]  # prefix of its columns, and the options of a run
    method: Mapping[str, Any]
    points: int  # asked for
    designs: int  # evaluated: rows of the table
    feasible: int  # of these, meet all constraints
    refused: Mapping[str, int]  # points that no machine could be built for or run, by reason
    front: tuple[FrontRow, ...]  # best first by the first objective
    knee: int | None  # number of the design of the front nearest to the best of every objective
    columns: tuple[str, ...]
    table: str  # file or folder of the table
    inputs: Mapping[str, str]  # hashes of all that numbers follow from


def sweep_to_json(result: SweepResult) -> dict[str, Any]:
    """Return a sweep as plain dicts and lists; a front of many rows takes no deep copies."""
    parts = {name: list(map(vars, getattr(result, name))) for name in _SWEEP_PARTS}
    return {**vars(result), **parts}


_SWEEP_PARTS = ("axes", "constraints", "front")


def sweep_from_json(content: Mapping[str, Any]) -> SweepResult:
    """Return the SweepResult that ``sweep_to_json`` made plain.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    fields = dict(content)
    fields["axes"] = tuple(
        SweepAxis(tuple(a["paths"]), tuple(map(tuple, a["values"])), tuple(a["numeric"]))
        for a in content["axes"]
    )
    fields["constraints"] = tuple(SweepBound(**bound) for bound in content["constraints"])
    fields["front"] = tuple(
        FrontRow(row["index"], tuple(row["levels"]), tuple(row["objectives"]))
        for row in content["front"]
    )
    for name in ("workloads", "columns"):
        fields[name] = tuple(content[name])
    fields["objectives"] = tuple((name, goal) for name, goal in content["objectives"])
    return SweepResult(**fields)
