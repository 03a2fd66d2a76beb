"""Decode of a checkpoint against what reading its bytes once per token allows.

    python benchmarks/decode.py CHECKPOINT [--tokens N] [--prompt N] [--threads N]

`seeded_checkpoint.py` writes one in the shape of BitNet b1.58 2B4T. Reported are the seconds it
takes to load, the largest resident memory beside the size of the file, and tokens per second beside
the bound: the bytes of all weights of a token (packed linears, output layer, norms) and of the keys
and values it reads, over the read bandwidth that is measured between the tokens. Each token is
paired with a read, and the median of the pairs counts. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from kernels import sum_streams

from accelsim.functional.checkpoint import EMBEDDING, LM_HEAD, TernaryWeight, read_checkpoint
from accelsim.functional.network import Network
from accelsim.functional.threads import default_threads

READ_WORDS = 1 << 25  # int64, 256 MiB


def weight_bytes(network: Network) -> int:
    """Return the bytes of weights that one token needs."""
    checkpoint = network.checkpoint
    head = EMBEDDING if network.config.tie_embeddings else LM_HEAD
    linears = sum(
        (weight.packed if isinstance(weight, TernaryWeight) else weight.stored).nbytes
        for weight in checkpoint.linears.values()
    )
    skipped = {EMBEDDING, LM_HEAD} - {head}
    dense = sum(w.stored.nbytes for name, w in checkpoint.dense.items() if name not in skipped)
    return linears + dense


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    threads = arguments.threads or default_threads()
    begin = time.perf_counter()
    network = Network(read_checkpoint(arguments.checkpoint), threads)
    loading = time.perf_counter() - begin
    config, count = network.config, arguments.tokens
    ids = np.random.default_rng(0).integers(0, config.vocab_size, arguments.prompt)
    cache = network.new_cache(1, arguments.prompt + count + 1)
    begin = time.perf_counter()
    network.forward(ids[None], cache, last=1)
    prefill = arguments.prompt / (time.perf_counter() - begin)
    network.forward(ids[None, :1], cache)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    words = np.ones(READ_WORDS, np.int64)
    parts = np.array_split(words, threads)
    token_seconds, rates = [], []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(sum_streams, parts))
        for _ in range(count):
            begin = time.perf_counter()
            network.forward(ids[None, :1], cache)
            token_seconds.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            list(pool.map(sum_streams, parts))
            rates.append(words.nbytes / (time.perf_counter() - begin))
    kv = 2 * config.layers * config.kv_heads * config.head_dim * 4 * cache.length
    needed = weight_bytes(network) + kv
    shares = [needed / rate / seconds for rate, seconds in zip(rates, token_seconds, strict=True)]
    stored = sum(len(mapped) for mapped in network.checkpoint.maps)
    report = {
        "benchmark": "decode",
        "threads": threads,
        "load_seconds": loading,
        "file_gigabytes": stored / 1e9,
        "resident_of_file": resident / stored,
        "prefill_tokens_per_second": prefill,
        "tokens_per_second": 1 / statistics.median(token_seconds),
        "gigabytes_per_token": needed / 1e9,
        "read_gigabytes_per_second": statistics.median(rates) / 1e9,
        "decode_of_read": statistics.median(shares),
    }
    for name, value in report.items():
        print(f"{name:28}{value if isinstance(value, (int, str)) else round(value, 3)}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
