"""A checkpoint's tokenizer as the keys that a GGUF file holds it in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelsim.functional.checkpoint_config import read_json_object
from accelsim.functional.gguf_file import StringArray, open_gguf
from accelsim.functional.gguf_tokenizer import PRE_TOKENIZERS

_LONGEST_TOKENIZER = 1 << 28
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_PREFIX = "tokenizer."


def vocabulary_keys(path: Path, vocab_size: int) -> dict[str, Any] | None:
    """Return the keys under ``tokenizer.`` that give the same tokens, None where none do.

    Of a GGUF file they are its own. Of a ``tokenizer.json`` they are made where it is byte-level
    BPE without normalizer whose way to cut words is one of `PRE_TOKENIZERS`.

    Args:
        path: A ``tokenizer.json`` or a GGUF file.
        vocab_size: Tokens of the network; numbers without a token get an unused one.

    Raises:
        UserError: the file cannot be read.
    """
    if path.suffix == ".gguf":
        values = open_gguf(path).values
        return {key: _plain(value) for key, value in values.items() if key.startswith(_PREFIX)}
    table = read_json_object(path, _LONGEST_TOKENIZER)
    try:
        return _byte_level_keys(table, vocab_size)
    except (KeyError, TypeError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, StringArray):
        return value.decode()
    return value.tolist() if hasattr(value, "tolist") else value


def _byte_level_keys(table: Mapping[str, Any], vocab_size: int) -> dict[str, Any] | None:
    model, added = table["model"], table["added_tokens"]
    pre = _pre_name(table["pre_tokenizer"])
    begins = _begins(table.get("post_processor"))
    plain = not (
        table.get("normalizer")
        or any(model.get(key) for key in ("dropout", "byte_fallback", "end_of_word_suffix"))
        or model.get("continuing_subword_prefix")
        or any(row["lstrip"] or row["rstrip"] or row["single_word"] for row in added)
    )
    if model["type"] != "BPE" or pre is None or begins is None or not plain:
        return None
    if bool(model.get("ignore_merges")) != (pre == "llama-bpe"):
        return None
    tokens = [f"[PAD{number}]" for number in range(vocab_size)]
    types = [_UNUSED] * vocab_size
    for token, number in model["vocab"].items():
        tokens[number], types[number] = token, _NORMAL
    for row in added:
        number = row["id"]
        tokens[number] = row["content"]
        types[number] = _CONTROL if row["special"] else _USER_DEFINED
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": begins,
    }


def _pre_name(step: Mapping[str, Any]) -> str | None:
    """Return the row of `PRE_TOKENIZERS` that cuts as a ``tokenizer.json`` says."""
    steps = step["pretokenizers"] if step["type"] == "Sequence" else [step]
    *cuts, last = steps
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    expressions = [_expression(cut) for cut in cuts]
    if last.get("use_regex", True):
        expressions.append(PRE_TOKENIZERS["gpt-2"][0])
    for name, row in PRE_TOKENIZERS.items():
        if list(row) == expressions:
            return name
    return None


def _expression(cut: Mapping[str, Any]) -> str | None:
    if cut["type"] == "Digits" and cut["individual_digits"]:
        return r"\p{N}"
    if cut["type"] == "Split" and cut["behavior"] == "Isolated" and not cut["invert"]:
        expression: str = cut["pattern"]["Regex"]
        return expression
    return None


def _begins(step: Mapping[str, Any] | None) -> bool | None:
    """Return whether a text begins with bos, None where more than that happens to it."""
    steps = step["processors"] if step and step["type"] == "Sequence" else [step]
    templates = [row for row in steps if row and row["type"] != "ByteLevel"]
    if not templates:
        return False
    if len(templates) > 1 or templates[0]["type"] != "TemplateProcessing":
        return None
    parts = [next(iter(part)) for part in templates[0]["single"]]
    return {("Sequence",): False, ("SpecialToken", "Sequence"): True}.get(tuple(parts))
