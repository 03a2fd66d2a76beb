"""Checkpoints broken at random: one line that says what is wrong, or a network that runs."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from checkpoint_factory import Recipe, config_of, tensors_of, write_checkpoint, write_safetensors

from accelsim.errors import UserError
from accelsim.functional.checkpoint import DenseWeight, TernaryWeight, read_checkpoint
from accelsim.functional.network import Network

PACKED = Recipe(layers=1, vocab=23, hidden=16, ffn=20)
ONLINE = Recipe(
    layers=1,
    vocab=23,
    hidden=16,
    ffn=22,
    linear_class=None,
    storage="BF16",
    changes={
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "online",
        }
    },
)
INDEX = "model.safetensors.index.json"
SEEDS = 12
MOST_BYTES = 32 << 20

JUNK = [None, True, False, 0, -1, 1, 3, 7, 1.5, -0.0, 1e308, 2**31, 2**63, 2**64, 10**40]
JUNK += ["", "x", "F32", "U8", "online", "bitlinear", "llama", [], [1], [-1], [[]], {}, {"a": 1}]
NAMES = ["", ".", "..", "/", "/etc/passwd", "../model.safetensors", "a/../../x", "\0", "a" * 5000]
NAMES += [INDEX, "config.json", "loop.safetensors", "folder", "pipe.safetensors", "C:\\x", "\ud800"]


def write_sharded(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config_of(ONLINE)))
    tensors = tensors_of(ONLINE)
    names, weight_map = list(tensors), {}
    for number in range(3):
        shard = f"model-0000{number + 1}-of-00003.safetensors"
        write_safetensors(folder / shard, {name: tensors[name] for name in names[number::3]})
        weight_map |= dict.fromkeys(names[number::3], shard)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index))


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_checkpoint(folder / "single", PACKED)
    write_sharded(folder / "sharded")
    return folder


def weights_file(folder, rng):
    return folder / rng.choice(sorted(path.name for path in folder.glob("*.safetensors")))


def any_file(folder, rng):
    return folder / rng.choice(sorted(path.name for path in folder.iterdir()))


def pick(rng, values):
    return values[int(rng.integers(len(values)))]


def truncate(folder, rng):
    path = any_file(folder, rng)
    path.write_bytes(path.read_bytes()[: int(rng.integers(path.stat().st_size))])


def append(folder, rng):
    path = any_file(folder, rng)
    path.write_bytes(path.read_bytes() + rng.bytes(int(rng.integers(1, 99))))


def remove(folder, rng):
    any_file(folder, rng).unlink()


def flip(path, rng, begin, end):
    content = bytearray(path.read_bytes())
    for place in rng.integers(begin, end, int(rng.integers(1, 5))):
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def header_end(path):
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def flip_header_bits(folder, rng):
    path = weights_file(folder, rng)
    flip(path, rng, 0, header_end(path))


def flip_weight_bits(folder, rng):
    path = weights_file(folder, rng)
    flip(path, rng, header_end(path), path.stat().st_size)


def flip_text_bits(folder, rng):
    path = pick(rng, sorted(folder.glob("*.json")))
    flip(path, rng, 0, path.stat().st_size)


def change_header(folder, rng, change):
    path = weights_file(folder, rng)
    content, end = path.read_bytes(), header_end(path)
    header = json.loads(content[8:end])
    change(header, pick(rng, list(header)))
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def lie_about_a_tensor(folder, rng):
    def change(header, name):
        row, key = header[name], pick(rng, ["dtype", "shape", "data_offsets"])
        if key != "dtype" and rng.random() < 0.7:
            row[key][int(rng.integers(len(row[key])))] = pick(rng, JUNK)
        else:
            row[key] = pick(rng, [*JUNK, "BF16", "F16", "I8", "F64", [1 << 40] * 8])

    change_header(folder, rng, change)


def rename_a_tensor(folder, rng):
    def change(header, name):
        other = pick(rng, [*header, "", "x", "lm_head.weight", "__metadata__", "a" * 9999])
        header[other] = header.pop(name)

    change_header(folder, rng, change)


def lie_about_the_header(folder, rng):
    path = weights_file(folder, rng)
    length = pick(rng, [0, 1, 2**63, 2**64 - 1, 10**8, int(rng.integers(1 << 16))])
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])


def nest(folder, rng):
    pick(rng, sorted(folder.glob("*.json"))).write_bytes(b'{"a":' * int(rng.integers(1, 200_000)))


def change_config(folder, rng):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    section = config["quantization_config"] if rng.random() < 0.3 else config
    section[pick(rng, [*section, "head_dim", "rope_parameters", "modules_to_not_convert"])] = pick(
        rng, JUNK
    )
    path.write_text(json.dumps(config))


def swap_files(folder, rng):
    first, second = any_file(folder, rng), any_file(folder, rng)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def replace_by_no_file(folder, rng):
    path = any_file(folder, rng)
    path.unlink()
    kind = int(rng.integers(4))
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to(path.name)
    elif kind == 2:
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)


def break_the_index(folder, rng):
    """Write an index, where there is one or none, that leads astray."""
    path = folder / INDEX
    shards = sorted(name.name for name in folder.glob("*.safetensors"))
    if not path.exists():
        (folder / shards[0]).rename(folder / "model-1.safetensors")
        shards = ["model-1.safetensors"]
        index = {"metadata": {}, "weight_map": dict.fromkeys(tensors_of(PACKED), shards[0])}
    else:
        index = json.loads(path.read_text())
    (folder / "loop.safetensors").symlink_to("loop.safetensors")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe.safetensors")
    shutil.copy(folder / shards[0], folder.parent / "model.safetensors")
    outside = str(folder.parent / "model.safetensors")
    table = index["weight_map"]
    kind = int(rng.integers(6))
    if kind == 0:
        table[pick(rng, list(table))] = pick(rng, [*NAMES, *shards, outside, *JUNK])
    elif kind == 1:
        shard = pick(rng, shards)
        new = pick(rng, [*NAMES, *shards, outside, *JUNK])
        table |= {name: new for name, place in table.items() if place == shard}
    elif kind == 2:
        del table[pick(rng, list(table))]
    elif kind == 3:
        index["weight_map"] = pick(rng, [*JUNK, list(table), {"a": shards[0]}])
    elif kind == 4:
        index[pick(rng, list(index))] = pick(rng, JUNK)
    else:
        del index[pick(rng, list(index))]
    path.write_text(json.dumps(index))


MUTATIONS = [
    truncate,
    append,
    remove,
    flip_header_bits,
    flip_weight_bits,
    flip_text_bits,
    lie_about_a_tensor,
    rename_a_tensor,
    lie_about_the_header,
    nest,
    change_config,
    swap_files,
    replace_by_no_file,
    break_the_index,
]


def assert_whole(checkpoint):
    """Check each tensor against the config and run the network."""
    config = checkpoint.config
    assert len(checkpoint.linears) == 7 * config.layers
    for name, weight in checkpoint.linears.items():
        assert weight.shape == config.linear_shapes()[name.split(".", 3)[3]]
        if isinstance(weight, TernaryWeight):
            assert set(np.unique(weight.unpack())) <= {-1, 0, 1}
            assert np.isfinite(weight.scale)
            assert weight.scale > 0
    dense = [*checkpoint.dense.values()]
    dense += [weight for weight in checkpoint.linears.values() if isinstance(weight, DenseWeight)]
    assert all(np.isfinite(weight.widen()).all() for weight in dense)
    network = Network(checkpoint, threads=1)
    with np.errstate(over="ignore", invalid="ignore"):
        logits = network.forward([[0]], network.new_cache(1, 1))
    assert logits.shape == (1, 1, config.vocab_size)


def attempt(whole, mutation, seed, folder):
    """Break a copy of a checkpoint; return what the reader says, None where it still reads."""
    target = folder / f"{whole.name}-{mutation.__name__}-{seed}" / "checkpoint"
    shutil.copytree(whole, target)
    mutation(target, np.random.default_rng([seed, zlib.crc32(mutation.__name__.encode())]))
    tracemalloc.start()
    try:
        checkpoint = read_checkpoint(target)
    except UserError as error:
        return str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST_BYTES, f"{peak} bytes, {target}"
    assert_whole(checkpoint)
    return None


@pytest.mark.parametrize("base", ["single", "sharded"])
def test_unbroken_checkpoints_are_whole(bases, base):
    assert_whole(read_checkpoint(bases / base))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("base", ["single", "sharded"])
def test_a_broken_checkpoint_is_refused_in_one_line_or_is_whole(bases, base, mutation, tmp_path):
    for seed in range(SEEDS):
        line = attempt(bases / base, mutation, seed, tmp_path)
        assert line is None or (line and "\n" not in line), (seed, line)
