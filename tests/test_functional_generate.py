"""Sampling, scoring and tokens."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from checkpoint_factory import Recipe, write_checkpoint

from accelsim.errors import UserError
from accelsim.functional.checkpoint import read_checkpoint
from accelsim.functional.dump import write_dump
from accelsim.functional.generate import Sampling, choose, generate
from accelsim.functional.network import Network
from accelsim.functional.score import Score, score
from accelsim.functional.threads import Threads, default_threads
from accelsim.functional.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return Network(read_checkpoint(write_checkpoint(tmp_path_factory.mktemp("net"))), threads=1)


def test_greedy_takes_the_first_of_equals():
    logits = np.array([[0.0, 2.0, 2.0, 1.0], [5.0, 5.0, 5.0, 5.0]], np.float32)
    np.testing.assert_array_equal(choose(logits, None, 0), [1, 0])


def shares(logits, sampling, draws=4000):
    repeated = np.repeat(np.array([logits], np.float32), draws, axis=0)
    return np.bincount(choose(repeated, sampling, 0), minlength=len(logits)) / draws


def test_draws_follow_the_softmax():
    logits = np.log([0.5, 0.25, 0.15, 0.1])
    # Three standard deviations of 4000 draws are at most 0.024.
    np.testing.assert_allclose(shares(logits, Sampling(3)), [0.5, 0.25, 0.15, 0.1], atol=0.024)
    squared = np.array([0.5, 0.25, 0.15, 0.1]) ** 2
    colder = shares(logits, Sampling(3, temperature=0.5))
    np.testing.assert_allclose(colder, squared / squared.sum(), atol=0.024)


def test_top_k_and_top_p_keep_the_likeliest():
    logits = np.log([0.1, 0.5, 0.15, 0.25])
    assert shares(logits, Sampling(1, top_k=1))[1] == 1
    two = shares(logits, Sampling(1, top_k=2))
    np.testing.assert_allclose(two, [0, 2 / 3, 0, 1 / 3], atol=0.024)
    assert (shares(logits, Sampling(1, top_p=0.5)) > 0).tolist() == [False, True, False, False]
    assert (shares(logits, Sampling(1, top_p=0.7)) > 0).tolist() == [False, True, False, True]
    assert (shares(logits, Sampling(1, top_p=1.0)) > 0).all()


def test_a_seed_repeats_and_another_differs(network):
    first = generate(network, [1, 2, 3], 40, sampling=Sampling(11, temperature=20)).tokens
    again = generate(network, [1, 2, 3], 40, sampling=Sampling(11, temperature=20)).tokens
    other = generate(network, [1, 2, 3], 40, sampling=Sampling(12, temperature=20)).tokens
    assert first.tobytes() == again.tobytes()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("key", "value"), [("seed", -1), ("temperature", 0.0), ("top_k", 0), ("top_p", 0.0)]
)
def test_sampling_out_of_range_is_refused(key, value):
    with pytest.raises(UserError, match=f"{key}: out of range"):
        Sampling(**{key: value})


def test_absurd_prompts_are_refused(network):
    with pytest.raises(UserError, match="prompt is empty"):
        generate(network, [], 1)
    with pytest.raises(UserError, match=r"outside the vocabulary \(61\); allowed: 0 to 60"):
        generate(network, [1, 61], 1)
    with pytest.raises(UserError, match="outside the vocabulary"):
        generate(network, [-1], 1)
    with pytest.raises(UserError, match="no tokens"):
        generate(network, [1.5], 1)
    with pytest.raises(UserError, match="number of tokens"):
        generate(network, [1], -1)
    with pytest.raises(UserError, match=r"positions \(97\); allowed: 1 to 96"):
        generate(network, [1], 97)
    assert generate(network, [1], 96).tokens.shape == (1, 96)
    with pytest.raises(UserError, match="past the cache"):
        network.forward([[1, 2]], network.new_cache(1, 1))
    with pytest.raises(UserError, match="wrong batch"):
        network.forward([[1], [2]], network.new_cache(1, 4))
    with pytest.raises(UserError, match="not finite"):
        choose(np.array([[np.nan, 1.0]], np.float32), None, 0)


def test_a_failed_dump_leaves_no_file(network, tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        write_dump(network, [1], 1, tmp_path / "missing" / "x.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_dump(network, [1], 1, tmp_path / "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def reference_nll(network, ids, window, stride):
    """Score each token on its own with numpy float64: the earliest window that reaches it."""
    total = 0.0
    for position in range(1, len(ids)):
        begin = 0
        while begin + window <= position:
            begin += stride
        context = np.array(ids[begin:position])[None]
        cache = network.new_cache(1, context.size)
        logits = network.forward(context, cache)[0, -1].astype(np.float64)
        total -= logits[ids[position]] - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    return total


WINDOWS = [(50, 16, 8), (7, 16, 8), (33, 16, 5), (2, 2, 1)]


@pytest.mark.parametrize(("length", "window", "stride"), WINDOWS)
def test_every_token_is_scored_once_from_the_earliest_window(network, length, window, stride):
    ids = np.random.default_rng(length).integers(0, 61, length)
    ours = score(network, ids, window=window, stride=stride, characters=100)
    expected = reference_nll(network, ids, window, stride)
    assert ours.tokens == length - 1
    assert ours.nll == pytest.approx(expected, rel=1e-6)
    assert ours.perplexity == pytest.approx(math.exp(expected / (length - 1)), rel=1e-5)
    assert ours.bits_per_character == pytest.approx(expected / math.log(2) / 100, rel=1e-6)


def test_a_uniform_guess_costs_the_log_of_the_vocabulary():
    uniform = Score(nll=10 * math.log(256), tokens=10, characters=10)
    assert uniform.perplexity == pytest.approx(256)
    assert uniform.bits_per_character == pytest.approx(8)
    assert Score(1.0, 1).bits_per_character is None


def test_absurd_scores_are_refused(network):
    with pytest.raises(UserError, match="too short"):
        score(network, [1])
    with pytest.raises(UserError, match="allowed: 2 to 96"):
        score(network, [1, 2, 3], window=97)
    with pytest.raises(UserError, match="stride"):
        score(network, [1, 2, 3], window=8, stride=8)


def test_threads_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("ACCELSIM_THREADS", "3")
    assert default_threads() == Threads().count == 3
    for text in ("0", "many", "1025"):
        monkeypatch.setenv("ACCELSIM_THREADS", text)
        with pytest.raises(UserError, match="ACCELSIM_THREADS"):
            default_threads()
    with pytest.raises(UserError, match="threads"):
        Threads(0)


@pytest.mark.parametrize("items", [1, 4, 5, 19, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_pieces_cover_every_item_once(items, count):
    seen = []
    Threads(count).split(lambda begin, end: seen.extend(range(begin, end)), items, 1 << 40)
    assert sorted(seen) == list(range(items))


def test_an_error_in_a_thread_is_raised():
    def work(begin, end):
        if begin:
            raise ArithmeticError(begin)

    with pytest.raises(ArithmeticError):
        Threads(2).split(work, 64, 1 << 40)


TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"a": 0, "rose": 1, "is": 2, "?": 3}, "unk_token": "?"},
}


def test_text_becomes_tokens_and_back(tmp_path):
    write_checkpoint(tmp_path)
    with pytest.raises(UserError, match=r"has no tokenizer.json"):
        load_tokenizer(read_checkpoint(tmp_path))
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    tokenizer = load_tokenizer(read_checkpoint(tmp_path))
    assert tokenizer.encode("a rose is a rose") == [0, 1, 2, 0, 1]
    assert tokenizer.decode([0, 1]) == "a rose"
    with pytest.raises(UserError, match="text is empty"):
        tokenizer.encode("")


def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path):
    write_checkpoint(tmp_path, Recipe(vocab=3, changes={"eos_token_id": 2}))
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    with pytest.raises(UserError, match=r"too many tokens \(4\); allowed: up to the network's 3"):
        load_tokenizer(read_checkpoint(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="is no tokenizer"):
        load_tokenizer(read_checkpoint(tmp_path))
