"""Score a checkpoint on a text: bits per character, in f32 with exact integer codes.

    python score.py CHECKPOINT TEXT... [--limit BYTES] [--ternarise] [--device cpu]

Windows of max_position_embeddings tokens every half window, each token but the text's first
counted once; bits per character = sum of -ln p / ln 2 / characters. --ternarise rounds the
matrices of a twin after training (absmean) and quantises its activations.
"""

import argparse
import json
import lzma
import math
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from data import DOCUMENT_BREAK
from export import load
from network import GROUPS, Operand, Quantisation, logits, operands
from streams import encode, window_rows
from tokenizers import Tokenizer
from torch import Tensor


def packed_operands(weights: dict[str, Tensor]) -> dict[str, Operand]:
    """Turn the codes and scales of a packed checkpoint into what `logits` multiplies with."""
    linears = {}
    for group, names in GROUPS.items():
        scales = [weights[f"{n}_scale"][:, None].expand(-1, weights[n].shape[1]) for n in names]
        linears[group] = Operand(torch.cat([weights[n] for n in names], 1), torch.cat(scales, 1))
    return linears


class Scorer:
    """A checkpoint ready to score texts."""

    def __init__(self, folder: Path, device: torch.device, quantise: Quantisation | None = None):
        """Load `folder`; `quantise` overrides what a twin's linears do after training."""
        self.shape, packed, loaded = load(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.device = device
        self.weights = {k: w.to(device) for k, w in loaded.items()}
        quantise = quantise or Quantisation(packed, packed)
        self.activations = quantise.activations
        if packed:
            self.linears = packed_operands(self.weights)
        else:
            self.linears = operands(self.weights, quantise, torch.float32)

    def nll(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return -ln p of every target: tokens, targets [batch, length] -> f32 [batch, length]."""
        y = logits(self.weights, self.linears, tokens, self.shape, self.activations)
        return F.cross_entropy(y.transpose(1, 2), targets, reduction="none")

    @torch.no_grad()
    def bits_per_character(self, text: str, batch: int = 32) -> dict[str, float]:
        """Score `text`: bits per character, perplexity per token, and the sizes behind them."""
        ids = encode(self.tokenizer, text)
        length = min(self.shape.positions, len(ids) - 1)
        rows, counted = window_rows(ids, length, max(1, length // 2))
        total = 0.0
        for at in range(0, len(rows), batch):
            piece = rows[at : at + batch].to(self.device)
            nll = self.nll(piece[:, :-1].contiguous(), piece[:, 1:].contiguous())
            total += (nll.double().cpu() * counted[at : at + batch]).sum().item()
        return {
            "bits_per_character": total / math.log(2) / len(text.replace(DOCUMENT_BREAK, "")),
            "perplexity": math.exp(total / (len(ids) - 1)),
            "tokens": len(ids),
            "characters": len(text),
        }


def lzma_bits(text: str, given: str = "") -> float:
    """Return bits per character of `lzma -9e`, as the growth of the archive of `given`."""
    preset = 9 | lzma.PRESET_EXTREME

    def size(s: str) -> int:
        return len(lzma.compress(s.encode("utf-8"), preset=preset)) if s else 0

    return 8 * (size(given + text) - size(given)) / len(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, help="score the first BYTES of each text only")
    parser.add_argument("--ternarise", action="store_true", help="quantise a twin after training")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    quantise = Quantisation() if arguments.ternarise else None
    scorer = Scorer(arguments.checkpoint, torch.device(arguments.device), quantise)
    for path in arguments.texts:
        text = path.read_bytes()[: arguments.limit].decode("utf-8", "ignore")
        print(json.dumps({"text": str(path), **scorer.bits_per_character(text)}))


if __name__ == "__main__":
    main()
