"""What stays in SRAM, what comes from DRAM and how often, and what transfers cost in cycles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from engine_factory import design, gemm_trace, network, network_trace

from accelsim.config import DesignConfig
from accelsim.engine.columns import BUSY_COMPUTE, BUSY_MEMORY, IDEAL
from accelsim.engine.evaluation import Evaluation, evaluate
from accelsim.engine.invariants import distinct_bytes
from accelsim.engine.residency import class_bytes, kept_bytes
from accelsim.hardware.actions import SHARED, SharedAction
from accelsim.hardware.columns import build_designs
from accelsim.hardware.design import Resident
from accelsim.result import CAUSES
from accelsim.trace import Footprint, Kind, Phase, Series, Trace

FMAC = (
    "array.pe=bf16_fmac",
    "array.accumulator.bits=32",
    "mac=null",
    "placement.attention=array",
    "placement.lm_head=array",
)
BIG = ("sram.activation.capacity_kib=4096", "sram.activation.stream_kib=2048")


def count(evaluation: Evaluation, trace: Trace, name: str, action: SharedAction) -> int:
    return int(evaluation.counts[0, trace.names.index(name), SHARED + action])


def read_by(config: DesignConfig, trace: Trace, name: str) -> int:
    evaluation = evaluate(trace, build_designs([config]))
    return count(evaluation, trace, name, SharedAction.DRAM_READ)


def whole_bursts(size: int, burst: int = 64) -> int:
    return math.ceil(size / burst) * burst


def storing(ternary: int, head: int = 0, norm: int = 0, cache: int = 0) -> Trace:
    """Return a trace of one row of weights, with the footprint of other operands."""
    zero = np.zeros((1, 1), np.int64)
    trace = gemm_trace(zero, np.zeros((1, ternary), np.int64))
    return replace(trace, footprint=Footprint(ternary, 0, head, norm, cache))


def test_classes_stay_in_the_order_that_the_design_states() -> None:
    trace = storing(64 * 1024, head=10 * 1024, norm=512, cache=6 * 1024)
    for order, kept in (
        ("[norm, weights, head]", {"NORM": 1024, "WEIGHTS": 16384, "HEAD": 15360}),
        ("[head, weights]", {"HEAD": 20480, "WEIGHTS": 12288}),
        ("[weights]", {"WEIGHTS": 16384}),
        ("[]", {}),
    ):
        designs = build_designs([design(f"sram.resident={order}")])
        found = kept_bytes(class_bytes(trace, designs), designs)[0]
        assert {Resident(i).name: int(b) for i, b in enumerate(found) if b} == kept


def test_the_cache_stays_in_the_activation_buffer_and_takes_no_room_of_weights() -> None:
    trace = storing(10**6, cache=10**6)
    designs = build_designs(
        [design("sram.resident=[cache, weights]", "sram.activation.stream_kib=24")]
    )
    kept = kept_bytes(class_bytes(trace, designs), designs)[0]
    assert kept[Resident.CACHE] == 40 * 1024
    assert kept[Resident.WEIGHTS] == 32 * 1024


def test_weights_unpacked_on_arrival_fill_sram_with_their_unpacked_bits() -> None:
    trace = storing(10**6)
    kept = []
    for place in ("sram", "dram"):
        designs = build_designs(
            [design(*FMAC, "sram.resident=[weights]", f"weights.decoder={place}")]
        )
        kept.append(kept_bytes(class_bytes(trace, designs), designs)[0, Resident.WEIGHTS])
    assert kept == [32 * 1024, 32 * 1024 * 2 // 16]


def test_prefill_is_cold_and_decode_inherits() -> None:
    trace = network_trace(prefill=5, decode=4)
    all_stay = design(
        *BIG,
        "sram.weight.capacity_kib=4096",
        "sram.weight.stream_kib=64",
        "sram.resident=[weights]",
    )
    none_stays = design(*BIG, "sram.resident=[]")
    k, n, layers = 48, 48, 3
    tensor = whole_bursts(k * n * 2 // 8)
    for config, decoded in ((all_stay, 0), (none_stays, 4)):
        assert read_by(config, trace, "prefill/q_proj") == layers * tensor
        assert read_by(config, trace, "decode/q_proj") == layers * tensor * decoded


def test_a_class_that_stays_in_part_is_fetched_for_the_rest() -> None:
    trace = network_trace(prefill=5, decode=4)
    config = design(*BIG, "sram.weight.capacity_kib=34", "sram.resident=[weights]")
    k, n, layers, passes = 48, 100, 3, 4
    stored = k * n * 2 // 8
    missing = stored - stored * 2048 // (trace.footprint.ternary * 2 // 8)
    assert read_by(config, trace, "decode/gate_proj") == layers * passes * whole_bursts(missing)


def test_lm_head_reads_its_table_every_pass_and_embedding_its_rows() -> None:
    trace = network_trace(prefill=5, decode=4)
    config = design(*BIG, "sram.resident=[]")
    table, row = 130 * 48 * 2, 48 * 2
    assert read_by(config, trace, "prefill/lm_head") == whole_bursts(table)
    assert read_by(config, trace, "decode/lm_head") == 4 * whole_bursts(table)
    assert read_by(config, trace, "prefill/embedding") == 5 * whole_bursts(row)
    assert read_by(config, trace, "decode/embedding") == 4 * whole_bursts(row)


def test_decode_reads_every_cached_key_once_per_pass_and_writes_its_own() -> None:
    prefill, decode, batch = 5, 4, 2
    trace = network_trace(prefill, decode, batch)
    config = design(*BIG, "sram.resident=[]")
    shape = network()
    caches = shape.layers * shape.kv_heads * batch
    keys = sum(whole_bursts((prefill + t) * 8 * 2) for t in range(1, decode + 1))
    assert read_by(config, trace, "decode/attention_qk") == caches * keys
    assert read_by(config, trace, "decode/attention_av") == caches * keys
    assert read_by(config, trace, "prefill/attention_qk") == 0
    evaluation = evaluate(trace, build_designs([config]))
    appended = batch * 2 * shape.kv_heads * 8 * 2
    for name, size in (("prefill", prefill * appended), ("decode", appended)):
        written = count(evaluation, trace, f"{name}/kv_append", SharedAction.DRAM_WRITE)
        assert written == shape.layers * whole_bursts(size) * (1 if name == "prefill" else decode)


def test_a_cache_that_stays_moves_nothing() -> None:
    trace = network_trace(prefill=5, decode=4)
    config = design(*BIG, "sram.resident=[cache]")
    evaluation = evaluate(trace, build_designs([config]))
    for name in ("attention_qk", "attention_av"):
        assert count(evaluation, trace, f"decode/{name}", SharedAction.DRAM_READ) == 0
    assert count(evaluation, trace, "decode/kv_append", SharedAction.DRAM_WRITE) == 0


def test_keys_too_many_for_the_stream_come_from_dram_once_for_each_group_of_heads() -> None:
    """One KiB of stream; a layer's keys of 40 positions take 2 x 40 x 8 x 2 bytes."""
    trace = network_trace(prefill=40, decode=0)
    shape = network()
    config = design("sram.activation.capacity_kib=1", "sram.activation.stream_kib=1")
    evaluation = evaluate(trace, build_designs([config]))
    inputs, keys = 40 * 8 * 2, 40 * 8 * 2
    shared = math.ceil(keys / (shape.heads // shape.kv_heads))
    per_instance = (inputs + shared, inputs * 2 + shared)
    read = count(evaluation, trace, "prefill/attention_qk", SharedAction.DRAM_READ)
    allowed = [whole_bursts(size) * shape.layers * shape.heads for size in per_instance]
    assert allowed[0] <= read <= allowed[1]


@pytest.mark.parametrize(
    ("dataflow", "m", "times"),
    # Column blocks of 400 x 8 weights take 800 bytes and 512 are free.
    [("os", 8, 1), ("os", 17, 3), ("ws", 8, 1), ("is", 8, 1), ("is", 17, 3)],
)
def test_weights_come_again_for_every_row_of_folds_where_a_piece_does_not_fit(
    dataflow: str, m: int, times: int
) -> None:
    trace = gemm_trace(np.ones((m, 400), np.int64), np.ones((400, 24), np.int64))
    config = design(
        f"array.dataflow={dataflow}",
        "sram.weight.capacity_kib=1",
        "sram.weight.stream_kib=1",
        "sram.resident=[]",
    )
    assert read_by(config, trace, "decode/gemm") == whole_bursts(times * 400 * 24 * 2 // 8)


def test_ws_loads_weights_again_for_each_part_of_a_long_stream() -> None:
    """1 KiB of output keeps 21 sums of 24 bits in each of 8 columns: 64 words in 4 parts."""
    trace = gemm_trace(np.ones((64, 400), np.int64), np.ones((400, 24), np.int64))
    small = ("sram.output.capacity_kib=1", "sram.output.stream_kib=1", "sram.resident=[]")
    stored = 400 * 24 * 2 // 8
    for stream, times in ((1, 4), (2, 1)):
        config = design(
            "array.dataflow=ws",
            f"sram.weight.capacity_kib={stream}",
            f"sram.weight.stream_kib={stream}",
            *small,
        )
        assert read_by(config, trace, "decode/gemm") == whole_bursts(times * stored)


def test_spilled_activations_are_looped_over_in_the_cheaper_order() -> None:
    """Activations of 3000 bytes pass 512 bytes at a time, or weights of 600 bytes as often."""
    trace = gemm_trace(np.ones((60, 50), np.int64), np.ones((50, 48), np.int64))
    config = design(
        "sram.activation.capacity_kib=1",
        "sram.activation.stream_kib=1",
        "sram.weight.capacity_kib=1",
        "sram.weight.stream_kib=1",
        "sram.resident=[]",
    )
    orders = (600 * math.ceil(3000 / 512) + 3000, 600 + 3000 * math.ceil(600 / 512))
    assert read_by(config, trace, "decode/gemm") == whole_bursts(min(orders))


@pytest.mark.parametrize("burst", [8, 64, 4096])
def test_transfers_are_whole_bursts(burst: int) -> None:
    trace = network_trace(batch=2)
    evaluation = evaluate(trace, build_designs([design(f"dram.burst_bytes={burst}")]))
    for action in (SharedAction.DRAM_READ, SharedAction.DRAM_WRITE):
        assert (evaluation.counts[0, :, SHARED + action] % burst == 0).all()


def test_every_dram_byte_passes_an_sram() -> None:
    trace = network_trace(prefill=40, decode=2)
    tight = ("sram.activation.capacity_kib=1", "sram.activation.stream_kib=1")
    evaluation = evaluate(trace, build_designs([design(*tight, "dram.burst_bytes=8")]))
    counts = evaluation.counts[0, :, SHARED:]
    entering = counts[:, SharedAction.WEIGHT_WRITE] + counts[:, SharedAction.ACTIVATION_WRITE]
    rounding = 7 * trace.operators["repeat"] * trace.operators["series_count"]
    assert (entering + 8 * rounding >= 8 * counts[:, SharedAction.DRAM_READ]).all()
    leaving = counts[:, SharedAction.ACTIVATION_READ]
    assert (leaving + 8 * rounding >= 8 * counts[:, SharedAction.DRAM_WRITE]).all()
    assert counts[:, SharedAction.DRAM_WRITE].sum() > 0


def test_reads_of_the_workload_cover_its_distinct_bytes() -> None:
    trace = network_trace()
    designs = build_designs([design(*BIG, "sram.weight.capacity_kib=4096")])
    evaluation = evaluate(trace, designs)
    reads = int(evaluation.counts[0, :, SHARED + SharedAction.DRAM_READ].sum())
    f = trace.footprint
    assert distinct_bytes(trace, designs)[0] == f.ternary * 2 // 8 + (f.head + f.norm) * 2
    assert reads >= distinct_bytes(trace, designs)[0]


@pytest.mark.parametrize(
    ("packing", "row"),
    [
        # Bits of 100 and of 700 weights in a row, from the layout of a block.
        ("tq1_0", {100: 1 * 54 * 8, 700: 3 * 54 * 8}),
        ("tq2_0", {100: 1 * 66 * 8, 700: 3 * 66 * 8}),
        ("i2_s", {100: 100 * 2, 700: 700 * 2}),
        ("tl1", {100: 50 * 4, 700: 350 * 4}),
        ("tl2", {100: 32 * 5 + 4 * 2, 700: 224 * 5 + 28 * 2}),
    ],
)
def test_dram_and_sram_move_the_bytes_of_the_packing(packing: str, row: dict[int, int]) -> None:
    n = 40
    beside = 0 if packing.startswith("tq") else 32
    for k, bits in row.items():
        trace = gemm_trace(np.zeros((3, k), np.int64), np.zeros((k, n), np.int64))
        config = design(f"weights.packing={packing}", "sram.resident=[]", *BIG)
        stored = n * bits // 8 + beside
        evaluation = evaluate(trace, build_designs([config]))
        assert class_bytes(trace, build_designs([config]))[0, Resident.WEIGHTS] == stored
        name = "decode/gemm"
        assert count(evaluation, trace, name, SharedAction.DRAM_READ) == whole_bursts(stored)
        assert count(evaluation, trace, name, SharedAction.WEIGHT_WRITE) == 8 * stored
        # An output-stationary array streams every weight past its rows once.
        assert count(evaluation, trace, name, SharedAction.WEIGHT_READ) == n * bits


def test_prefetch_hides_no_more_than_half_the_weight_buffer_holds() -> None:
    """The second of two linears starts with at most that much already there."""
    trace = network_trace(prefill=32, decode=0, hidden_size=256, intermediate_size=512)
    slow = ("dram.bandwidth_gb_per_s=0.2", "sram.resident=[]", *BIG)
    designs = build_designs([design(*slow)])
    evaluation = evaluate(trace, designs)
    rate = float(designs.machines["dram_bytes_per_cycle"][0])
    cycles = evaluation.cycles[0]
    total = cycles[:, IDEAL : IDEAL + len(CAUSES)].sum(axis=1)
    layers = trace.layers
    most = math.ceil(16 * 1024 / rate)
    linears = np.flatnonzero(trace.operators["kind"] == Kind.GEMM)
    saved = cycles[linears, BUSY_MEMORY] - total[linears]
    assert 0 < saved.max() <= layers * most
    assert (total[linears] >= cycles[linears, BUSY_COMPUTE]).all()


def test_a_first_tile_is_waited_for_where_nothing_was_fetched_ahead() -> None:
    trace = gemm_trace(np.ones((64, 64), np.int64), np.ones((64, 64), np.int64))
    designs = build_designs([design("sram.resident=[]", "dram.bandwidth_gb_per_s=0.5")])
    cycles = evaluate(trace, designs).cycles[0, 0]
    tile, rate = 64 * 8 * 2 // 8, float(designs.machines["dram_bytes_per_cycle"][0])
    transfer = math.ceil(64 * 64 * 2 / 8 / rate)
    expected = max(cycles[BUSY_COMPUTE] + math.ceil(tile / rate), transfer)
    assert cycles[IDEAL : IDEAL + len(CAUSES)].sum() == expected


def test_decode_of_one_pass_has_a_series_of_one() -> None:
    trace = network_trace(prefill=1, decode=1)
    rows = trace.operators[trace.operators["phase"] == Phase.DECODE]
    grown = rows[rows["series"] != Series.NONE]
    assert set(grown["kind"]) == {Kind.ATTENTION_QK, Kind.SOFTMAX, Kind.ATTENTION_AV}
    evaluation = evaluate(trace, build_designs([design("sram.resident=[]", *BIG)]))
    read = count(evaluation, trace, "decode/attention_qk", SharedAction.DRAM_READ)
    assert read == 3 * 2 * whole_bursts(2 * 8 * 2)
