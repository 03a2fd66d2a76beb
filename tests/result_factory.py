"""Results that hold together (energies add up, cycles split) without an engine behind them.

The prices are round figures of the right order, not any technology's.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from accelsim.result import (
    CAUSES,
    COMPONENTS,
    PHASES,
    STEPS,
    AreaRow,
    Charge,
    Comparison,
    Gain,
    OperatorRow,
    PhaseResult,
    PriceRow,
    Result,
    Roofline,
    Segment,
    WaterfallRow,
)

PREFILL, DECODE, LAYERS, HIDDEN, FFN, VOCAB = 256, 64, 30, 2560, 6912, 128256
ROWS, DRAM_BYTES_PER_CYCLE = 32, 16.0

# name: value, low, high, unit, how, because
PRICES = {
    "ternary_pe.accumulate": (0.021, 0.016, 0.027, "pJ", "synthesised", "synthesis"),
    "fp16_fma": (0.77, 0.5, 1.5, "pJ", "published", "method"),
    "flop": (0.0012, 0.0009, 0.002, "pJ/bit", "synthesised", "synthesis"),
    "decode2bit": (0.002, 0.001, 0.003, "pJ", "synthesised", "synthesis"),
    "adder_tree": (0.05, 0.03, 0.08, "pJ", "composed", "synthesis"),
    "int_to_float": (0.21, 0.15, 0.35, "pJ", "published", "method"),
    "vector_primitive": (0.9, 0.6, 1.6, "pJ", "unverified", "method"),
    "sram_64kib": (0.031, 0.022, 0.05, "pJ/bit", "modelled", "SRAM model"),
    "lpddr5": (5.0, 4.0, 8.0, "pJ/bit", "published", "DRAM pJ/bit"),
    "clock_tree": (0.0004, 0.0002, 0.0008, "pJ/bit", "extrapolated", "clock"),
    "wire": (0.1, 0.06, 0.18, "pJ/(bit mm)", "published", "wires"),
    "control": (1.5, 0.8, 3.0, "pJ", "extrapolated", "control"),
    "leakage": (4.0, 2.0, 9.0, "pJ", "synthesised", "leakage"),
    "cell_area": (1.0, 0.9, 1.2, "um2", "synthesised", "synthesis"),
    "sram_area": (0.12, 0.1, 0.17, "um2/bit", "modelled", "SRAM model"),
    "phy_area": (1.2e6, 0.8e6, 2.0e6, "um2", "published", "DRAM interface"),
}
# name, kind, k, n, instances a pass, unit
NETWORK = (
    ("embedding", "embedding", 1, HIDDEN, 1, "vector"),
    ("input_norm", "rmsnorm", 1, HIDDEN, LAYERS, "vector"),
    ("quantise", "quantise", 1, HIDDEN, 4 * LAYERS, "vector"),
    ("q_proj", "gemm", HIDDEN, HIDDEN, LAYERS, "array"),
    ("kv_proj", "gemm", HIDDEN, 640, 2 * LAYERS, "array"),
    ("qk", "attention_qk", 128, PREFILL, 20 * LAYERS, "mac"),
    ("softmax", "softmax", 1, PREFILL, 20 * LAYERS, "vector"),
    ("av", "attention_av", PREFILL, 128, 20 * LAYERS, "mac"),
    ("o_proj", "gemm", HIDDEN, HIDDEN, LAYERS, "array"),
    ("gate_up_proj", "gemm", HIDDEN, FFN, 2 * LAYERS, "array"),
    ("relu2_gate", "relu2_gate", 1, FFN, LAYERS, "vector"),
    ("down_proj", "gemm", FFN, HIDDEN, LAYERS, "array"),
    ("dequantise", "dequantise", 1, HIDDEN, 4 * LAYERS, "vector"),
    ("residual", "residual", 1, HIDDEN, 2 * LAYERS, "vector"),
    ("lm_head", "lm_head", HIDDEN, VOCAB, 1, "mac"),
)
# component: step, action, price
BILL = {
    "array": ("matmul", "accumulate", "ternary_pe.accumulate"),
    "accumulator": ("accumulators", "accumulator clock", "flop"),
    "operand_registers": ("SRAM and registers", "operand shift", "flop"),
    "decoder": ("casts, scales and reductions", "unpack", "decode2bit"),
    "reduction": ("casts, scales and reductions", "tree add", "adder_tree"),
    "cast": ("casts, scales and reductions", "dequantise", "int_to_float"),
    "vector": ("norms, softmax, elementwise", "primitive", "vector_primitive"),
    "attention": ("attention", "multiply-add", "fp16_fma"),
    "lm_head": ("lm_head", "multiply-add", "fp16_fma"),
    "sram": ("SRAM and registers", "bits read", "sram_64kib"),
    "dram": ("DRAM", "bits read", "lpddr5"),
    "clock": ("clock, wires and control", "clocked bits", "clock_tree"),
    "interconnect": ("clock, wires and control", "bits moved 1 mm", "wire"),
    "control": ("clock, wires and control", "cycle", "control"),
    "leakage": ("leakage and idle", "cycle", "leakage"),
}


def price(name):
    """Return one row of PRICES."""
    value, low, high, unit, how, because = PRICES[name]
    source = f"round figure for tests, {name}"
    return PriceRow(name, value, low, high, unit, how, source, because)


def make_result(design="ternary_os_32x32", fmac=False, decode=DECODE, weight_bits=2, **changes):
    """Return a consistent result; ``fmac`` multiplies, ``weight_bits`` are moved per weight."""
    operators = [
        _operator(row, phase, decode, weight_bits)
        for phase in range(2 if decode else 1)
        for row in NETWORK
    ]
    charges = [c for phase in range(2) for c in _charges(phase, operators, fmac)]
    operators = [_with_energy(row, operators, charges) for row in operators]
    fields = {
        "design": design,
        "description": "Output-stationary array of ternary adders, multipliers beside it.",
        "design_config": {"name": design, "array": {"rows": ROWS, "cols": ROWS, "pe": "ternary"}},
        "network": "bitnet-b1.58-2b-4t",
        "network_form": "ternary",
        "technology": "asap7",
        "node_nm": 7.0,
        "clock_mhz": 1000.0,
        "workload": {"prefill": PREFILL, "decode": decode, "batch": 1},
        "weights": {
            "kind": "synthetic",
            "source": "bitnet-b1.58-2b-4t",
            "sha256": "",
            "zero_fraction": 0.42,
            "profile": "bitnet-small",
            "extrapolated": False,
        },
        "area": _areas(fmac),
        "phases": tuple(_phase(i, operators, charges, decode) for i in range(2)),
        "operators": tuple(operators),
        "charges": tuple(charges),
        "timeline": _timeline(operators),
        "roofline": Roofline(ROWS * ROWS, 256, DRAM_BYTES_PER_CYCLE),
        "notes": ("Operands are synthetic: drawn from profile bitnet-small.",),
        "manifest": {"accelsim": "0.1.0", "configs": {"design.yaml": "ab12"}, "seed": 0},
    }
    return Result(**{**fields, **changes})


def make_comparison(**changes):
    """Return FMAC against ternary with a waterfall and a gain that factor."""
    baseline = make_result("fmac_fp16_16x16", fmac=True, weight_bits=16)
    packed = make_result("fmac_packed", fmac=True, weight_bits=2)
    candidate = make_result("ternary_os_32x32")
    waterfall = {
        phase: {candidate.design: _waterfall(baseline.phases[i], candidate.phases[i])}
        for i, phase in enumerate(PHASES)
    }
    before, between, after = (_energies(r) for r in (baseline, packed, candidate))
    gain = Gain(
        {key: before[key] / between[key] for key in before},
        {key: between[key] / after[key] for key in before},
        {key: before[key] / after[key] for key in before},
    )
    fields = {
        "results": (baseline, candidate),
        "waterfall": waterfall,
        "gain": {candidate.design: gain},
    }
    return Comparison(**{**fields, **changes})


def _operator(row, phase, decode, weight_bits):
    name, kind, k, n, instances, unit = row
    passes = decode if phase else 1
    m = 1 if phase or kind == "lm_head" else PREFILL
    matrix = kind in ("gemm", "attention_qk", "attention_av", "lm_head")
    steps = m * k * n * instances * passes if matrix else 0
    width = ROWS * ROWS if unit == "array" else 256
    ideal = -(-steps // width)
    spatial = ideal * (ROWS - 1) // 4 if phase and unit == "array" else ideal // 20
    temporal = ideal // 16
    weight = {"gemm": k * n * weight_bits // 8, "lm_head": 2 * k * n}.get(kind, 0)
    dram = weight * instances * passes
    memory = max(0, int(dram / DRAM_BYTES_PER_CYCLE) - ideal - spatial - temporal)
    vector = 0 if matrix else m * n * instances * passes // 64
    busy = (ideal + spatial + temporal, int(dram / DRAM_BYTES_PER_CYCLE), vector)
    return OperatorRow(
        name=name,
        kind=kind,
        phase=phase,
        m=m,
        k=k,
        n=n,
        instances=instances * passes,
        unit=unit,
        folds=-(-m // ROWS) * -(-n // ROWS),
        steps=steps,
        cycles=(ideal, spatial, temporal, memory, vector),
        busy=busy,
        bound=("compute", "memory", "vector")[int(np.argmax(busy))],
        dram_bytes=dram,
        sram_bytes=(m * k + k * n + m * n) * instances * passes,
        energy_pj=np.zeros(len(COMPONENTS)),
    )


def _driver(component, row, fmac=False):
    """Return the count one operator causes for ``component``."""
    gemm = row.steps if row.kind == "gemm" else 0
    elements = row.m * row.n * row.instances
    return {
        "array": gemm,
        "accumulator": gemm * 20,
        "operand_registers": gemm * 10,
        "decoder": row.k * row.n * row.instances if row.kind == "gemm" else 0,
        "reduction": gemm // 32,
        "cast": elements if row.kind in ("quantise", "dequantise") else 0,
        "vector": elements * 4 if row.unit == "vector" else 0,
        "attention": row.steps if row.kind.startswith("attention") else 0,
        "lm_head": row.steps if row.kind == "lm_head" else 0,
        "sram": row.sram_bytes * 8,
        "dram": row.dram_bytes * 8,
        "clock": row.total_cycles * (60_000 if fmac else 20_000),
        "interconnect": gemm // 16,
        "control": row.total_cycles,
        "leakage": row.total_cycles,
    }[component]


def _charges(phase, operators, fmac):
    rows = [row for row in operators if row.phase == phase]
    for component in COMPONENTS:
        step, action, name = BILL[component]
        if component == "array" and fmac:
            name = "fp16_fma"
        p = price(name)
        count = float(sum(_driver(component, row, fmac) for row in rows))
        energy, low, high = (count * 1.0 * x for x in (p.value, p.low, p.high))
        yield Charge(phase, action, component, step, count, 1.0, p, energy, low, high)


def _with_energy(row, operators, charges):
    energy = np.zeros(len(COMPONENTS))
    for index, component in enumerate(COMPONENTS):
        whole = sum(_driver(component, r) for r in operators if r.phase == row.phase)
        joules = sum(
            c.energy_pj for c in charges if (c.phase, c.component) == (row.phase, component)
        )
        energy[index] = joules * _driver(component, row) / whole if whole else 0.0
    return replace(row, energy_pj=energy)


def _phase(index, operators, charges, decode):
    rows = [row for row in operators if row.phase == index]
    bill = [charge for charge in charges if charge.phase == index]
    causes = {}
    for charge in bill:
        old = causes.get(charge.price.because, (0.0, 0.0, 0.0))
        new = (charge.energy_pj, charge.low_pj, charge.high_pj)
        causes[charge.price.because] = tuple(a + b for a, b in zip(old, new, strict=True))

    def by(names, of):
        return np.array([sum(c.energy_pj for c in bill if of(c) == n) for n in names])

    return PhaseResult(
        tokens=decode if index else PREFILL,
        cycles=np.array([sum(r.cycles[i] for r in rows) for i in range(len(CAUSES))], np.int64),
        busy=np.array([sum(r.busy[i] for r in rows) for i in range(3)], np.int64),
        dram_bytes=sum(r.dram_bytes for r in rows),
        sram_bytes=sum(r.sram_bytes for r in rows),
        energy_pj=by(COMPONENTS, lambda c: c.component).astype(float),
        energy_low_pj=sum(c.low_pj for c in bill),
        energy_high_pj=sum(c.high_pj for c in bill),
        waterfall_pj=by(STEPS, lambda c: c.step).astype(float),
        causes_pj=causes,
    )


def _areas(fmac):
    parts = (
        ("array", "PE", ROWS * ROWS, 60.0 if not fmac else 700.0, "cell_area"),
        ("accumulator", "register", ROWS * ROWS, 40.0, "cell_area"),
        ("vector", "lane", 16, 2500.0, "cell_area"),
        ("attention", "multiply-add", 256, 700.0, "cell_area"),
        ("sram", "bits", 3 * 256 * 8192, 1.0, "sram_area"),
        ("dram", "controller and PHY", 1, 1.0, "phy_area"),
    )
    rows = []
    for component, part, count, size, name in parts:
        p = price(name)
        area = [count * size * x for x in (p.value, p.low, p.high)]
        rows.append(AreaRow(component, part, float(count), p, *area))
    return tuple(rows)


def _timeline(operators):
    segments = []
    for phase, excerpt in ((0, "prefill"), (1, "first decode step"), (1, "last decode step")):
        start = 0
        for row in (r for r in operators if r.phase == phase):
            cycles = -(-row.total_cycles // row.instances)
            memory = int(row.dram_bytes / row.instances / DRAM_BYTES_PER_CYCLE)
            segments.append(Segment(excerpt, row.name, row.unit, start, cycles, start, memory))
            start += cycles
    return tuple(segments)


def _waterfall(baseline, candidate):
    before = np.cumsum(baseline.waterfall_pj) * 1e-12
    after = np.cumsum(candidate.waterfall_pj) * 1e-12
    rows = []
    for step, b, c in zip(STEPS, before.tolist(), after.tolist(), strict=True):
        rows.append(WaterfallRow(step, b, c, b / c, 0.8 * b / c, 1.3 * b / c))
    assert all(a.baseline_j <= b.baseline_j for a, b in pairwise(rows))
    return tuple(rows)


def _energies(result):
    energy = {p: float(result.phases[i].energy_pj.sum()) for i, p in enumerate(PHASES)}
    return {**energy, "total": sum(energy.values())}
