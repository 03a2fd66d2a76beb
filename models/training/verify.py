"""Check a packed checkpoint with a second implementation: plain numpy, f32, loops over heads.

    python verify.py CHECKPOINT TEXT [--limit BYTES] [--against-torch TOKENS]

Shares no code with network.py, export.py or score.py: it reads the file, unpacks bits and runs
every window on its own. With --against-torch it also compares the logits of the first TOKENS
tokens and the score with score.py's.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from tokenizers import Tokenizer

Array = np.ndarray


def bf16_or_f32(file: safe_open, name: str) -> Array:
    """Read a tensor as f32 (numpy has no bf16: torch widens it)."""
    return file.get_tensor(name).float().numpy()


class Reference:
    """One packed BitNet checkpoint; `logits` runs one sequence without a cache."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.file = safe_open(str(folder / "model.safetensors"), framework="pt")
        self.cached: dict[str, Array] = {}
        self.scaled: list[Array] = []  # x * s of every activation that was quantised, in order

    def tensor(self, name: str) -> Array:
        """Return a norm, an embedding or a scale as f32."""
        if name not in self.cached:
            self.cached[name] = bf16_or_f32(self.file, name)
        return self.cached[name]

    def codes(self, name: str) -> Array:
        """Return codes [out, in] as f32: row r of quarter i sits in bits 2i of byte row r."""
        if name not in self.cached:
            packed = self.file.get_tensor(name).numpy()
            quarter, width = packed.shape
            t = np.zeros((4 * quarter, width), np.float32)
            for i in range(4):
                t[i * quarter : (i + 1) * quarter] = ((packed // 4**i) % 4).astype(np.float32) - 1
            self.cached[name] = t
        return self.cached[name]

    def linear(self, x: Array, name: str) -> Array:
        """Quantise x [m, k] per row to int8, multiply with the ternary codes, scale back."""
        s = np.float32(127) / np.maximum(np.abs(x).max(1, keepdims=True), np.float32(1e-5))
        q = np.clip(np.rint(x * s), -128, 127)
        if name.endswith(("q_proj", "o_proj", "gate_proj", "down_proj")):  # k, v, up read the same
            self.scaled.append(x * s)
        accumulators = q @ self.codes(name + ".weight").T
        return accumulators / s * self.tensor(name + ".weight_scale")

    def norm(self, x: Array, name: str) -> Array:
        """Divide rows by their root mean square, multiply by the weight."""
        mean = (x * x).mean(1, keepdims=True, dtype=np.float32)
        return x / np.sqrt(mean + np.float32(self.config["rms_norm_eps"])) * self.tensor(name)

    def rotate(self, x: Array) -> Array:
        """Rotate x [positions, d]: element j with j + d/2 by the angle position / theta^(2j/d)."""
        m, d = x.shape
        j = np.arange(d // 2, dtype=np.float64)
        angle = np.arange(m)[:, None] * self.config["rope_theta"] ** (-2 * j / d)
        c, s = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        low, high = x[:, : d // 2], x[:, d // 2 :]
        return np.concatenate((low * c - high * s, high * c + low * s), 1)

    def attention(self, q: Array, k: Array, v: Array) -> Array:
        """Attend causally, head by head: [m, heads * d], [m, kv_heads * d] twice -> [m, hidden]."""
        heads, kv = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        d, m = q.shape[1] // heads, len(q)
        future = np.triu(np.ones((m, m), bool), 1)
        out = []
        for head in range(heads):
            own = slice(head * d, (head + 1) * d)
            shared = slice(head // (heads // kv) * d, (head // (heads // kv) + 1) * d)
            y = self.rotate(q[:, own]) @ self.rotate(k[:, shared]).T / np.float32(d**0.5)
            y = np.where(future, -np.inf, y)
            p = np.exp(y - y.max(1, keepdims=True))
            out.append(p / p.sum(1, keepdims=True) @ v[:, shared])
        return np.concatenate(out, 1)

    def logits(self, tokens: list[int]) -> Array:
        """Run one sequence: logits [positions, vocab]."""
        embedding = self.tensor("model.embed_tokens.weight")
        h = embedding[tokens]
        for i in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{i}."
            x = self.norm(h, at + "input_layernorm.weight")
            q, k, v = (self.linear(x, f"{at}self_attn.{n}_proj") for n in "qkv")
            a = self.norm(self.attention(q, k, v), at + "self_attn.attn_sub_norm.weight")
            h = h + self.linear(a, at + "self_attn.o_proj")
            x = self.norm(h, at + "post_attention_layernorm.weight")
            gate = np.maximum(self.linear(x, at + "mlp.gate_proj"), 0)
            y = gate * gate * self.linear(x, at + "mlp.up_proj")
            y = self.norm(y, at + "mlp.ffn_sub_norm.weight")
            h = h + self.linear(y, at + "mlp.down_proj")
        return self.norm(h, "model.norm.weight") @ embedding.T

    def bits(self, tokens: list[int], first: int) -> float:
        """Return the sum of -log2 p of tokens[first:], each given those before it."""
        y = self.logits(tokens[:-1])[first - 1 :].astype(np.float64)
        top = y.max(1)
        total = top + np.log(np.exp(y - top[:, None]).sum(1))
        return float((total - y[np.arange(len(y)), tokens[first:]]).sum() / np.log(2))


def bits_per_character(reference: Reference, tokenizer: Tokenizer, text: str) -> float:
    """Score a text: windows of max_position_embeddings inputs, each token counted once."""
    ids = tokenizer.encode(text).ids
    window = min(reference.config["max_position_embeddings"], len(ids) - 1)
    total, counted = 0.0, 1
    while counted < len(ids):
        end = window + 1 if counted == 1 else min(counted + window // 2, len(ids))
        total += reference.bits(ids[end - window - 1 : end], counted - (end - window - 1))
        counted = end
    return total / len(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--limit", type=int, help="score the first BYTES only")
    parser.add_argument("--against-torch", type=int, metavar="TOKENS")
    arguments = parser.parse_args()
    text = arguments.text.read_bytes()[: arguments.limit].decode("utf-8", "ignore")
    reference = Reference(arguments.checkpoint)
    tokenizer = Tokenizer.from_file(str(arguments.checkpoint / "tokenizer.json"))
    if arguments.against_torch:
        compare(reference, arguments.checkpoint, tokenizer.encode(text).ids, text, arguments)
    print(f"numpy: {bits_per_character(reference, tokenizer, text):.6f} bits per character")


def compare(
    reference: Reference, folder: Path, ids: list[int], text: str, arguments: argparse.Namespace
) -> None:
    """Print how far the logits agree with score.py's, where they part and why, and its score.

    The two add in different orders, so x * s differs in its last bits. Where it lies that close to
    a half-integer the int8 codes differ by one, and logits from that token on differ visibly; up
    to there they must agree to float rounding.
    """
    import network
    import torch
    from score import Scorer

    scaled, linear = [], network.linear

    def recording(x, codes, scale, quantise):
        s = 127.0 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        scaled.append((x * s)[0].numpy())
        return linear(x, codes, scale, quantise)

    scorer = Scorer(folder, torch.device("cpu"))
    tokens = ids[: arguments.against_torch]
    network.linear = recording
    with torch.no_grad():
        rows = torch.tensor([tokens])
        theirs = network.logits(scorer.weights, scorer.linears, rows, scorer.shape, True)[0].numpy()
    network.linear = linear
    difference = np.abs(reference.logits(tokens) - theirs).max(1)
    report(difference, reference.scaled, scaled)
    print(f"torch: {scorer.bits_per_character(text)['bits_per_character']:.6f} bits per character")


def report(difference: Array, ours: list[Array], theirs: list[Array]) -> None:
    """Print the agreement before the first differing code, and that code's two values of x * s."""
    flips = [
        (token, call, k)
        for call, (a, b) in enumerate(zip(ours, theirs, strict=True))
        for token, k in np.argwhere(np.rint(a) != np.rint(b))
    ]
    first = min(flips, default=(len(difference), 0, 0))
    agree = difference[: first[0]].max()
    print(f"first {first[0]} of {len(difference)} tokens: logits differ by at most {agree:.1e}")
    if flips:
        token, call, k = first
        pair = f"{ours[call][token, k]:.6f} and {theirs[call][token, k]:.6f}"
        print(f"token {token}: x * s of the first differing int8 code is {pair}")


if __name__ == "__main__":
    main()
