"""The functional model alone: text, logits, perplexity, and what a checkpoint is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim import locate
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.functional.checkpoint import Checkpoint
    from accelsim.functional.network import Network

Progress = Callable[[str], None]


def _silent(text: str) -> None:
    """Progress that nobody watches."""


def load_network(path: str, threads: int | None = None) -> Network:
    """Return the checkpoint at ``path`` as a network that runs.

    Args:
        path: A checkpoint folder or the name of a shipped network.
        threads: How many share the work; the bytes of a result do not depend on it.

    Raises:
        UserError: There is no such checkpoint, or it does not fit its config.
    """
    from accelsim.functional.network import Network

    return Network(_read(path), threads)


def _read(path: str) -> Checkpoint:
    from accelsim.functional.checkpoint import read_checkpoint

    return read_checkpoint(locate.resolve(path, locate.NETWORKS, option="PATH"))


def infer(
    path: str,
    *,
    prompt: str | None = None,
    token_ids: str | None = None,
    new_tokens: int = 32,
    text: Path | None = None,
    dump: Path | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    emulate: str = "exact",
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Generate from a prompt, score a text, or both.

    Args:
        path: A checkpoint folder or the name of a shipped network.
        prompt: Text to continue.
        token_ids: The same as ``1,17,99``.
        new_tokens: Tokens to generate.
        text: A text to score.
        dump: Where codes, accumulators and logits go (npz).
        temperature: 0 takes the likeliest token.
        top_k: Sample among so many tokens.
        top_p: Sample among the likeliest tokens of this mass.
        seed: Of sampling.
        emulate: Arithmetic to compare with, ``saturate:16`` for instance; see `functional.narrow`.
        progress: Told what is going on.

    Returns:
        A mapping that is plain JSON.

    Raises:
        UserError: Nothing to do, an empty prompt, or a checkpoint that does not fit.
    """
    from accelsim.functional.narrow import EXACT, parse_arithmetic
    from accelsim.functional.network import Network

    prompted = _is_prompted(prompt, token_ids, text)
    arithmetic = parse_arithmetic(emulate, file="--emulate")
    progress(f"reading {Path(path).name}")
    checkpoint = _read(path)
    sampling = _sampling(temperature, top_k, top_p, seed) if prompted else None
    name = checkpoint.path.resolve().name
    result: dict[str, Any] = {"checkpoint": name, "sha256": checkpoint.sha256}
    if arithmetic != EXACT:
        ids = _prompt_ids(checkpoint, prompt, token_ids, new_tokens) if prompted else None
        progress(f"running exactly and as {arithmetic.name}")
        return result | _emulate(checkpoint, arithmetic, ids, new_tokens, text, dump, sampling)
    network = Network(checkpoint)
    if prompted:
        progress("generating")
        result |= _generate(checkpoint, network, prompt, token_ids, new_tokens, dump, sampling)
    if text is not None:
        progress(f"scoring {text.name}")
        result["quality"] = quality(checkpoint, network, text)
    return result


def _is_prompted(prompt: str | None, token_ids: str | None, text: Path | None) -> bool:
    """Return whether there is a prompt; refuse two of them, and nothing to do."""
    if prompt is None and token_ids is None and text is None:
        raise UserError(
            "nothing to do", file="infer", allowed="give --prompt, --token-ids or --text"
        )
    if prompt is not None and token_ids is not None:
        raise UserError("excludes --prompt", file="--token-ids", value=token_ids)
    return prompt is not None or token_ids is not None


def quality(checkpoint: Any, network: Any, text: Path) -> dict[str, float]:
    """Return perplexity, bits per character and scored tokens of a text file."""
    from accelsim.functional.score import score

    tokens, characters = _encode_text(checkpoint, text)
    scored = score(network, tokens, characters=characters)
    assert scored.bits_per_character is not None
    return {
        "perplexity": scored.perplexity,
        "bits_per_character": scored.bits_per_character,
        "tokens": scored.tokens,
    }


def _encode_text(checkpoint: Any, text: Path) -> tuple[list[int], int]:
    """Return the tokens of a text file and its length in characters."""
    from accelsim.functional.tokenizer import load_tokenizer

    content = read_text(text)
    return load_tokenizer(checkpoint).encode(content, file=text), len(content)


def read_text(path: Path) -> str:
    """Return a UTF-8 text; raise UserError where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as cause:
        raise UserError("cannot be read", file=path, value=cause.strerror) from cause
    except UnicodeDecodeError as cause:
        raise UserError("is not UTF-8 text", file=path) from cause


def inspect(
    path: str,
    *,
    text: Path | None = None,
    prompt: str | None = None,
    token_ids: str | None = None,
    tokens: int = 256,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Return what a checkpoint is made of, tensor by tensor and in all; plain JSON.

    Args:
        path: A checkpoint folder or the name of a shipped network.
        text: Also run this text and measure how wide sums get.
        prompt: The same text, itself.
        token_ids: The same as ``1,17,99``.
        tokens: Run so many tokens of the text at most.
        progress: Told what is going on.

    Returns:
        Keys checkpoint, sha256, config, linear_weights, zero_fraction, tensors (a row per linear),
        dense (a row per other tensor), footprint (a row per packing; empty without ternary
        linears) and text (None where none was run).

    Raises:
        UserError: The checkpoint or the text cannot be read, or does not fit the other.
    """
    from dataclasses import asdict

    from accelsim.functional import anatomy
    from accelsim.functional.checkpoint import read_checkpoint

    sources = [option for option in (text, prompt, token_ids) if option is not None]
    if len(sources) > 1:
        raise UserError("give one of --text, --prompt and --token-ids", file="inspect")
    folder = locate.resolve(path, locate.NETWORKS, option="PATH")
    progress(f"reading {folder.name}")
    checkpoint = read_checkpoint(folder)
    linears = anatomy.dissect(checkpoint, progress)
    widths: dict[str, Any] = {}
    if sources:
        ids = _text_ids(checkpoint, text, prompt, token_ids, tokens)
        widths = anatomy.widths_on_text(_network(checkpoint), ids, progress)
    weights = sum(linear.outputs * linear.inputs for linear in linears)
    return {
        "checkpoint": folder.resolve().name,
        "sha256": checkpoint.sha256,
        "config": asdict(checkpoint.config),
        "linear_weights": weights,
        "zero_fraction": sum(linear.zero for linear in linears) / weights,
        "tensors": [anatomy.tensor_row(linear, widths.get(linear.name)) for linear in linears],
        "dense": anatomy.dense_rows(checkpoint),
        "footprint": anatomy.footprint_rows(linears),
        "text": {"source": str(text or "prompt"), "tokens": len(ids)} if sources else None,
    }


def _network(checkpoint: Any) -> Network:
    from accelsim.functional.network import Network

    return Network(checkpoint)


def _text_ids(
    checkpoint: Any, text: Path | None, prompt: str | None, token_ids: str | None, tokens: int
) -> list[int]:
    """Return the first tokens of the text, at most as many as the network has positions."""
    from accelsim.functional.tokenizer import load_tokenizer

    if tokens < 1:
        raise UserError("out of range", file="--tokens", value=tokens, allowed="allowed: 1 or more")
    if token_ids is not None:
        option, ids = "--token-ids", parse_ids(token_ids)
    elif prompt is not None:
        option, ids = "--prompt", load_tokenizer(checkpoint).encode(prompt, file="--prompt")
    else:
        assert text is not None
        option, ids = str(text), load_tokenizer(checkpoint).encode(read_text(text), file=text)
    ids = ids[: min(tokens, checkpoint.config.max_positions)]
    _check_tokens(checkpoint.config, ids, 0, option)
    return ids


def _sampling(temperature: float, top_k: int | None, top_p: float | None, seed: int) -> Any:
    from accelsim.functional.generate import Sampling

    if temperature == 0:
        return None
    try:
        return Sampling(
            temperature=temperature, seed=seed, top_k=top_k, top_p=1.0 if top_p is None else top_p
        )
    except UserError as error:
        option = f"--{(error.key or 'temperature').replace('_', '-')}"
        raise UserError(
            error.message, file=option, value=error.value, allowed=error.allowed
        ) from error


def _generate(
    checkpoint: Any,
    network: Any,
    prompt: str | None,
    token_ids: str | None,
    new_tokens: int,
    dump: Path | None,
    sampling: Any,
) -> dict[str, Any]:
    from accelsim.functional.dump import write_dump
    from accelsim.functional.generate import generate

    decode = _decoder(checkpoint)
    ids = _prompt_ids(checkpoint, prompt, token_ids, new_tokens)
    if dump is None:
        outcome = generate(network, [ids], new_tokens, sampling=sampling)
    else:
        outcome = write_dump(network, ids, new_tokens, dump, sampling)
    tokens = [int(t) for t in outcome.tokens.reshape(-1)]
    return {"prompt_tokens": ids, "tokens": tokens, "text": decode(tokens)}


def _prompt_ids(
    checkpoint: Any, prompt: str | None, token_ids: str | None, new_tokens: int
) -> list[int]:
    """Return the prompt's tokens; refuse those the network cannot read or continue."""
    from accelsim.functional.tokenizer import load_tokenizer

    if prompt is None:
        assert token_ids is not None
        ids = parse_ids(token_ids)
    else:
        ids = load_tokenizer(checkpoint).encode(prompt, file="--prompt")
    option = "--token-ids" if prompt is None else "--prompt"
    _check_tokens(checkpoint.config, ids, new_tokens, option)
    return ids


def _decoder(checkpoint: Any) -> Callable[[list[int]], str | None]:
    """Return what turns tokens into text, or into None where the checkpoint has no tokenizer."""
    from accelsim.functional.tokenizer import load_tokenizer

    if checkpoint.tokenizer is None:
        return lambda tokens: None
    return load_tokenizer(checkpoint).decode


def _emulate(
    checkpoint: Any,
    arithmetic: Any,
    ids: list[int] | None,
    new_tokens: int,
    text: Path | None,
    dump: Path | None,
    sampling: Any,
) -> dict[str, Any]:
    """Return what `infer` does, the exact network's, and ``emulation`` beside it.

    A dump holds what the narrow network computed.
    """
    from accelsim.functional.dump import write_dump
    from accelsim.functional.narrow import emulating
    from accelsim.functional.narrow_compare import compare_arithmetic
    from accelsim.functional.network import Network

    decode = _decoder(checkpoint)
    tokens, characters = (None, None) if text is None else _encode_text(checkpoint, text)
    if dump is not None and ids is not None:
        network = Network(checkpoint, build=emulating(arithmetic))
        write_dump(network, ids, new_tokens, dump, sampling)
    compared = compare_arithmetic(
        checkpoint,
        arithmetic,
        prompt=ids,
        new_tokens=new_tokens,
        sampling=sampling,
        text=tokens,
        characters=characters,
    )
    result: dict[str, Any] = {}
    if "prompt" in compared:
        exact, narrow = (compared["prompt"].pop(side) for side in ("exact", "narrow"))
        result |= {"prompt_tokens": ids, "tokens": exact, "text": decode(exact)}
        compared["prompt"] |= {"tokens": narrow, "text": decode(narrow)}
    if "text" in compared:
        result["quality"] = compared["text"].pop("exact")
        compared["text"] |= {"quality": compared["text"].pop("narrow")}
    return result | {"emulation": compared}


def _check_tokens(config: Any, ids: list[int], new_tokens: int, option: str) -> None:
    """Refuse what the network cannot read or has no positions for, by the option that asked."""
    if not ids:
        raise UserError("the prompt is empty", file=option, allowed="allowed: one token or more")
    for token in ids:
        if not 0 <= token < config.vocab_size:
            raise UserError(
                "token outside the vocabulary",
                file=option,
                value=token,
                allowed=f"allowed: 0 to {config.vocab_size - 1}",
            )
    room = config.max_positions - len(ids)
    if room < 0:
        raise UserError(
            "is longer than the network's longest context",
            file=option,
            value=f"{len(ids)} tokens",
            allowed=f"allowed: up to {config.max_positions}",
        )
    if not 0 <= new_tokens <= room + 1:
        raise UserError(
            "out of range",
            file="--new-tokens",
            value=new_tokens,
            allowed=f"allowed: 0 to {room + 1}, up to the network's longest context",
        )


def parse_ids(text: str) -> list[int]:
    """Return the token ids of ``1,17,99``; raise UserError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as cause:
        raise UserError(
            "is no list of token ids",
            file="--token-ids",
            value=text,
            allowed="expected numbers such as 1,17,99",
        ) from cause
