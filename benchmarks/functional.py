"""Tokens per second of the functional model against the same network in numpy float32 (BLAS).

    python benchmarks/functional.py CHECKPOINT [--threads N] [--seconds S]

Both sides run the same tokens in the same process, in turns; the best turn of each counts. The last
line is JSON. numpy computes the same formulas on the unpacked weights in float32, its matrix
products in BLAS with as many threads as it likes: fast, but not the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from accelsim.functional.checkpoint import (
    EMBEDDING,
    FINAL_NORM,
    LM_HEAD,
    Checkpoint,
    TernaryWeight,
    read_checkpoint,
)
from accelsim.functional.network import Network
from accelsim.functional.rope import rope_tables
from accelsim.functional.threads import default_threads


class NumpyNetwork:
    """The network in plain numpy; keys and values grow by concatenation into fixed room."""

    def __init__(self, checkpoint: Checkpoint, capacity: int) -> None:
        self.config = checkpoint.config
        self.linears = {name: self._matrix(weight).T for name, weight in checkpoint.linears.items()}
        self.scales = {
            name: float(weight.scale) if isinstance(weight, TernaryWeight) else 1.0
            for name, weight in checkpoint.linears.items()
        }
        self.dense = {name: weight.widen() for name, weight in checkpoint.dense.items()}
        head = EMBEDDING if self.config.tie_embeddings else LM_HEAD
        self.head = self.dense[head].T
        self.rope = rope_tables(self.config.head_dim, self.config.rope_theta, capacity)
        shape = (self.config.layers, self.config.kv_heads, capacity, self.config.head_dim)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    @staticmethod
    def _matrix(weight: object) -> np.ndarray:
        if isinstance(weight, TernaryWeight):
            return weight.unpack().astype(np.float32)
        return weight.widen()

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        scale = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + self.config.rms_eps)
        return x * scale * self.dense[f"{name}.weight"]

    def enter(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.config.ternary:
            return x, np.float32(1)
        scale = 127 / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-5)
        return np.rint(x * scale), scale

    def linear(self, x: tuple[np.ndarray, np.ndarray], name: str) -> np.ndarray:
        y = x[0] @ self.linears[name]
        scale = self.scales[name]
        return y / x[1] * (1 / scale if self.config.linear_class == "bitlinear" else scale)

    def rotate(self, x: np.ndarray, start: int) -> np.ndarray:
        """Rotate x [P, heads, D]."""
        half = x.shape[2] // 2
        cosine, sine = (table[start : start + x.shape[0], None] for table in self.rope)
        low, high = x[..., :half], x[..., half:]
        return np.concatenate([low * cosine - high * sine, high * cosine + low * sine], axis=2)

    def forward(self, ids: np.ndarray, start: int, last: int) -> np.ndarray:
        h = self.dense[EMBEDDING][ids]
        for number in range(self.config.layers):
            prefix = f"model.layers.{number}."
            x = self.enter(self.norm(h, prefix + "input_layernorm"))
            a = self.attention(number, prefix, x, start)
            a = self.norm(a, prefix + "self_attn.attn_sub_norm")
            h = h + self.linear(self.enter(a), prefix + "self_attn.o_proj")
            x = self.enter(self.norm(h, prefix + "post_attention_layernorm"))
            gate = np.maximum(self.linear(x, prefix + "mlp.gate_proj"), 0)
            y = gate * gate * self.linear(x, prefix + "mlp.up_proj")
            y = self.norm(y, prefix + "mlp.ffn_sub_norm")
            h = h + self.linear(self.enter(y), prefix + "mlp.down_proj")
        h = h[-last:]
        return self.norm(h, FINAL_NORM.removesuffix(".weight")) @ self.head

    def attention(self, number: int, prefix: str, x: tuple, start: int) -> np.ndarray:
        config = self.config
        q, k, v = (self.linear(x, f"{prefix}self_attn.{name}_proj") for name in ("q", "k", "v"))
        count, end = q.shape[0], start + q.shape[0]
        heads = (count, -1, config.head_dim)
        q, k = self.rotate(q.reshape(heads), start), self.rotate(k.reshape(heads), start)
        self.keys[number, :, start:end] = k.transpose(1, 0, 2)
        self.values[number, :, start:end] = v.reshape(heads).transpose(1, 0, 2)
        group = config.heads // config.kv_heads
        q = q.transpose(1, 0, 2).reshape(config.kv_heads, group * count, config.head_dim)
        scores = q @ self.keys[number, :, :end].transpose(0, 2, 1)
        scores = scores.reshape(config.kv_heads, group, count, end) * config.head_dim**-0.5
        hidden = np.arange(end)[None] > np.arange(start, end)[:, None]
        scores = np.where(hidden, np.float32(-np.inf), scores)
        scores = np.exp(scores - scores.max(axis=3, keepdims=True))
        scores /= scores.sum(axis=3, keepdims=True)
        scores = scores.reshape(config.kv_heads, group * count, end)
        a = (scores @ self.values[number, :, :end]).reshape(config.heads, count, -1)
        return a.transpose(1, 0, 2).reshape(count, -1)


def best_seconds(turns: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Run all turns over and over for so long; return the fastest of each."""
    best = dict.fromkeys(turns, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, turn in turns.items():
            begin = time.perf_counter()
            turn()
            best[name] = min(best[name], time.perf_counter() - begin)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=8.0, help="per measurement")
    arguments = parser.parse_args()
    checkpoint = read_checkpoint(arguments.checkpoint)
    config = checkpoint.config
    positions = min(512, config.max_positions)
    passes = min(64, positions // 2)
    network = Network(checkpoint, arguments.threads)
    peer = NumpyNetwork(checkpoint, positions)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, positions)

    def prefill(last: int) -> np.ndarray:
        return network.forward(ids[None], network.new_cache(1, positions), last=last)

    held = network.new_cache(1, positions)
    network.forward(ids[None, : positions - passes], held)
    peer.forward(ids[: positions - passes], 0, 1)

    def decode() -> None:
        held.length = positions - passes
        for step in range(positions - passes, positions):
            network.forward(ids[None, step : step + 1], held)

    def peer_decode() -> None:
        for step in range(positions - passes, positions):
            peer.forward(ids[step : step + 1], step, 1)

    ours, theirs = prefill(positions)[0], peer.forward(ids, 0, positions)
    # BLAS adds in another order: now and then a code rounds to the other side and moves the rest.
    agreement = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    measurements = {
        "prefill": (
            positions,
            {"accelsim": lambda: prefill(1), "numpy": lambda: peer.forward(ids, 0, 1)},
        ),
        "score": (
            positions // 2,
            {
                "accelsim": lambda: prefill(positions // 2),
                "numpy": lambda: peer.forward(ids, 0, positions // 2),
            },
        ),
        "decode": (passes, {"accelsim": decode, "numpy": peer_decode}),
    }
    report: dict[str, float | int | str] = {
        "benchmark": "functional",
        "threads": arguments.threads or default_threads(),
        "same_likeliest_token": agreement,
    }
    print(f"{'phase':10}{'accelsim':>14}{'numpy':>14}{'ratio':>8}   tokens/s")
    for phase, (tokens, turns) in measurements.items():
        best = best_seconds(turns, arguments.seconds)
        rates = {name: tokens / value for name, value in best.items()}
        ratio = rates["accelsim"] / rates["numpy"]
        print(f"{phase:10}{rates['accelsim']:14.0f}{rates['numpy']:14.0f}{ratio:8.2f}")
        report |= {f"{phase}_tokens_per_second": rates["accelsim"], f"{phase}_ratio": ratio}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
