"""Tokenizers out of GGUF metadata, against other ways to the same tokens."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from gguf_factory import ARRAY, BOOL, F32, STRING, U32, array, container, entry, scalar
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from accelsim.errors import UserError
from accelsim.functional.gguf_tokenizer import read_gguf_tokenizer

AUSTEN = Path(__file__).parent.parent / "models" / "austen-12m"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
I32 = 5


def entries(model, tokens, types=None, *, scores=None, merges=None, **keys):
    listed = [
        entry("tokenizer.ggml.model", STRING, scalar(STRING, model)),
        entry("tokenizer.ggml.tokens", ARRAY, array(STRING, tokens)),
    ]
    if types is not None:
        listed.append(entry("tokenizer.ggml.token_type", ARRAY, array(I32, types)))
    if scores is not None:
        listed.append(entry("tokenizer.ggml.scores", ARRAY, array(F32, scores)))
    if merges is not None:
        listed.append(entry("tokenizer.ggml.merges", ARRAY, array(STRING, merges)))
    kinds = {bool: BOOL, int: U32, str: STRING}
    for key, value in keys.items():
        kind = kinds[type(value)]
        listed.append(entry(f"tokenizer.ggml.{key}", kind, scalar(kind, value)))
    return listed


def build(folder, *args, **keys):
    path = folder / "x.gguf"
    path.write_bytes(container(entries(*args, **keys)))
    return read_gguf_tokenizer(path)


def byte_letters():
    """The 256 letters that byte-level BPE writes bytes as."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def cut(tmp_path, pre, text):
    """Return the words that a text is cut into: with one letter a token, nothing else shows."""
    tokenizer = build(tmp_path, "gpt2", byte_letters(), merges=[], pre=pre)
    words = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [text[begin:end] for _, (begin, end) in words]


def test_byte_level_gives_the_tokens_of_the_tokenizer_it_was_taken_from(tmp_path):
    model = json.loads((AUSTEN / "tokenizer.json").read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = [CONTROL] + [NORMAL] * (len(tokens) - 1)
    merges = [" ".join(pair) for pair in model["merges"]]
    tokenizer = build(tmp_path, "gpt2", tokens, types, merges=merges, pre="gpt-2")
    original = Tokenizer.from_file(str(AUSTEN / "tokenizer.json"))
    text = (AUSTEN / "heldout.txt").read_text() + "  x\n\n12 é\t<|endoftext|> 日本"
    found = tokenizer.encode(text).ids
    assert found == original.encode(text).ids
    assert tokenizer.decode(found, skip_special_tokens=False) == text


# Words as the published tokenizers of these networks cut them, written out by hand.
WORDS = {
    "gpt-2": ["I", "'ll", " pay", " 1234", "!!", "  \n", " x"],
    "smollm": ["I", "'ll", " pay", " ", "1", "2", "3", "4", "!!", "  \n", " x"],
    "llama-bpe": ["I", "'ll", " pay", " ", "123", "4", "!!", "  \n", " x"],
    "qwen2": ["I", "'ll", " pay", " ", "1", "2", "3", "4", "!!", "  \n", " x"],
    "default": ["I", "'", "ll", " pay", " ", "123", "4", "!!", "  \n", " x"],
}


@pytest.mark.parametrize("pre", WORDS)
def test_words_are_cut_as_the_vocabulary_was_trained(tmp_path, pre):
    text = "I'll pay 1234!!  \n x"
    words = cut(tmp_path, pre, text)
    assert "".join(words) == text
    assert words == WORDS[pre]


@pytest.mark.parametrize(("pre", "word"), [("gpt-2", "'LL"), ("llama-bpe", "'LL")])
def test_capital_contractions_are_whole_only_where_they_were(tmp_path, pre, word):
    assert (word in cut(tmp_path, pre, "I'LL")) == (pre == "llama-bpe")


def test_without_the_key_words_are_cut_as_llama_cpp_does(tmp_path):
    tokenizer = build(tmp_path, "gpt2", byte_letters(), merges=[])
    words = tokenizer.pre_tokenizer.pre_tokenize_str("1234")
    assert [word for word, _ in words] == ["123", "4"]


def test_the_vocabulary_of_llama_3_is_known_without_the_key(tmp_path):
    tokens = [*byte_letters(), "th", *(f"<{i}>" for i in range(128000 - 257))]
    tokens += ["<|begin_of_text|>", *(f"<|{i}|>" for i in range(255))]
    tokenizer = build(
        tmp_path, "gpt2", tokens, [NORMAL] * 128000 + [CONTROL] * 256, merges=["t h"],
        bos_token_id=128000,
    )  # fmt: skip
    ids = tokenizer.encode("th1234").ids
    assert ids[0] == 128000
    assert ids[1:] == [tokens.index(token) for token in ("th", "1", "2", "3", "4")]
    assert cut_words(tokenizer, "th1234") == ["th", "123", "4"]


def cut_words(tokenizer, text):
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
LETTERS = ["▁", "a", "b", "c", "d"]
UNIONS = ["ab", "▁a", "cd", "bc", "▁ab", "abc", "abcd", "▁▁", "dd", "aa", "aaa", "▁abcd", "bcd"]
TOKENS = PIECES + UNIONS + LETTERS
TYPES = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(UNIONS) + len(LETTERS))
SCORES = [0.0] * 259 + [-float(i) for i in range(len(UNIONS) + len(LETTERS))]
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}


def sentence_piece(text):
    """Join the neighbours with the best union, leftmost first, until none is a token."""
    ids = {token: i for i, token in enumerate(TOKENS)}
    symbols = list("▁" + text.replace(" ", "▁")) if text else []
    while True:
        unions = [a + b for a, b in pairwise(symbols)]
        known = [(-SCORES[ids[u]], i) for i, u in enumerate(unions) if u in ids]
        if not known:
            break
        _, at = min(known)
        symbols[at : at + 2] = [unions[at]]
    tokens = []
    for symbol in symbols:
        known = symbol in ids
        tokens += [ids[symbol]] if known else [3 + byte for byte in symbol.encode()]
    return tokens


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    return build(folder, "llama", TOKENS, TYPES, scores=SCORES, **ENDS)


@given(text=st.text("abcd é日", max_size=24))
def test_sentence_piece_joins_by_score_and_spells_the_rest_in_bytes(llama, text):
    found = llama.encode(text).ids
    assert found[0] == 1
    assert found[1:] == sentence_piece(text)
    assert llama.decode(found) == text


def test_bos_and_eos_stand_where_the_file_wants_them(tmp_path):
    def ids(**keys):
        tokenizer = build(tmp_path, "llama", TOKENS, TYPES, scores=SCORES, **ENDS, **keys)
        return tokenizer.encode("a").ids

    inner = TOKENS.index("▁a")
    assert ids() == [1, inner]
    assert ids(add_bos_token=False) == [inner]
    assert ids(add_eos_token=True) == [1, inner, 2]
    assert ids(add_bos_token=False, add_eos_token=True) == [inner, 2]
    assert ids(add_space_prefix=False) == [1, TOKENS.index("a")]


def test_tokens_that_a_text_names_whole_are_found(tmp_path):
    types = TYPES.copy()
    types[TOKENS.index("dd")] = USER_DEFINED
    tokenizer = build(
        tmp_path, "llama", TOKENS, types, scores=SCORES, add_space_prefix=False, **ENDS
    )
    ids = tokenizer.encode("add</s>").ids
    assert ids == [1, TOKENS.index("a"), TOKENS.index("dd"), 2]
    assert tokenizer.decode(ids) == "add"


@pytest.mark.parametrize(
    ("args", "keys", "part"),
    [
        (("bert", ["a"]), {}, "is not known (bert)"),
        (("gpt2", ["a", "a"]), {"merges": []}, "appears twice"),
        (("gpt2", ["a"]), {}, "merges"),
        (("gpt2", ["a", "b"]), {"merges": ["ab"]}, "is no merge (ab)"),
        (("gpt2", ["a", "b"]), {"merges": ["a b"]}, "leaves the vocabulary (a b)"),
        (("gpt2", ["b", "ab"]), {"merges": ["a b"]}, "leaves the vocabulary (a b)"),
        (
            ("gpt2", ["a"]),
            {"merges": [], "pre": "tekken"},
            "is not known (tekken); allowed: default, falcon3",
        ),
        (("gpt2", ["a"], [1, 1]), {"merges": []}, "an array of 1 numbers"),
        (("gpt2", ["a"]), {"merges": [], "add_bos_token": True}, "bos_token_id"),
        (("gpt2", ["a"]), {"merges": [], "bos_token_id": 1}, "bos_token_id"),
        (("gpt2", ["a"]), {"merges": [], "add_bos_token": 1}, "true or false"),
        (("llama", ["a"]), {}, "scores"),
        (("llama", ["a"]), {"scores": [float("nan")]}, "scores"),
        (("llama", ["a"]), {"scores": [0.0], "unknown_token_id": 5}, "unknown_token_id"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path, args, keys, part):
    with pytest.raises(UserError) as caught:
        build(tmp_path, *args, **keys)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_tokenizer_is_refused(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(container())
    with pytest.raises(UserError, match=r"tokenizer\.ggml\.model: is missing"):
        read_gguf_tokenizer(path)
