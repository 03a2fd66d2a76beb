"""The walk over a GGUF container: what it finds, and what it refuses."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_factory import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    U32,
    Info,
    array,
    container,
    entry,
    scalar,
    text,
)

from accelsim.errors import UserError
from accelsim.functional.gguf_file import StringArray, open_gguf


def store(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    return path


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        open_gguf(path)
    line = str(caught.value)
    assert "\n" not in line
    for part in ("x.gguf", *parts):
        assert part in line


def test_keys_and_tensors_are_those_that_the_package_wrote_and_reads(tmp_path):
    path = tmp_path / "x.gguf"
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("a", 200)
    writer.add_int16("b", -3)
    writer.add_uint64("c", 2**63)
    writer.add_float64("d", 0.1)
    writer.add_float32("e", 1e-5)
    writer.add_bool("f", True)
    writer.add_string("g", "naïve\n")
    writer.add_array("h", [1, 2, -3])
    writer.add_array("i", ["x", "", "日本"])
    tensors = {
        "one": rng.normal(size=5).astype(np.float32),
        "two": rng.normal(size=(3, 4)).astype(np.float16),
        "four": rng.normal(size=(2, 3, 4, 5)).astype(np.float32),
    }
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(path)
    package = gguf.GGUFReader(path)
    for key, field in package.fields.items():
        if key.startswith("GGUF."):
            continue
        value = file.values[key]
        value = value.decode() if isinstance(value, StringArray) else value
        value = value.tolist() if isinstance(value, np.ndarray) else value
        assert value == field.contents()
    assert file.values["i"].decode() == ["x", "", "日本"]
    assert [tensor.name for tensor in package.tensors] == list(file.tensors)
    for read in package.tensors:
        place = file.tensors[read.name]
        assert (place.offset, place.kind) == (read.data_offset, int(read.tensor_type))
        found = file.map(place, read.data.dtype, place.shape)
        np.testing.assert_array_equal(found, tensors[read.name])


def test_the_package_gives_no_gate_for_foreign_types(tmp_path):
    path = store(tmp_path, container([], [Info("x", [4], kind=36)], bytes(32)))
    assert open_gguf(path).tensors["x"].kind == 36
    with pytest.raises(ValueError, match="36"):
        gguf.GGUFReader(path)


def test_version_two_and_other_alignments_are_read(tmp_path):
    entries = [entry("general.alignment", U32, scalar(U32, 64))]
    rows = [Info("x", [4]), Info("y", [4], offset=64)]
    content = container(entries, rows, bytes(80), version=2, alignment=64)
    file = open_gguf(store(tmp_path, content))
    assert [t.offset % 64 for t in file.tensors.values()] == [0, 0]
    assert [t.room for t in file.tensors.values()] == [64, 16]


def test_a_tensor_without_dimensions_has_one_element(tmp_path):
    file = open_gguf(store(tmp_path, container([], [Info("x", [])], bytes(32))))
    assert file.tensors["x"].shape == (1,)


def test_places_come_in_the_order_of_offsets(tmp_path):
    rows = [Info("late", [8], offset=32), Info("early", [8])]
    file = open_gguf(store(tmp_path, container([], rows, bytes(64))))
    assert list(file.tensors) == ["early", "late"]


ONE = Info("x", [8])
KEY = entry("k", U32, scalar(U32, 7))


LIES = [
    (b"", "is empty"),
    (b"GGUF", "too short"),
    (container(magic=b"GGML"), "is no GGUF file"),
    (container(version=1), "unknown version (1)"),
    (container(version=3 << 24), "unknown version"),  # big-endian
    (container([KEY], keys=2), "x.gguf"),
    (container([KEY], keys=2**60), "number of keys"),
    (container([], [ONE], bytes(32), tensors=2**60), "number of tensors"),
    (container([], tensors=3), "number of tensors"),
    (container([KEY, KEY]), "k: appears twice"),
    (container([entry("", U32, scalar(U32, 1))]), "is no name"),
    (container([entry("a\nb", U32, scalar(U32, 1))]), "is no name"),
    (container([entry(b"\xff\xfe", U32, scalar(U32, 1))]), "is no UTF-8"),
    (container([entry("k", 13, bytes(64))]), "unknown value type (13)"),
    (container([entry("k", STRING, struct.pack("<Q", 2**63) + bytes(64))]), "too long"),
    (container([entry("k", STRING, struct.pack("<Q", 900) + bytes(64))]), "runs past"),
    (container([entry("k", STRING, text(b"\xff"))]), "is no UTF-8"),
    (container([entry("k", ARRAY, array(U32, [], 2**62))]), "too long an array"),
    (container([entry("k", ARRAY, array(U32, [1], 1000))]), "runs past"),
    (container([entry("k", ARRAY, array(STRING, ["a"], 1000))]), "runs past"),
    (
        container([entry("k", ARRAY, struct.pack("<IQQ", STRING, 2, 2**63) + bytes(64))]),
        "runs past",
    ),
    (container([entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1) + array(U32, [1]))]), "array"),
    (container([entry("general.alignment", U32, scalar(U32, 0))]), "is no alignment"),
    (container([entry("general.alignment", U32, scalar(U32, 12))]), "is no alignment"),
    (container([entry("general.alignment", F32, scalar(F32, 32.0))]), "is no alignment"),
    (container([entry("general.alignment", BOOL, scalar(BOOL, True))]), "is no alignment"),
    (container([], [Info("x", [1] * 5)], bytes(32)), "dimensions (5)"),
    (container([], [Info("x", [4, 0])], bytes(32)), "wrong size"),
    (container([], [Info("x", [2**63, 2**63])], bytes(32)), "wrong size"),
    (container([], [Info("x" * 2000, [4])], bytes(32)), "too long"),
    (container([], [ONE, ONE], bytes(32)), "x: tensor appears twice"),
    (container([], [Info("x", [8], offset=8)], bytes(64)), "alignment 32"),
    (container([], [Info("x", [8], offset=64)], bytes(64)), "outside the file"),
    (container([], [Info("x", [8], offset=2**64 - 32)], bytes(64)), "outside the file"),
    (container([], [ONE]), "outside the file"),
]


@pytest.mark.parametrize(("content", "part"), LIES, ids=range(len(LIES)))
def test_a_lying_container_is_refused(tmp_path, content, part):
    refused(store(tmp_path, content), part)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "x.gguf", "cannot be read")


def test_a_string_of_an_array_that_is_no_utf8_is_refused_when_it_is_asked_for(tmp_path):
    entries = [entry("k", ARRAY, array(STRING, ["a", b"\xff"]))]
    values = open_gguf(store(tmp_path, container(entries))).values["k"]
    with pytest.raises(UserError, match=r"k\[1\]: is no UTF-8"):
        values.decode()


@pytest.mark.parametrize("end", range(0, 190, 5))
def test_a_file_cut_anywhere_in_its_header_is_refused(tmp_path, end):
    entries = [KEY, entry("s", STRING, text("abc")), entry("a", ARRAY, array(STRING, ["p", "q"]))]
    content = container(entries, [ONE, Info("y", [8], offset=32)], bytes(64))
    assert end < len(content) - 64
    refused(store(tmp_path, content[:end]))
