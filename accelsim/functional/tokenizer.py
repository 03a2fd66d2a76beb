"""Text to tokens and back, by the tokenizer of a checkpoint: ``tokenizer.json`` or a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelsim.errors import UserError
from accelsim.functional.checkpoint import Checkpoint


class Tokenizer:
    """A tokenizer whose tokens all lie inside the network's vocabulary."""

    def __init__(self, path: Path, vocab_size: int) -> None:
        """Read a ``tokenizer.json``, or the tokenizer inside a GGUF file.

        Raises:
            UserError: the file cannot be read, or has more tokens than ``vocab_size``.
        """
        self._backend = _read_backend(path)
        size = self._backend.get_vocab_size(with_added_tokens=True)
        if size > vocab_size:
            allowed = f"allowed: up to the network's {vocab_size}"
            raise UserError("has too many tokens", file=path, value=size, allowed=allowed)

    def encode(self, text: str, *, file: object = None) -> list[int]:
        """Return the tokens of a text that comes from ``file``, or from the option so named.

        Raises:
            UserError: the text has none.
        """
        tokens: list[int] = self._backend.encode(text).ids
        if not tokens:
            raise UserError("the text is empty", file=file, allowed="allowed: a character or more")
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text: str = self._backend.decode(list(tokens))
        return text


def _read_backend(path: Path) -> Any:
    if path.suffix == ".gguf":
        from accelsim.functional.gguf_tokenizer import read_gguf_tokenizer

        return read_gguf_tokenizer(path)
    from tokenizers import Tokenizer as Backend

    try:
        # The package raises plain Exception for every malformed file.
        return Backend.from_file(str(path))
    except Exception as error:
        raise UserError(f"is no tokenizer: {error}", file=path) from None


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Return a checkpoint's tokenizer.

    Raises:
        UserError: there is none, or it does not fit.
    """
    if checkpoint.tokenizer is None and checkpoint.path.is_file():
        raise UserError("holds no tokenizer", file=checkpoint.path, allowed="give token ids")
    if checkpoint.tokenizer is None:
        allowed = "give token ids, or put a tokenizer.json beside config.json"
        raise UserError("has no tokenizer.json", file=checkpoint.path, allowed=allowed)
    return Tokenizer(checkpoint.tokenizer, checkpoint.config.vocab_size)
