"""Token streams on the device: training sequences drawn at random places, validation windows."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from data import DOCUMENT_BREAK, SEPARATOR
from tokenizers import Tokenizer
from torch import Tensor

TEXTS = ("austen", "kjv", "jargon")
MERGE_DROPOUT = 0.1  # BPE-dropout (arXiv 1910.13267) of the resegmented copies


@dataclass(frozen=True)
class Windows:
    """Texts as overlapping windows; every token but a text's first is counted exactly once."""

    tokens: Tensor  # int64 [windows, length]
    targets: Tensor  # int64 [windows, length], the next token of each
    counted: Tensor  # f32 [texts, windows, length], 1 where the target counts for the text
    characters: dict[str, int]  # of each text


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encode documents with the separator token between them."""
    ids: list[int] = []
    for i, document in enumerate(text.split(DOCUMENT_BREAK)):
        ids += [tokenizer.token_to_id(SEPARATOR)] if i else []
        ids += tokenizer.encode(document).ids
    return ids


def window_rows(ids: list[int], length: int, stride: int) -> tuple[Tensor, Tensor]:
    """Cut rows [windows, length + 1] every `stride`, and the mask [windows, length] of new targets.

    The last window is moved back to end with the text, so that all have the same length.
    """
    stream = torch.tensor(ids)
    starts = list(range(0, max(1, len(ids) - 1 - length), stride))
    if starts[-1] + length < len(ids) - 1:
        starts.append(len(ids) - 1 - length)
    counted, done = torch.zeros(len(starts), length), 0
    for row, start in enumerate(starts):
        counted[row, done - start :] = 1
        done = start + length
    return torch.stack([stream[s : s + length + 1] for s in starts]), counted


def windows(
    tokenizer: Tokenizer, texts: dict[str, str], length: int, batch: int, device: torch.device
) -> Windows:
    """Cut texts into half overlapping windows, as score.py does; pad to a multiple of `batch`."""
    cut = [window_rows(encode(tokenizer, text), length, length // 2) for text in texts.values()]
    rows = torch.cat([r for r, _ in cut])
    rows = torch.cat((rows, rows[:1].expand(-len(rows) % batch, -1))).to(device)
    counted = torch.zeros(len(texts), len(rows), length)
    at = 0
    for i, (_, mask) in enumerate(cut):
        counted[i, at : at + len(mask)] = mask
        at += len(mask)
    characters = {name: len(text) for name, text in texts.items()}
    tokens, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    return Windows(tokens, targets, counted.to(device), characters)


def resegment(tokenizer_path: Path, text: str, copies: int) -> list[int]:
    """Encode the text `copies` times with a share of the merges left out at random."""
    layout = json.loads(tokenizer_path.read_text())
    layout["model"]["dropout"] = MERGE_DROPOUT
    tokenizer = Tokenizer.from_str(json.dumps(layout))
    separator = tokenizer.token_to_id(SEPARATOR)
    lines = [line for d in text.split(DOCUMENT_BREAK) for line in (*pieces(d), "")]
    ids: list[int] = []
    for encoding in tokenizer.encode_batch(lines * copies):
        ids += encoding.ids or [separator]
    return ids


def pieces(document: str, size: int = 4000) -> list[str]:
    """Cut a document at spaces into pieces of about `size` characters, for encoding in parallel."""
    cuts, at = [], 0
    while at < len(document):
        end = document.find(" ", at + size)
        end = len(document) if end < 0 else end
        cuts.append(document[at:end])
        at = end
    return cuts


class Streams:
    """Training tokens of all texts on the device, plain and resegmented, and validation windows."""

    def __init__(
        self,
        corpus: Path,
        vocab: int,
        length: int,
        batch: int,
        device: torch.device,
        copies: int = 0,
    ) -> None:
        path = corpus / f"tokenizer-{vocab}.json"
        tokenizer = Tokenizer.from_file(str(path))
        train = {t: (corpus / "train" / f"{t}.txt").read_text(encoding="utf-8") for t in TEXTS}
        parts = [encode(tokenizer, text) for text in train.values()]
        self.plain_tokens = dict(zip(TEXTS, map(len, parts), strict=True))
        parts += [resegment(path, text, copies) for text in train.values()] if copies else parts
        sizes = torch.tensor([len(p) for p in parts])
        self.sources = len(parts)
        self.length, self.device = length, device
        self.tokens = torch.tensor([i for p in parts for i in p], device=device)
        self.starts = (sizes.cumsum(0) - sizes).to(device)
        self.room = (sizes - length - 1).to(device)
        self.characters = {name: len(text) for name, text in train.items()}
        self.reach = torch.arange(length + 1, device=device)
        validation = {
            t: (corpus / "validation" / f"{t}.txt").read_text(encoding="utf-8") for t in TEXTS
        }
        self.validation = windows(tokenizer, validation, length, batch, device)

    def shares(self, austen: float, resegmented: float) -> Tensor:
        """Return cumulative shares of the sources; the other two texts share the rest by size."""
        rest = self.characters["kjv"] + self.characters["jargon"]
        mix = torch.tensor(
            [austen, *((1 - austen) * self.characters[t] / rest for t in ("kjv", "jargon"))]
        )
        return torch.cat((mix * (1 - resegmented), mix * resegmented)).cumsum(0)

    def batch(self, size: int, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Draw sequences: tokens and next tokens, int64 [size, length]."""
        draw = torch.rand(2, size, device=self.device)
        source = (draw[0, :, None] >= shares).sum(1).clamp(max=self.sources - 1)
        start = self.starts[source] + (draw[1] * self.room[source]).long()
        rows = self.tokens[start[:, None] + self.reach]
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
