"""What stands around the PEs in SystemVerilog against the functional model and exact rationals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import format_rationals as exact
import numpy as np
import numpy.typing as npt
import pytest
from float_rationals import BF16, FP16, FP32, Format
from rtl_many import Instance, build_many
from rtl_modules import assert_lint_is_silent, assert_yosys_elaborates
from rtl_needed import need_simulator

from accelsim.functional import operators
from accelsim.functional.threads import Threads
from accelsim.rtl.circuit import Circuit, build
from accelsim.rtl.sources import SV_FOLDER
from accelsim.rtl.words import signed

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Sources = Sequence[Path]
OURS: Sources = (SV_FOLDER,)
FORMATS = {"fp16": FP16, "bf16": BF16, "fp32": FP32}
ONE_THREAD = Threads(1)


@pytest.fixture(autouse=True, scope="module")
def _simulator() -> None:
    need_simulator()


def sizes(form: Format) -> dict[str, int]:
    return {"EXP": form.exp, "MAN": form.man}


def one_nan(bits: Bits, form: Format) -> Bits:
    """Let every NaN be the one that the units give."""
    top = exact.infinite(form, False)
    magnitude = bits & ((1 << (form.exp + form.man)) - 1)
    return np.where(magnitude > top, exact.quiet_nan(form), bits).astype(np.uint32)


def float32(bits: Bits) -> Floats:
    return np.ascontiguousarray(bits, np.uint32).view(np.float32)


def bits32(values: Floats) -> Bits:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def widened(bits: Bits, form: Format) -> Floats:
    """Return numbers of a format as float32."""
    if form == FP16:
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return float32(bits << (23 - form.man))


def each(function: Callable[..., int], *operands: Bits, form: Format | None = None) -> Ints:
    """Apply an exact model to each row of operands."""
    rows = zip(*(column.tolist() for column in operands), strict=True)
    more = () if form is None else (form,)
    return np.array([function(*row, *more) for row in rows], np.int64)


def assert_late(
    shown: npt.NDArray[np.integer], expected: npt.ArrayLike, late: int, of: str
) -> None:
    """Compare what is shown with what was due ``late`` cycles before."""
    wanted = np.asarray(expected)
    np.testing.assert_array_equal(shown[late:], wanted[: len(wanted) - late], err_msg=of)


# Operations.

Operation = tuple[str, str, int]  # operation, format, stages
OPERATIONS: list[Operation] = [
    *(("add", "fp32", stages) for stages in range(4)),
    *(("mul", name, stages) for name in FORMATS for stages in range(5)),
    *((operation, "fp16", 0) for operation in ("add", "div")),
    *((operation, "bf16", 2) for operation in ("add", "div")),
    ("div", "fp32", 0),
    ("div", "fp16", 13),
]


def build_operations(folder: Path, cases: Sequence[Operation], sources: Sources = OURS) -> Circuit:
    names = sorted({name for _, name, _ in cases})
    inputs = {f"{side}_{name}": FORMATS[name].bits for name in names for side in "ab"}
    instances = [
        Instance(
            f"fp_{operation}",
            sizes(FORMATS[name]) | {"STAGES": stages},
            {"a": f"a_{name}", "b": f"b_{name}"},
            "y",
            FORMATS[name].bits,
        )
        for operation, name, stages in cases
    ]
    return build_many(folder, inputs, instances, sources=sources)


def check_operations(circuit: Circuit, cases: Sequence[Operation]) -> None:
    names = sorted({name for _, name, _ in cases})
    given = {}
    for name in names:
        given[f"a_{name}"], given[f"b_{name}"] = exact.pairs(FORMATS[name], 3000, seed=7)
    outputs = circuit.replay(given)
    expected = {
        (operation, name): each(
            exact.OPERATIONS[operation], given[f"a_{name}"], given[f"b_{name}"], form=FORMATS[name]
        )
        for operation, name in dict.fromkeys(case[:2] for case in cases)
    }
    for i, case in enumerate(cases):
        assert_late(outputs[f"y{i}"], expected[case[:2]], case[2], str(case))


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Circuit:
    return build_operations(tmp_path_factory.mktemp("operations"), OPERATIONS)


def test_operations_are_rounded_once(operations: Circuit) -> None:
    check_operations(operations, OPERATIONS)


@pytest.mark.parametrize("name", ["fp16", "fp32"])
def test_operations_are_those_of_numpy(name: str, operations: Circuit) -> None:
    form = FORMATS[name]
    kinds = (np.float16, np.uint16) if form == FP16 else (np.float32, np.uint32)
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 1 << form.bits, 50_000, np.uint32) for _ in range(2))
    # Half of them of near exponents.
    near = rng.integers(0, 4, len(b), np.uint32) << form.man
    b[::2] = (a[::2] ^ near[::2]) ^ (b[::2] & ((1 << form.man) - 1))
    x, y = (operand.astype(kinds[1]).view(kinds[0]) for operand in (a, b))
    with np.errstate(all="ignore"):
        results = {"add": x + y, "mul": x * y, "div": x / y}
    others = {port.name: 0 for port in operations.inputs}
    outputs = operations.replay(others | {f"a_{name}": a, f"b_{name}": b})
    for i, (operation, of, stages) in enumerate(OPERATIONS):
        if of == name:
            expected = one_nan(results[operation].view(kinds[1]).astype(np.uint32), form)
            assert_late(outputs[f"y{i}"], expected, stages, f"{operation} {stages}")


# Changes of format.


def delicate_floats(rng: np.random.Generator, count: int) -> Bits:
    """Draw float32: all kinds, those near halves of fp16 and bf16 units, and both their limits."""
    bits = exact.pairs(FP32, count, seed=1)[0]
    for form in (FP16, BF16):
        size = len(bits) // 4
        at = rng.integers(0, len(bits), size)
        few = rng.integers(0, 1 << 13, size, np.uint32) if form == FP16 else np.uint32(0)
        short = widened(rng.integers(0, 1 << 16, size, np.uint32), form)
        half = np.uint32(1 << (22 - form.man))
        bits[at] = bits32(short) | half ^ np.where(rng.random(size) < 0.3, few, 0)
    # Halves of subnormal fp16 units, with and without a rest.
    halves = (2 * rng.integers(0, 1 << 10, 1000) + 1) * 2.0**-25
    bits[:1000] = bits32(halves.astype(np.float32)) + (rng.random(1000) < 0.5)
    magnitudes = [65504.0, 65519.996, 65520.0, 2.0**-24, 2.0**-25, 2.0**-26, 6.1e-5, 3.4e38]
    limits = bits32(np.array(magnitudes, np.float32))
    return np.concatenate([bits, limits, limits + 1, limits - 1, limits | 1 << 31]).astype(
        np.uint32
    )


def check_narrow(folder: Path, sources: Sources = OURS) -> None:
    forms = (FP16, BF16)
    instances = [
        Instance("float_narrow", sizes(form), {"number": "number"}, "narrow", form.bits, False)
        for form in forms
    ]
    circuit = build_many(folder, {"number": 32}, instances, sources=sources)
    number = delicate_floats(np.random.default_rng(2), 4000)
    outputs = circuit.replay({"number": number})
    for i, form in enumerate(forms):
        expected = each(exact.narrowed, number, form=form)
        np.testing.assert_array_equal(outputs[f"y{i}"], expected, err_msg=str(form))
    with np.errstate(all="ignore"):
        halves = float32(number).astype(np.float16).view(np.uint16).astype(np.uint32)
    np.testing.assert_array_equal(outputs["y0"], one_nan(halves, FP16))


def test_a_narrower_format_is_rounded_once(tmp_path: Path) -> None:
    check_narrow(tmp_path)


@pytest.mark.parametrize("form", [FP16, BF16])
def test_every_number_widens_exactly(form: Format) -> None:
    number = np.arange(1 << 16, dtype=np.uint32)
    wide = build("float_widen", sizes(form)).replay({"number": number})["wide"]
    expected = bits32(widened(number, form))
    nan = np.isnan(float32(expected))
    np.testing.assert_array_equal(wide[~nan], expected[~nan])
    assert np.isnan(float32(wide[nan])).all()


def check_integers(folder: Path, sources: Sources = OURS) -> None:
    cases = [
        (bits, form, stages)
        for bits in (8, 21, 32)
        for form in FORMATS.values()
        for stages in range(3)
    ]
    instances = [
        Instance(
            "int_to_float",
            {"BITS": bits, "STAGES": stages} | sizes(form),
            {"integer_in": f"x{bits}"},
            "number",
            form.bits,
        )
        for bits, form, stages in cases
    ]
    inputs = {f"x{bits}": bits for bits in (8, 21, 32)}
    circuit = build_many(folder, inputs, instances, sources=sources)
    rng = np.random.default_rng(4)
    given = {"x8": np.tile(np.arange(-128, 128), 12)}
    for bits in (21, 32):
        shift = rng.integers(0, bits, 3072)
        given[f"x{bits}"] = rng.integers(-(1 << bits - 1), 1 << bits - 1, 3072) >> shift
        given[f"x{bits}"][:4] = [-(1 << bits - 1), (1 << bits - 1) - 1, 0, -1]
    # Halves of a unit in the last place of float32, of both parities, with and without a rest.
    ties = (rng.integers(1 << 23, 1 << 24, 1000) * 2 + 1 << 5) + rng.integers(-1, 2, 1000)
    given["x32"][100:1100] = ties * rng.choice([-1, 1], 1000)
    outputs = circuit.replay(given)
    for i, (bits, form, stages) in enumerate(cases):
        x = given[f"x{bits}"]
        expected = [exact.rounded(exact.Fraction(value), form, False) for value in x.tolist()]
        assert_late(outputs[f"y{i}"], expected, stages, f"{bits} {form}")
        if form == FP32:
            assert_late(outputs[f"y{i}"], bits32(x.astype(np.float32)), stages, f"{bits} numpy")


def test_integers_become_the_nearest_floats(tmp_path: Path) -> None:
    check_integers(tmp_path)


# Largest magnitudes.


def check_absmax(
    folder: Path,
    cases: Sequence[tuple[str, int, int]],
    sources: Sources = OURS,
) -> None:
    """Compare for cases of format, lanes and stages."""
    most = max(lanes for _, lanes, _ in cases)
    inputs = {"rst": 1, "valid": 1, "clear": 1}
    inputs |= {name: FORMATS[name].bits * most for name in {name for name, _, _ in cases}}
    instances = [
        Instance(
            "absmax",
            sizes(FORMATS[name]) | {"LANES": lanes, "STAGES": stages},
            {pin: pin for pin in ("rst", "valid", "clear")}
            | {"numbers": f"{name}[{FORMATS[name].bits * lanes - 1}:0]"},
            "largest",
            FORMATS[name].bits,
        )
        for name, lanes, stages in cases
    ]
    circuit = build_many(folder, inputs, instances, sources=sources)
    for seed in (1, 2, 3):
        rng = np.random.default_rng(seed)
        rst = np.arange(1500) < 8
        valid, clear = rng.random(1500) < 0.7, rng.random(1500) < 0.1
        given: dict[str, npt.NDArray[np.integer]] = {"rst": rst, "valid": valid, "clear": clear}
        for name in list(inputs)[3:]:
            form = FORMATS[name]
            numbers = rng.integers(0, 1 << form.bits, (1500, most), np.int64)
            # Mostly small, so that the maximum keeps moving.
            bound = rng.integers(1, form.exp + form.man, (1500, 1))
            given[name] = numbers & ~((1 << form.exp + form.man) - (1 << bound))
        outputs = circuit.replay(given, seed=seed)
        for i, (name, lanes, stages) in enumerate(cases):
            magnitudes = given[name][:, :lanes] & ((1 << FORMATS[name].bits - 1) - 1)
            largest, shown = 0, []
            for cycle, row in enumerate(magnitudes.max(axis=1).tolist()):
                largest = 0 if clear[cycle] or rst[cycle] else largest
                largest = max(largest, row) if valid[cycle] and not rst[cycle] else largest
                shown.append(largest)
            late = 1 + stages
            expected = np.array(shown)[8 : 1500 - late]
            np.testing.assert_array_equal(
                outputs[f"y{i}"][8 + late :], expected, err_msg=f"{cases[i]}"
            )


def test_absmax_keeps_the_largest_magnitude(tmp_path: Path) -> None:
    lanes = ((1, 0), (2, 1), (5, 0), (5, 3), (8, 0), (8, 1), (8, 2), (16, 4), (33, 6))
    check_absmax(tmp_path, [(name, n, stages) for name in FORMATS for n, stages in lanes])


# Activations to codes.


def activations(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Draw rows of all sizes, of halves of codes, of subnormal numbers, of zeros."""
    size = np.float32(2.0) ** rng.integers(-40, 60, (rows, 1)).astype(np.float32)
    x = rng.standard_normal((rows, columns)).astype(np.float32) * size
    # The largest is 127 times a power of two: products are exact, and halves of codes are ties.
    halves = rng.integers(-253, 254, (rows, columns)).astype(np.float32) / np.float32(2)
    x[: rows // 3] = halves[: rows // 3] * size[: rows // 3]
    x[: rows // 3, 0] = 127 * size[: rows // 3, 0]
    # Products near halves that float32 takes for halves, or not.
    third = slice(rows // 3, 2 * rows // 3)
    largest = np.abs(x[third]).max(axis=1, keepdims=True)
    near = bits32(halves[third] * largest / np.float32(127))
    x[third, 1:] = float32(near + rng.integers(0, 3, near.shape, np.uint32) - np.uint32(1))[:, 1:]
    x[third, 0] = largest[:, 0]
    x[-1], x[-2] = 0, np.float32(1e-6) * x[-2] / np.abs(x[-2]).max()
    x[-3, :-1] = float32(rng.integers(0, 1 << 23, columns - 1, np.uint32))
    return x


def rounded_to(x: Floats, form: Format) -> Bits:
    """Return the bits of float32 in a format."""
    if form == FP16:
        with np.errstate(over="ignore"):
            return x.astype(np.float16).view(np.uint16).astype(np.uint32)
    return each(exact.narrowed, bits32(x).ravel(), form=form).reshape(x.shape).astype(np.uint32)


QUANTISERS = [(name, stages) for name in FORMATS for stages in range(4)]


def build_quantise(
    folder: Path,
    cases: Sequence[tuple[str, int]],
    sources: Sources = OURS,
    backend: str | None = None,
) -> Circuit:
    """Build for cases of format and stages."""
    inputs = {"scale": 32} | {name: FORMATS[name].bits for name in sorted({c[0] for c in cases})}
    instances = [
        Instance(
            "quantise",
            sizes(FORMATS[name]) | {"STAGES": stages},
            {"x": name, "scale": "scale"},
            "code",
            8,
        )
        for name, stages in cases
    ]
    return build_many(folder, inputs, instances, sources=sources, backend=backend)


def check_quantise(circuit: Circuit, cases: Sequence[tuple[str, int]]) -> None:
    names = sorted({name for name, _ in cases})
    rng = np.random.default_rng(11)
    for name in names:
        x = activations(rng, 48, 96)
        if name == "fp16":
            x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True) / np.float32(60000), 1)
        given = rounded_to(x, FORMATS[name])
        wide = widened(given, FORMATS[name])
        model = operators.quantise(wide, ONE_THREAD)
        scales = np.repeat(bits32(model.scales), x.shape[1])
        rational = each(exact.code_of, bits32(wide).ravel(), scales)
        np.testing.assert_array_equal(rational, model.codes.ravel(), err_msg="the two models")
        stimulus = {other: given.ravel() if other == name else 0 for other in names}
        outputs = circuit.replay({"scale": scales, **stimulus})
        for i, (other, stages) in enumerate(cases):
            if other == name:
                shown = signed(outputs[f"y{i}"], 8)
                assert_late(shown, model.codes.ravel(), stages, f"{name} {stages}")
        if name == "fp32":
            # Products in float64 are exact: some would be another code if they were rounded once.
            once = np.rint(wide.astype(np.float64) * model.scales[:, None].astype(np.float64))
            assert (np.clip(once, -128, 127) != model.codes).any()


@pytest.fixture(scope="module")
def quantisers(tmp_path_factory: pytest.TempPathFactory) -> Circuit:
    return build_quantise(tmp_path_factory.mktemp("quantisers"), QUANTISERS)


def codes_of(
    circuit: Circuit,
    x: npt.NDArray[np.integer],
    scale: Ints | int,
    cases: Sequence[tuple[str, int]] = QUANTISERS,
) -> Ints:
    """Return the codes that float32 gets without stages."""
    others = {port.name: 0 for port in circuit.inputs}
    outputs = circuit.replay(others | {"fp32": x, "scale": scale})
    return signed(outputs[f"y{cases.index(('fp32', 0))}"], 8)


def test_codes_are_those_of_the_functional_model(quantisers: Circuit) -> None:
    check_quantise(quantisers, QUANTISERS)


def check_saturation(circuit: Circuit, cases: Sequence[tuple[str, int]]) -> None:
    x = exact.pairs(FP32, 4000, seed=5)[0]
    rng = np.random.default_rng(6)
    # Scales that bring x near codes: normal numbers below 2**125.
    field = 254 - (x >> 23 & 255).astype(np.int64) + rng.integers(-3, 10, len(x))
    scale = np.clip(field, 1, 251) << 23 | rng.integers(0, 1 << 23, len(x))
    shown = codes_of(circuit, x, scale, cases)
    np.testing.assert_array_equal(shown, each(exact.code_of, x, scale.astype(np.uint32)))
    assert {-128, 0, 127} <= set(shown.tolist())
    specials = np.array(FP32.specials, np.int64)
    scales = [1 << 23, 0x3F800000, 0xBF800001, 252 << 23, 0x7FC00000]
    x, scale = (grid.ravel() for grid in np.meshgrid(specials, scales))
    expected = each(exact.code_of, x, scale)
    np.testing.assert_array_equal(codes_of(circuit, x, scale, cases), expected)


def test_codes_saturate_at_any_scale_and_a_nan_is_zero(quantisers: Circuit) -> None:
    check_saturation(quantisers, QUANTISERS)


def test_a_row_with_no_number_gets_the_code_zero(quantisers: Circuit) -> None:
    nan, infinite = exact.quiet_nan(FP32), exact.infinite(FP32, False)
    x = np.array([nan, infinite, 0x3F800000, 0xC2FE0000, 1])
    for scale in (nan, 0):  # 127 / nan, 127 / infinite
        assert not codes_of(quantisers, x, scale).any()


def test_scales_are_those_of_the_functional_model(tmp_path: Path) -> None:
    cases = [("fp16", 0), ("bf16", 26), ("fp32", 7)]
    inputs = {name: form.bits for name, form in FORMATS.items()}
    instances = [
        Instance(
            "quantise_scale",
            sizes(FORMATS[name]) | {"STAGES": stages},
            {"largest": name},
            "scale",
            32,
        )
        for name, stages in cases
    ]
    circuit = build_many(tmp_path, inputs, instances)
    rng = np.random.default_rng(8)
    given, expected = {}, {}
    for name, form in FORMATS.items():
        bits = rng.integers(0, exact.infinite(form, False), 4000, np.uint32)
        near = rounded_to(np.array([0, 1e-5, 127, 1], np.float32), form).astype(np.int64)
        bits[12:14] = exact.infinite(form, False), exact.quiet_nan(form)
        bits[:12] = np.maximum((near[:, None] + np.arange(-1, 2)).ravel(), 0)
        given[name] = bits
        x = widened(bits, form).reshape(-1, 1)
        scales = operators.quantise(np.ascontiguousarray(x), ONE_THREAD).scales
        scales[12:14] = 0, np.nan
        expected[name] = one_nan(bits32(scales), FP32)
    outputs = circuit.replay(given)
    for i, (name, stages) in enumerate(cases):
        assert_late(outputs[f"y{i}"], expected[name], stages, f"{name} {stages}")


# Accumulators to floats.

# Accumulator bits, DIVIDE, format of y, RANKED, stages of conversion, of scale, of weight scale.
Dequantised = tuple[int, int, str, int, int, int, int]
DEQUANTISED: list[Dequantised] = [
    (32, 1, "fp32", 0, 0, 0, 0),
    (24, 1, "fp32", 1, 1, 3, 2),
    (20, 0, "fp32", 1, 1, 3, 2),
    (24, 0, "fp16", 0, 0, 0, 0),
    (24, 0, "bf16", 1, 1, 3, 2),
    # As it is synthesised: as many ranks in each multiplication.
    *((32, 0, "fp32", 1, 2, stages, stages) for stages in range(5)),
]
STAGES = ("CONVERT_STAGES", "SCALE_STAGES", "WEIGHT_STAGES")


def check_dequantise(folder: Path, cases: Sequence[Dequantised], sources: Sources = OURS) -> None:
    widths = sorted({acc for acc, *_ in cases})
    inputs = {"scale": 32, "weight_scale": 32} | {f"acc{acc}": acc for acc in widths}
    instances = [
        Instance(
            "dequantise",
            sizes(FORMATS[name])
            | {"ACC": acc, "DIVIDE": divide, "RANKED": ranked}
            | dict(zip(STAGES, stages, strict=True)),
            {"acc": f"acc{acc}", "scale": "scale", "weight_scale": "weight_scale"},
            "y",
            FORMATS[name].bits,
        )
        for acc, divide, name, ranked, *stages in cases
    ]
    circuit = build_many(folder, inputs, instances, sources=sources)
    rng = np.random.default_rng(12)
    for weight_scale in np.array([0.0271, 1.7e-3, 41.3, 1e-30], np.float32):
        scales = np.exp2(rng.uniform(-10, 23, 50)).astype(np.float32)
        scales[:2] = 127 / np.float32(1e-5), np.float32(2.0**-100)
        given: dict[str, npt.NDArray[np.integer]] = {}
        for acc in widths:
            shift = rng.integers(0, acc, 2500)
            given[f"acc{acc}"] = rng.integers(-(1 << acc - 1), 1 << acc - 1, 2500) >> shift
        for multiplies in (True, False):
            # Where the weight scale divides, its product with a row's scale does.
            divisor = scales if multiplies else scales * weight_scale
            factor = weight_scale if multiplies else np.float32(1)
            outputs = circuit.replay(
                {
                    "scale": np.repeat(bits32(divisor), 50),
                    "weight_scale": int(factor.view(np.uint32)),
                }
                | given
            )
            for i, (acc, divide, name, ranked, *stages) in enumerate(cases):
                sums = given[f"acc{acc}"].astype(np.int32).reshape(50, 50)
                if divide:
                    model = operators.dequantise(sums, scales, weight_scale, multiplies, ONE_THREAD)
                else:
                    model = sums.astype(np.float32) * divisor[:, None] * factor
                form = FORMATS[name]
                wide = one_nan(bits32(model).ravel(), FP32)
                expected = wide if form == FP32 else each(exact.narrowed, wide, form=form)
                late = 2 * ranked + sum(stages)
                assert_late(outputs[f"y{i}"], expected, late, str(cases[i]))


def test_dequantised_sums_are_those_of_the_functional_model(tmp_path: Path) -> None:
    check_dequantise(tmp_path, DEQUANTISED)


# Primitives.


def test_integer_primitives_are_exact(tmp_path: Path) -> None:
    inputs = {"a": 8, "b": 8}
    wires = {"a": "a", "b": "b"}
    instances = [
        Instance(module, parameters | {"REGISTERED": late}, wires, output, bits)
        for late in (0, 1)
        for module, parameters, output, bits in (
            ("int_add", {"BITS": 8}, "y", 8),
            ("int_mul", {}, "y", 16),
            ("int_compare", {"BITS": 8}, "less", 1),
            ("int_compare", {"BITS": 8}, "equal", 1),
        )
    ]
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    outputs = build_many(tmp_path, inputs, instances).replay({"a": a, "b": b})
    expected = [a + b & 255, a * b & 0xFFFF, a < b, a == b]
    for i in range(len(instances)):
        assert_late(outputs[f"y{i}"], expected[i % 4], 2 * (i // 4), instances[i].module)


# The checks find mistakes: each is planted in a copy of the sources.


def planted_in(operation: str) -> Callable[[Path, Sources], None]:
    """Return the check of one operation in fp16."""
    cases = [(operation, "fp16", 0)]
    return lambda folder, sources: check_operations(build_operations(folder, cases, sources), cases)


def planted_in_quantise(
    check: Callable[[Circuit, Sequence[tuple[str, int]]], None],
) -> Callable[[Path, Sources], None]:
    """Return a check of codes of fp32."""
    cases = [("fp32", 0)]
    return lambda folder, sources: check(build_quantise(folder, cases, sources), cases)


MUTANTS: dict[str, tuple[Callable[[Path, Sources], None], str, str, str]] = {
    "a tie goes up": (
        planted_in("mul"),
        "fp_round",
        "half && (rest || significand[0])",
        "half",
    ),
    "bits that leave an addend are forgotten": (
        planted_in("add"),
        "fp_add",
        "wide[TERM-1:0] != 0",
        "wide[TERM-1]",
    ),
    "bits that leave a subnormal are forgotten": (
        check_narrow,
        "fp_normalise",
        " || lost",
        "",
    ),
    "a product is not shifted once again": (
        planted_in("mul"),
        "fp_mul_normalise",
        "!word[WORD-1] && field != E'(1)",
        "1'b0",
    ),
    "a product's exponent leaves the subnormal ones too late": (
        planted_in("mul"),
        "fp_mul",
        "zeros < above ? zeros : above",
        "zeros < exponent_0 ? zeros : exponent_0",
    ),
    "a part of a multiplication is misplaced": (
        lambda folder, sources: check_operations(
            build_operations(folder, [("mul", "fp16", 3)], sources), [("mul", "fp16", 3)]
        ),
        "float_multiplier",
        "<< (i * PART)",
        "<< (i * PART - i / 3)",
    ),
    "a half of a multiplication is misplaced": (
        lambda folder, sources: check_operations(
            build_operations(folder, [("mul", "fp16", 4)], sources), [("mul", "fp16", 4)]
        ),
        "float_multiplier_halves",
        "<< HALF)",
        "<< (HALF - 1))",
    ),
    "a remainder is forgotten": (
        planted_in("div"),
        "fp_div",
        "remainder != 0}",
        "1'b0}",
    ),
    "a product is cut off to float32": (
        planted_in_quantise(check_quantise),
        "quantise",
        "25'(half && (rest || kept[0]))",
        "25'(1'b0)",
    ),
    "128 is not held": (
        planted_in_quantise(check_saturation),
        "quantise",
        "held || magnitude[7]",
        "held",
    ),
    "a maximum keeps what was cleared": (
        lambda folder, sources: check_absmax(folder, [("bf16", 5, 3)], sources=sources),
        "absmax",
        "clear_top ? {W{1'b0}} : running",
        "running",
    ),
    "a node compares without the exponent": (
        lambda folder, sources: check_absmax(folder, [("bf16", 5, 0)], sources=sources),
        "max_tree",
        "left < right ?",
        "left[6:0] < right[6:0] ?",
    ),
    "a sum is cut off to float32": (
        check_integers,
        "int_to_float",
        ".half(half_1)",
        ".half(1'b0)",
    ),
}


@pytest.mark.parametrize("mistake", MUTANTS)
def test_the_checks_find_a_planted_mistake(mistake: str, tmp_path: Path) -> None:
    check, module, right, wrong = MUTANTS[mistake]
    text = (SV_FOLDER / f"{module}.sv").read_text(encoding="utf-8")
    assert text.count(right) == 1
    mutant = tmp_path / f"{module}.sv"
    mutant.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(AssertionError, match="Mismatched elements"):
        check(tmp_path, [SV_FOLDER, mutant])


# Other tools read the modules alike.


def test_yosys_simulates_the_same(tmp_path: Path) -> None:
    need_simulator("cxxrtl")
    check_quantise(build_quantise(tmp_path, [("bf16", 1)], backend="cxxrtl"), [("bf16", 1)])


LINTED: list[tuple[str, dict[str, int]]] = [
    *(
        (top, sizes(form) | {"STAGES": 2})
        for top in ("fp_add", "fp_mul", "fp_div", "quantise", "quantise_scale")
        for form in FORMATS.values()
    ),
    *(
        (top, sizes(form) | {"STAGES": stages})
        for top in ("fp_mul", "quantise")
        for form in FORMATS.values()
        for stages in (0, 3)
    ),
    *(("fp_mul", sizes(form) | {"STAGES": 4}) for form in FORMATS.values()),
    *(("float_widen", sizes(form)) for form in FORMATS.values()),
    *(("float_narrow", sizes(form)) for form in (FP16, BF16)),
    *(("int_to_float", {"BITS": bits, "STAGES": bits // 16} | sizes(FP16)) for bits in (8, 16, 32)),
    *(("dequantise", sizes(form) | {"DIVIDE": 0, "RANKED": 1}) for form in FORMATS.values()),
    ("dequantise", {"SCALE_STAGES": 7, "WEIGHT_STAGES": 2}),
    ("dequantise", {"CONVERT_STAGES": 2, "DIVIDE": 0, "SCALE_STAGES": 4, "WEIGHT_STAGES": 4}),
    *(("absmax", {"LANES": n, "STAGES": stages}) for n, stages in ((1, 0), (4, 1), (5, 3))),
    *(
        (top, {"REGISTERED": late})
        for top in ("int_add", "int_mul", "int_compare")
        for late in (0, 1)
    ),
]


@pytest.mark.parametrize(("top", "parameters"), LINTED)
def test_lint_has_nothing_to_say(top: str, parameters: dict[str, int]) -> None:
    assert_lint_is_silent(top, parameters)


def test_yosys_elaborates_every_module() -> None:
    assert_yosys_elaborates(LINTED)
