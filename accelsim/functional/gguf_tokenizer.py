"""The tokenizer that a GGUF file carries in its metadata.

Two models are known: ``gpt2``, byte-level BPE by merges, and ``llama``, the BPE of SentencePiece by
scores with byte fallback. What llama.cpp assumes where a key is absent is assumed here too (its
src/llama-vocab.cpp), with one exception: see `_pre_tokenizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.errors import UserError, did_you_mean
from accelsim.functional.gguf_file import GgufFile, StringArray, open_gguf

_PREFIX = "tokenizer.ggml."
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # token types
_SPACE = "\u2581"
_LONGEST_PIECE = 1 << 9

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# What cuts a text into words, by the name of the vocabulary that was trained on such words.
# Expressions apply in turn, each to the pieces that the ones before left.
PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "llama-bpe": (rf"{_LETTERS}|\p{{N}}{{1,3}}|{_REST}",),
    "smollm": (r"\p{N}", _GPT2),
    "qwen2": (rf"{_LETTERS}|\p{{N}}|{_REST}",),
}
_SAME = {
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "falcon3": "llama-bpe",
    "falcon_e": "llama-bpe",
    "starcoder": "smollm",
}
_LLAMA3_TOKENS, _LLAMA3_BEGIN = 128256, 128000


def read_gguf_tokenizer(path: Path) -> Any:
    """Return a GGUF file's tokenizer as one of the package ``tokenizers``.

    Raises:
        UserError: the file has none, or one of an unknown kind, or its parts do not fit together.
    """
    file = open_gguf(path)
    model = file.text(f"{_PREFIX}model")
    makers = {"gpt2": _byte_level, "llama": _sentence_piece}
    if model not in makers:
        raise file.error(f"{_PREFIX}model", "is not known", model, did_you_mean(model, makers))
    tokens = _strings(file, "tokens")
    ids = {token: number for number, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        raise file.error(f"{_PREFIX}tokens", "a token appears twice", None, None)
    try:
        # The package raises plain Exception for merges that leave the vocabulary and the like.
        tokenizer, begins = makers[model](file, tokens, ids)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"is no tokenizer: {error}", file=path, key=_PREFIX) from None
    _add_special_tokens(file, tokenizer, tokens)
    _add_ends(file, tokenizer, tokens, begins)
    return tokenizer


def _byte_level(file: GgufFile, tokens: Sequence[str], ids: dict[str, int]) -> tuple[Any, bool]:
    """Return byte-level BPE, and whether a text begins with bos unless the file says otherwise."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    pre = _pre_tokenizer(file, tokens)
    words_first = pre == "llama-bpe"
    merges = [_split_merge(file, merge, ids) for merge in _strings(file, "merges")]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=words_first))
    cuts = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in PRE_TOKENIZERS[pre]]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, words_first


def _pre_tokenizer(file: GgufFile, tokens: Sequence[str]) -> str:
    """Return the row of `PRE_TOKENIZERS`.

    Without the key it is ``default``, except for Llama 3's vocabulary: the published file of
    bitnet-b1.58-2B-4T has that vocabulary and no key (microsoft/BitNet pull request 508), and was
    trained on words cut by ``llama-bpe``.
    """
    key = f"{_PREFIX}pre"
    if key not in file.values:
        llama3 = len(tokens) == _LLAMA3_TOKENS and tokens[_LLAMA3_BEGIN] == "<|begin_of_text|>"
        return "llama-bpe" if llama3 else "default"
    name = file.text(key)
    pre = _SAME.get(name, name)
    if pre not in PRE_TOKENIZERS:
        known = {*PRE_TOKENIZERS, *_SAME}
        raise file.error(key, "is not known", name, did_you_mean(name, known))
    return pre


def _split_merge(file: GgufFile, merge: str, ids: dict[str, int]) -> tuple[str, str]:
    """Return the two tokens that a merge joins. All three are checked: the package would panic."""
    space = merge.find(" ", 1)
    left, right = merge[:space], merge[space + 1 :]
    if space < 0 or not right:
        raise file.error(f"{_PREFIX}merges", "is no merge", merge, "allowed: two tokens")
    if left not in ids or right not in ids or left + right not in ids:
        raise file.error(f"{_PREFIX}merges", "leaves the vocabulary", merge, None)
    return left, right


def _sentence_piece(file: GgufFile, tokens: Sequence[str], ids: dict[str, int]) -> tuple[Any, bool]:
    """Return the BPE of SentencePiece; a text begins with bos unless the file says otherwise."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    unknown = _token(file, "unknown_token_id", len(tokens))
    model = models.BPE(
        vocab=ids,
        merges=_merges(_numbers(file, "scores", len(tokens)), tokens, ids),
        unk_token=None if unknown is None else tokens[unknown],
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    spaced = file.flag(f"{_PREFIX}add_space_prefix", True)
    steps = [normalizers.Prepend(_SPACE)] if spaced else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])
    joined = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    strip = [decoders.Strip(" ", 1, 0)] if spaced else []
    tokenizer.decoder = decoders.Sequence([*joined, *strip])
    return tokenizer, True


def _merges(
    scores: np.ndarray[Any, Any], tokens: Sequence[str], ids: dict[str, int]
) -> list[tuple[str, str]]:
    """Return merges in the order in which scores would choose them.

    SentencePiece joins the neighbours whose union has the highest score. A merge list says the same
    where every pair of tokens that makes a token stands at the rank of that token's score. Tokens
    past any length that is trained are no unions: cutting them in two takes quadratic time.
    """
    ranked: list[tuple[float, int, int, str, str]] = []
    for token, score in zip(tokens, scores.tolist(), strict=True):
        if len(token) > _LONGEST_PIECE:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ids and right in ids:
                ranked.append((-score, -len(left), -len(right), left, right))
    return [(left, right) for *_, left, right in sorted(ranked)]


def _add_special_tokens(file: GgufFile, tokenizer: Any, tokens: Sequence[str]) -> None:
    """Make tokens that no text is cut into, or that a text names whole, known as such."""
    from tokenizers import AddedToken

    if f"{_PREFIX}token_type" not in file.values:
        return
    types = _numbers(file, "token_type", len(tokens))
    for kind, special in ((_CONTROL, True), (_UNKNOWN, True), (_USER_DEFINED, False)):
        listed = [
            AddedToken(tokens[number], special=special, normalized=False)
            for number in np.flatnonzero(types == kind).tolist()
            if tokens[number]
        ]
        tokenizer.add_special_tokens(listed) if special else tokenizer.add_tokens(listed)


def _add_ends(file: GgufFile, tokenizer: Any, tokens: Sequence[str], begins: bool) -> None:
    """Put bos before and eos behind a text, where the file asks for it."""
    from tokenizers import processors

    ends = {}
    for flag, key, default in (
        ("add_bos_token", "bos_token_id", begins),
        ("add_eos_token", "eos_token_id", False),
    ):
        wanted = file.flag(f"{_PREFIX}{flag}", default)
        token = _token(file, key, len(tokens))
        if wanted and token is None and f"{_PREFIX}{flag}" in file.values:
            raise file.error(f"{_PREFIX}{key}", "is missing", None, f"as {flag} is true")
        ends[flag] = token if wanted else None
    given = [(name, token) for name, token in ends.items() if token is not None]
    if given:
        template = ["add_bos_token", "$A", "add_eos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[part for part in template if part == "$A" or ends[part] is not None],
            special_tokens=[
                {"id": name, "ids": [token], "tokens": [tokens[token]]} for name, token in given
            ],
        )


def _token(file: GgufFile, key: str, count: int) -> int | None:
    """Return a token's number, None where the file does not name it."""
    name = f"{_PREFIX}{key}"
    return file.integer(name, 0, count - 1) if name in file.values else None


def _strings(file: GgufFile, key: str) -> list[str]:
    value = file.values.get(f"{_PREFIX}{key}")
    if not isinstance(value, StringArray):
        allowed = "allowed: an array of strings"
        raise file.error(f"{_PREFIX}{key}", "is missing or has the wrong type", None, allowed)
    return value.decode()


def _numbers(file: GgufFile, key: str, count: int) -> np.ndarray[Any, Any]:
    value = file.values.get(f"{_PREFIX}{key}")
    if not isinstance(value, np.ndarray) or value.shape != (count,):
        allowed = f"allowed: an array of {count} numbers, one per token"
        raise file.error(f"{_PREFIX}{key}", "is missing or does not fit", None, allowed)
    if not np.isfinite(value).all():
        raise file.error(f"{_PREFIX}{key}", "holds NaN or infinity", None, None)
    return value
