"""Prices: every name resolves with a source, evidence is inherited, bad files are refused."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import result
from accelsim.errors import UserError
from accelsim.hardware.price_gaps import gaps_table
from accelsim.hardware.prices import HOWS, UNITS
from accelsim.hardware.technology import (
    PRIMITIVES,
    Technology,
    load_technology,
    technology_names,
)

ROOT = Path(__file__).resolve().parents[1]
NODES = {name: load_technology(name) for name in ("45nm", "7nm")}
SYNTHESISED = {name: load_technology(name) for name in ("asap7", "sky130")}
PES = ("ternary_add", "int8_mac", "fp16_fmac", "bf16_fmac", "fp16_fused", "bf16_fused")
STAGES = ("product", "add", "accumulate", "tree", "normalise")
NEEDED = (
    *(f"pe.{pe}.{stage}.{what}" for pe in PES for stage in STAGES for what in ("energy", "area")),
    *(f"pe.{pe}.product_ternary.energy" for pe in PES),
    *(
        f"{operation}.{what}"
        for operation in [
            "int_add",
            "int_mul.8",
            "fp16_add",
            "fp16_mul",
            "bf16_add",
            "bf16_mul",
            "fp32_add",
            "fp32_mul",
            "drain.quantise",
            "drain.dequantise",
            "decoder.ternary2",
            "decoder.base3",
            "decoder.tl1",
            "decoder.tl2",
            "cast.int8_to_float",
        ]
        for what in ("energy", "area")
    ),
    *(
        f"vector.{work}.energy"
        for work in [
            "add",
            "mul",
            "compare",
            "exp",
            "rsqrt",
            "reciprocal",
            "quantise",
            "dequantise",
            "convert",
            "register",
        ]
    ),
    *(
        f"dram.{kind}.{what}"
        for kind in ("lpddr4", "lpddr5", "ddr4", "hbm2", "hbm3")
        for what in ("energy", "background", "controller.energy", "controller.area")
    ),
    *(f"sram.{quantity}.factor" for quantity in ("energy", "area", "access", "leakage")),
    *[
        "register.clock.energy",
        "register.toggle.energy",
        "register.area",
        "vector.lane.area",
        "wire.energy",
        "clock.tree.energy",
        "clock.wire.energy",
        "control.cycle.energy",
        "control.instruction.energy",
        "control.area",
        "dma.area",
        "leakage.logic",
        "placement.density",
    ],
)


def span(value: float) -> dict:
    return {"value": value, "low": value / 2, "high": value * 2}


def entry(**fields: object) -> dict:
    """A sound price, with ``fields`` changed; None takes one away."""
    common = {"unit": "pJ", "how": "published", "source": "a paper", "because": "arithmetic"}
    number = {} if {"by_bits", "compose"} & set(fields) else {"value": 2.0, "low": 1.0, "high": 3.0}
    return {k: v for k, v in {**common, **number, **fields}.items() if v is not None}


def written(folder: Path, prices: dict, **fields: object) -> Path:
    content = {
        "name": "own",
        "description": "for a test",
        "node_nm": 7,
        "voltage_v": 0.7,
        "corner": "typical",
        "temperature_c": 25,
        "sram_table_node_nm": 22,
        "prices": prices,
        **fields,
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def refusal(folder: Path, prices: dict, **fields: object) -> str:
    with pytest.raises(UserError) as caught:
        load_technology(written(folder, prices, **fields))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(folder / "own.yaml") + ":")
    return line


@pytest.fixture(params=sorted(NODES))
def technology(request: pytest.FixtureRequest) -> Technology:
    return NODES[request.param]


def test_four_technologies_come_with_the_project():
    assert technology_names() == ("45nm", "7nm", "asap7", "sky130")


@pytest.mark.parametrize("name", NEEDED)
def test_every_needed_price_resolves_with_a_source(technology: Technology, name: str):
    for bits in (8, 20, 32, np.arange(8, 65)):
        price = technology.price(name, bits)
        assert np.shape(price.value) == np.shape(bits)
        assert np.all(np.asarray(price.low) >= 0)
        assert np.all(price.low <= price.value)
        assert np.all(price.value <= price.high)
        assert np.all(np.isfinite(price.high))
        assert len(price.source) > 20
        assert price.how in HOWS


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("node", ["asap7", "sky130"])
def test_synthesised_technologies_price_all_that_the_published_ones_do(node: str, name: str):
    price = SYNTHESISED[node].price(name, np.arange(8, 65))
    assert np.all((price.low >= 0) & (price.low <= price.value) & (price.value <= price.high))
    assert np.all(np.isfinite(price.high))


def test_what_comes_from_cells_is_synthesised():
    for technology in SYNTHESISED.values():
        for name in ("register.clock.energy", "register.area", "fp32_add.energy", "leakage.logic"):
            assert technology.price(name).how == "synthesised"
        assert technology.price("int_add.energy", 24).how == "synthesised"
        assert technology.price("pe.ternary_add.ternary.both_nonzero.energy", 24).value > 0


def test_a_technology_may_build_on_another(tmp_path: Path):
    (tmp_path / "base").mkdir()
    written(tmp_path / "base", {"one.energy": entry(value=1.5)})
    technology = load_technology(written(tmp_path, {}, shared_prices=["base/own.yaml"]))
    assert technology.price("one.energy").value == 1.5


def test_only_what_says_why_is_free(technology: Technology):
    free = {name for name in technology.names() if technology.price(name, 48).high == 0}
    assert free == {
        f"pe.{pe}.normalise.{what}" for pe in PES[:4] for what in ("energy", "area")
    } | {"dram.ddr4.controller.energy"}


def test_the_ranking_is_the_one_results_print():
    assert HOWS == result.HOWS


@pytest.mark.parametrize(("node", "ratio"), [("7nm", 71.4), ("45nm", 50.0)])
def test_published_primitives_give_the_papers_ratio(node: str, ratio: float):
    table = NODES[node].primitives()
    got = (table["fp16_add"] + table["fp16_mul"]) / table["int8_add"]
    assert got == pytest.approx(ratio, abs=0.05)


def test_an_int32_accumulate_leaves_a_quarter_of_the_papers_ratio():
    table = NODES["7nm"].primitives()
    got = (table["fp16_add"] + table["fp16_mul"]) / table["int32_add"]
    assert got == pytest.approx(16.7, abs=0.05)


def test_prices_of_primitives_are_the_published_ones(technology: Technology):
    table = technology.primitives()
    assert tuple(table) == PRIMITIVES
    assert technology.price("int_add.energy", 8).value == table["int8_add"]
    assert technology.price("int_add.energy", 32).value == table["int32_add"]
    assert technology.price("int_mul.8.energy").value == table["int8_mul"]
    for name in ("fp16_add", "fp16_mul", "fp32_add", "fp32_mul"):
        assert technology.price(f"{name}.energy").value == table[name]


def test_floating_adders_by_width_agree_with_the_adders_by_name(technology: Technology):
    for bits, name in ((16, "fp16_add"), (32, "fp32_add")):
        for what in ("energy", "area"):
            wide, own = technology.price(f"fp_add.{what}", bits), technology.price(f"{name}.{what}")
            assert (wide.value, wide.low, wide.high) == (own.value, own.low, own.high)


def test_a_ternary_accumulation_is_one_adder_of_its_width(technology: Technology):
    for bits in (8, 14, 20, 32):
        parts = [f"pe.ternary_add.{stage}.energy" for stage in ("add", "accumulate")]
        total = sum(technology.price(part, bits).value for part in parts)
        assert total == pytest.approx(technology.price("int_add.energy", bits).value, rel=1e-12)


def test_fused_dot_products_beat_rounded_multiply_adds(technology: Technology):
    def unit_pj(pe: str, lanes: int = 8) -> float:
        product, add, extra, tree, last = (
            technology.price(f"pe.{pe}.{stage}.energy", 32).value for stage in STAGES
        )
        return lanes * product + (lanes - 1) * tree + add + extra + last

    assert unit_pj("fp16_fused") < unit_pj("fp16_fmac")
    assert unit_pj("bf16_fused") < unit_pj("bf16_fmac")


def test_ternary_operands_may_halve_a_multipliers_energy(technology: Technology):
    for pe in PES[1:]:
        dense = technology.price(f"pe.{pe}.product.energy")
        fed = technology.price(f"pe.{pe}.product_ternary.energy")
        assert (fed.value, fed.low, fed.high) == (dense.value, dense.low / 2, dense.high)


def test_the_width_of_listed_points_keeps_its_evidence(technology: Technology):
    assert technology.price("int_add.energy", 8).how == "published"
    assert technology.price("int_add.energy", np.array([8, 32])).how == "published"
    assert technology.price("int_add.energy", 20).how == "composed"
    assert technology.price("int_add.energy", np.array([8, 20])).how == "composed"


def test_a_line_runs_through_the_points():
    node = NODES["7nm"]
    assert node.price("int_add.energy", 20).value == pytest.approx(0.0185)
    assert node.price("int_add.energy", 64).value == pytest.approx(0.03 + 32 * 0.023 / 24)
    assert node.price("int_add.energy", 4).value == pytest.approx(0.0035)


@given(st.lists(st.integers(1, 128), min_size=1, max_size=9))
@settings(max_examples=40)
def test_a_row_never_depends_on_its_neighbours(widths: list[int]):
    for name in ("int_add.energy", "pe.int8_mac.accumulate.energy", "pe.fp16_fmac.product.area"):
        together = NODES["7nm"].price(name, np.array(widths))
        alone = [NODES["7nm"].price(name, width) for width in widths]
        assert list(together.value) == [price.value for price in alone]
        assert list(together.low) == [price.low for price in alone]
        assert list(together.high) == [price.high for price in alone]


@given(st.sampled_from(sorted(NODES)), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=60)
def test_wider_adders_cost_more(node: str, one: int, other: int):
    for name in ("int_add.energy", "int_add.area", "pe.ternary_add.accumulate.energy"):
        narrow, wide = (NODES[node].price(name, bits) for bits in sorted((one, other)))
        assert narrow.value <= wide.value
        assert narrow.high <= wide.high


@given(st.permutations(HOWS), st.integers(1, len(HOWS)))
@settings(max_examples=30)
def test_a_sum_is_as_weak_as_its_weakest_part(order: list[str], count: int):
    prices = {f"part{i}.energy": entry(how=how) for i, how in enumerate(order[:count])}
    prices["sum.energy"] = entry(compose=[[1, name] for name in prices], how=None)
    with tempfile.TemporaryDirectory() as folder:
        price = load_technology(written(Path(folder), prices)).price("sum.energy")
    assert HOWS.index(price.how) == max(map(HOWS.index, (*order[:count], "composed")))
    assert (price.value, price.low, price.high) == (2.0 * count, 1.0 * count, 3.0 * count)


def test_a_composition_widens_its_bounds_and_names_its_formula(tmp_path: Path):
    prices = {
        "one.energy": entry(),
        "wide.energy": entry(by_bits={8: span(1), 16: span(2)}),
        "sum.energy": entry(
            compose=[[2, "one.energy"], [1, "wide.energy", 16], [1, "wide.energy", "accumulator"]],
            how="extrapolated",
            low_factor=0.5,
            high_factor=2,
        ),
    }
    price = load_technology(written(tmp_path, prices)).price("sum.energy", np.array([8, 24]))
    assert list(price.value) == [7, 9]
    assert list(price.low) == [0.5 * 3.5, 0.5 * 4.5]
    assert list(price.high) == [2 * 12, 2 * 16]
    assert price.how == "extrapolated"
    assert price.source == (
        "a paper [= 2 x one.energy + 1 x wide.energy(16) + 1 x wide.energy(accumulator)]"
    )
    assert not price.value.flags.writeable


def test_a_difference_is_bounded_where_it_says_so(tmp_path: Path):
    prices = {
        "wide.energy": entry(by_bits={8: span(1), 16: span(2)}),
        "extra.energy": entry(
            compose=[[1, "wide.energy", "accumulator"], [-1, "wide.energy", 16]], at_least=0
        ),
    }
    price = load_technology(written(tmp_path, prices)).price("extra.energy", np.array([8, 16, 24]))
    assert list(price.value) == [0, 0, 1]
    del prices["extra.energy"]["at_least"]
    assert "is negative" in refusal(tmp_path, prices)


def test_own_prices_replace_shared_ones(tmp_path: Path):
    shared = {"prices": {"one.energy": entry(), "twice.energy": entry(compose=[[2, "one.energy"]])}}
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(shared), encoding="utf-8")
    own = {"one.energy": entry(value=5, high=5, how="synthesised")}
    technology = load_technology(written(tmp_path, own, shared_prices=["shared.yaml"]))
    assert technology.price("one.energy").value == 5
    assert technology.price("twice.energy").value == 10


def test_errors_name_the_shared_file(tmp_path: Path):
    bad = {"prices": {"one.energy": entry(how="guessed")}}
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(bad), encoding="utf-8")
    with pytest.raises(UserError, match=r"shared\.yaml:prices\.one\.energy\.how: unknown how"):
        load_technology(written(tmp_path, {}, shared_prices=["shared.yaml"]))
    with pytest.raises(UserError, match=r"absent\.yaml: cannot be read"):
        load_technology(written(tmp_path, {}, shared_prices=["absent.yaml"]))


def test_a_missing_price_is_an_error_that_names_file_and_key(technology: Technology):
    with pytest.raises(UserError, match=r"nm\.yaml:prices\.pe\.int8_mac\.ad\.energy: missing"):
        technology.price("pe.int8_mac.ad.energy")
    assert technology.find("pe.int8_mac.ad.energy") is None


def test_only_the_node_that_was_synthesised_knows_its_delay():
    delay = NODES["45nm"].find("pe.fp16_fmac.delay")
    assert delay is not None
    assert (delay.value, delay.unit, delay.how) == (4.8, "ns", "unverified")
    assert NODES["7nm"].find("pe.fp16_fmac.delay") is None


def test_a_price_that_needs_a_width_says_so(technology: Technology):
    with pytest.raises(UserError, match="needs a width"):
        technology.price("int_add.energy")
    with pytest.raises(UserError, match="needs an accumulator width"):
        technology.price("pe.int8_mac.accumulate.energy")
    with pytest.raises(UserError, match="asked at no width"):
        technology.price("int_add.energy", 0)


def test_unknown_technology_lists_the_known():
    with pytest.raises(UserError, match=r'unknown technology \(7mn\); did you mean "7nm"'):
        load_technology("7mn")


ILL_FORMED = [
    (entry(how="guessed"), r"prices\.one\.energy\.how: unknown how \(guessed\); allowed"),
    (entry(how=None), "how: is missing"),
    (entry(source=None), "source: is missing"),
    (entry(source="  "), "source: must be a text"),
    (entry(because="weather"), "unknown because"),
    (entry(because=None), "because: is missing"),
    (entry(unit="nJ"), r"wrong unit \(nJ\); allowed: pJ"),
    (entry(low=2.5), r"out of order \(low 2.5, value 2, high 3\)"),
    (entry(low=-1), "out of order"),
    (entry(high=1.5), "out of order"),
    (entry(high=None), "high: is missing"),
    (entry(value="2"), "finite number"),
    (entry(value=float("nan")), "finite number"),
    (entry(value=True), "finite number"),
    (entry(valeu=2), r"unknown key \(valeu\)|unknown key"),
    (entry(compose=[[1, "good.energy"]], value=2), "exactly one form"),
    ({"unit": "pJ"}, "exactly one form"),
    ("0.3", "is no price"),
    (entry(by_bits={8: span(1)}), "two widths"),
    (entry(by_bits={0: span(1), 8: span(2)}), "no width"),
    (entry(by_bits={8: span(1), 16: 3}), "expected value, low and high"),
    (entry(by_bits={8: span(1), 16: {**span(1), "hi": 3}}), "unknown key"),
    (entry(by_bits={8: {"value": 1, "low": 2, "high": 3}, 16: span(2)}), "out of order"),
    (
        entry(
            by_bits={
                8: {"value": 3, "low": 1, "high": 8},
                16: {"value": 7, "low": 2, "high": 8},
            }
        ),
        "out of order at some width",
    ),
    (entry(compose=[]), "needs terms"),
    (entry(compose=[[1]]), "is no term"),
    (entry(compose=[[1, "good.energy", "wide"]]), "is no width"),
    (entry(compose=[["1", "good.energy"]]), "finite number"),
    (entry(compose=[[1, 5]]), "names no price"),
    (entry(compose=[[1, "two.energy"]]), r"made of a missing price \(two\.energy\)"),
    (entry(compose=[[1, "one.energy"]]), "is made of itself"),
    (entry(compose=[[1, "good.area"]]), r"adds different units \(um2\); allowed: pJ"),
    (entry(compose=[[-1, "good.energy"]]), "is negative"),
    (entry(compose=[[1, "good.energy"]], low_factor=1.5), "out of range"),
    (entry(compose=[[1, "good.energy"]], high_factor=0.5), "out of range"),
    (entry(compose=[[1, "wide.energy"]]), "needs a width"),
]


@pytest.mark.parametrize(("bad", "words"), ILL_FORMED)
def test_ill_formed_prices_are_refused_in_one_line(tmp_path: Path, bad: object, words: str):
    sound = {
        "good.energy": entry(),
        "good.area": entry(unit="um2"),
        "wide.energy": entry(by_bits={8: span(1), 16: span(2)}),
    }
    assert len(load_technology(written(tmp_path, sound)).names()) == 3
    assert re.search(words, refusal(tmp_path, {**sound, "one.energy": bad}))


def test_a_circle_of_two_is_refused(tmp_path: Path):
    prices = {
        "one.energy": entry(compose=[[1, "two.energy"]]),
        "two.energy": entry(compose=[[1, "one.energy"]]),
    }
    assert "one.energy -> two.energy -> one.energy" in refusal(tmp_path, prices)


def test_unknown_kinds_of_price_and_keys_are_refused(tmp_path: Path):
    assert "unknown kind of price" in refusal(tmp_path, {"pe.speed": entry()})
    assert "unknown key" in refusal(tmp_path, {"one.energy": entry()}, colour="blue")
    assert "must be int" in refusal(tmp_path, {"one.energy": entry()}, node_nm="7")
    assert "shared_prices" in refusal(tmp_path, {"one.energy": entry()}, shared_prices="a.yaml")


def test_a_technology_without_primitives_refuses_the_papers_accounting(tmp_path: Path):
    prices = {"one.energy": entry()}
    with pytest.raises(UserError, match="missing published energies"):
        load_technology(written(tmp_path, prices)).primitives()
    half = {"source": "a paper", "fp32_add": 1}
    assert "eight energies" in refusal(tmp_path, prices, primitives=half)
    table = {"source": "a paper", **dict.fromkeys(PRIMITIVES, 1), "fp16_add": -1}
    assert "positive energy" in refusal(tmp_path, prices, primitives=table)


def test_units_are_the_known_ones(technology: Technology):
    units = {technology.price(name, 32).unit for name in technology.names()}
    assert units <= {unit for _, unit in UNITS}


def test_gaps_are_all_prices_that_synthesis_has_not_closed(tmp_path: Path):
    prices = {
        "one.energy": entry(how="synthesised"),
        "two.energy": entry(how="measured"),
        "three.energy": entry(),
        "four.area": entry(unit="um2", how="unverified"),
    }
    technology = load_technology(written(tmp_path, prices))
    assert [price.name for price in technology.gaps()] == ["four.area", "three.energy"]
    table = gaps_table([technology])
    assert "| `three.energy` | 2 (1 to 3) pJ | published | arithmetic |" in table
    assert "one.energy" not in table


def test_a_gap_says_which_technologies_have_closed_it(tmp_path: Path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    parts = {"one.energy": entry(), "pe.x.add.energy": entry(), "pe.y.add.energy": entry()}
    shape = entry(unit="1", how="synthesised", because="area")
    new = {**parts, "one.energy": entry(how="synthesised"), "pe.x.shape.flops": shape}
    old, closer = (
        load_technology(written(tmp_path / name, prices))
        for name, prices in (("old", parts), ("new", new))
    )
    closer = replace(closer, name="closer")
    last = [row.split(" | ")[-1] for row in gaps_table([old, closer]).splitlines()[4:7]]
    assert last == ["closer |", "closer |", "none |"]


def test_the_document_shows_the_current_gaps():
    document = (ROOT / "docs" / "prices.md").read_text(encoding="utf-8")
    assert gaps_table([load_technology(name) for name in technology_names()]) in document
