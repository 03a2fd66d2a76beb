"""Recorded traces: what is written is read back, and no damaged file does more than be refused."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.engine.feasible import sum_bits
from accelsim.errors import UserError
from accelsim.functional.profile import load_profile
from accelsim.functional.synthetic import synthetic_gemm
from accelsim.locate import NETWORKS, shipped
from accelsim.trace import MAX_TRACE_BYTES, Trace, load_trace, save_trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    profile = load_profile(shipped(NETWORKS) / "profiles" / "austen-12m.yaml")
    return synthetic_gemm(8, 64, 16, "ternary", profile)


@pytest.fixture(scope="module")
def written(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("trace") / "trace.npz"
    save_trace(trace, path)
    return path.read_bytes()


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_trace(path)
    assert str(path) in str(caught.value)
    return caught.value.message


def members(written: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(content: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in content.items():
            archive.writestr(name, member)
    return stream.getvalue()


def with_header(written: bytes, **changes: object) -> bytes:
    content = members(written)
    header = json.loads(str(np.load(io.BytesIO(content["header.npy"]))))
    stream = io.BytesIO()
    np.save(stream, np.array(json.dumps(header | changes)))
    return packed(content | {"header.npy": stream.getvalue()})


def test_a_trace_survives_its_file(trace: Trace, written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(written)
    again = load_trace(path)
    assert np.array_equal(again.operators, trace.operators)
    assert (again.names, again.workload, again.footprint) == (
        trace.names,
        trace.workload,
        trace.footprint,
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_cut_trace_is_refused(written: bytes, tmp_path: Path, share: float) -> None:
    refused(tmp_path / "cut.npz", written[: int(len(written) * share)])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 0.999), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(
    trace: Trace, written: bytes, tmp_path: Path, place: float, byte: int
) -> None:
    changed = bytearray(written)
    changed[int(len(written) * place)] = byte
    path = tmp_path / "changed.npz"
    path.write_bytes(changed)
    try:
        again = load_trace(path)
    except UserError:
        return
    assert np.array_equal(again.operators, trace.operators)  # the byte was of no meaning


def test_another_version_says_so(written: bytes, tmp_path: Path) -> None:
    told = refused(tmp_path / "t.npz", with_header(written, version=99))
    assert told == "trace of another version"


@pytest.mark.parametrize(
    "changes", [{"names": 3}, {"workload": {}}, {"workload": {"prefill": -1}}, {"footprint": None}]
)
def test_a_header_without_sense_is_refused(
    written: bytes, tmp_path: Path, changes: dict[str, object]
) -> None:
    refused(tmp_path / "t.npz", with_header(written, **changes))


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_does(
    written: bytes, tmp_path: Path
) -> None:
    huge = packed(members(written) | {"more.npy": bytes(MAX_TRACE_BYTES)})
    assert len(huge) < 1 << 20
    refused(tmp_path / "t.npz", huge)


@pytest.mark.parametrize(
    ("observed", "bits"),
    [
        ({}, 14),  # 127 * 64 = 8128
        ({"activation_sum": 4095}, 13),
        ({"activation_sum": 4096}, 14),
        ({"activation_sum": 4095, "accumulator_bound": 1000}, 11),
    ],
)
def test_sums_need_the_bits_of_the_tightest_bound_that_was_observed(
    trace: Trace, observed: dict[str, int], bits: int
) -> None:
    rows = trace.operators.copy()
    for column, value in observed.items():
        rows[column] = value
    assert sum_bits(replace(trace, operators=rows)) == bits
