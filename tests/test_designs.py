"""Designs that come with the project: they load, their names resolve, and terms are equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.config import ArrayConfig, DesignConfig, load_design_config
from accelsim.formats import lookup_format, lookup_packing
from accelsim.hardware.memory import dram_kinds, sram_bank
from accelsim.hardware.technology import Technology, load_technology

FILES = sorted((Path(__file__).resolve().parents[1] / "hw_configs").glob("*.yaml"))
DESIGNS = {path.stem: load_design_config(path) for path in FILES}
NODES: dict[str, Technology] = {name: load_technology(name) for name in ("45nm", "7nm", "asap7")}
STAGES = ("product", "add", "accumulate", "tree", "normalise")


@pytest.fixture(params=sorted(DESIGNS))
def design(request: pytest.FixtureRequest) -> DesignConfig:
    return DESIGNS[request.param]


def arrays(design: DesignConfig) -> list[ArrayConfig]:
    return [array for array in (design.array, design.mac) if array is not None]


def test_there_are_designs_of_every_kind():
    kinds = {(d.array.pe, d.array.organisation) for d in DESIGNS.values()}
    assert kinds >= {
        ("ternary_add", "systolic"),
        ("ternary_add", "dot_product"),
        ("int8_mac", "systolic"),
        ("int8_mac", "dot_product"),
        ("fp16_fmac", "systolic"),
        ("fp16_fused", "dot_product"),
        ("bf16_fmac", "systolic"),
        ("bf16_fused", "dot_product"),
    }


@pytest.mark.parametrize("name", sorted(DESIGNS))
def test_the_file_is_called_like_the_design(name: str):
    assert DESIGNS[name].name == name


def test_every_name_in_a_design_resolves(design: DesignConfig):
    for format_name in design.formats.model_dump().values():
        lookup_format(format_name)
    packing = lookup_packing(design.weights.packing)
    technology = NODES[design.technology]
    assert design.dram.kind in dram_kinds(technology)
    if packing.decoder:
        assert technology.price(f"{packing.decoder}.energy").value > 0
    for array in arrays(design):
        for stage in STAGES:
            technology.price(f"pe.{array.pe}.{stage}.energy", array.accumulator.bits)
            technology.price(f"pe.{array.pe}.{stage}.area", array.accumulator.bits)


def test_one_bank_answers_within_a_cycle(design: DesignConfig):
    for buffer in (design.sram.activation, design.sram.weight, design.sram.output):
        bank = sram_bank(
            NODES[design.technology],
            [buffer.capacity_kib * 1024],
            [buffer.width_bits],
            [buffer.banks],
        )
        assert bank.access_ns.value[0] * design.clock_mhz <= 1000


def test_a_multiplierless_array_has_a_mac_for_attention_and_the_head(design: DesignConfig):
    floating = design.array.pe.startswith(("fp16", "bf16"))
    assert (design.mac is None) == floating
    unit = "array" if floating else "mac"
    assert (design.placement.attention, design.placement.lm_head) == (unit, unit)


def test_integer_accumulators_hold_every_sum_of_a_wide_layer(design: DesignConfig):
    if design.array.pe in ("ternary_add", "int8_mac"):
        widest = 65_535
        assert 128 * widest < 2 ** (design.array.accumulator.bits - 1)


@pytest.mark.parametrize("kind", ["lpddr5", "hbm3"])
def test_machines_of_one_class_differ_in_nothing_but_their_arithmetic(kind: str):
    peers = [design for design in DESIGNS.values() if design.dram.kind == kind]
    assert len(peers) >= 3
    terms = {
        (
            d.technology,
            d.clock_mhz,
            d.sram.model_dump_json(),
            d.dram.model_dump_json(),
            d.vector.model_dump_json(),
            d.array.rows * d.array.cols * d.array.lanes,
            d.array.clock_gating,
        )
        for d in peers
    }
    assert len(terms) == 1


def test_ternary_networks_are_read_in_one_packing_but_for_the_named_baselines():
    unpacked = {d.name for d in DESIGNS.values() if d.weights.packing != "ternary2"}
    assert unpacked == {"fp16_ws_32x32_fp16weights", "fp16_ws_32x32_twin"}
    twins = {d.name for d in DESIGNS.values() if d.network_form == "fp16_twin"}
    assert twins == {"fp16_ws_32x32_twin"}
