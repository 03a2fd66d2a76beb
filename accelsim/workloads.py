"""Which network runs on which tokens: options of a run, turned into traces on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim import locate
from accelsim.config import NetworkConfig, load_network_config
from accelsim.errors import UserError
from accelsim.inference import parse_ids, quality, read_text
from accelsim.trace import Trace, Workload, load_trace

if TYPE_CHECKING:
    from accelsim.functional.checkpoint import Checkpoint
    from accelsim.functional.network import Network
    from accelsim.functional.operand_source import LinearOperands
    from accelsim.functional.profile import OperandProfile

Progress = Callable[[str], None]

SHIPPED_NETWORK = "austen-12m"
HELD_OUT = "heldout.txt"
TWIN_TRACE = "fp16_twin.trace.npz"
DEFAULT_PREFILL, DEFAULT_DECODE = 256, 64
# Options that mean nothing without weights, and the request's field for each.
_NEED_WEIGHTS = {"--prompt": "prompt", "--token-ids": "token_ids", "--text": "text"}
PROFILE = "austen-12m"  # operands of networks whose weights are not at hand


@dataclass(frozen=True)
class Request:
    """What a user asks to run; without ``network`` or ``checkpoint``, the network that ships.

    Attributes:
        network: A network shape, whose operand counts are drawn. Excludes ``checkpoint``.
        checkpoint: A folder with weights, or a GGUF file.
        prompt: Text to prefill; by default a held-out one.
        prefill: Prompt positions; by default 256, or the whole ``prompt``.
        decode: Decode passes; by default 64.
        batch: Sequences.
        seed: Of drawn counts.
        text: A text to score besides.
        token_ids: The prompt as ``1,17,99``, for a checkpoint without a tokenizer.
    """

    network: str | None = None
    checkpoint: str | None = None
    prompt: str | None = None
    prefill: int | None = None
    decode: int | None = None
    batch: int = 1
    seed: int = 0
    text: Path | None = None
    token_ids: str | None = None

    def workload(self, length: int | None = None) -> Workload:
        """Return the phases, with ``length`` prompt positions or those asked for."""
        prefill = self.prefill if length is None else length
        return Workload(
            DEFAULT_PREFILL if prefill is None else prefill,
            DEFAULT_DECODE if self.decode is None else self.decode,
            self.batch,
        )


@dataclass
class Source:
    """A network and a workload; traces are recorded or drawn once per form."""

    name: str
    config: NetworkConfig
    workload: Workload
    seed: int
    folder: Path | None  # of a checkpoint, or its GGUF file
    tokens: np.ndarray | None  # int64 [batch, prefill], of a checkpoint
    text: Path | None
    _checkpoint: Any = field(default=None, repr=False)
    _network: Any = field(default=None, repr=False)

    def form(self, wanted: str) -> str:
        """Return the form that a design asking for ``wanted`` runs: dense networks have one."""
        return wanted if self.config.ternary else "fp16_twin"

    def network(self, progress: Progress) -> Network:
        """Return the checkpoint as a network that runs, read once."""
        if self._network is None:
            from accelsim.functional.network import Network

            progress(f"reading {self.name}")
            self._network = Network(self.checkpoint())
        network: Network = self._network
        return network

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint, read once; raise UserError where it does not fit its config."""
        if self._checkpoint is None:
            from accelsim.functional.checkpoint import read_checkpoint

            assert self.folder is not None
            self._checkpoint = read_checkpoint(self.folder)
        checkpoint: Checkpoint = self._checkpoint
        return checkpoint

    def trace(self, form: str, progress: Progress) -> Trace:
        """Return the trace of one form: measured, shipped, or drawn from an operand profile."""
        if self.folder is not None and (form == "ternary") == self.config.ternary:
            from accelsim.functional.tracer import trace_network

            network = self.network(progress)
            progress(f"running {self.name}")
            assert self.tokens is not None
            return trace_network(network, self.tokens, self.workload, name=self.name)
        shipped = self._shipped_twin()
        if shipped is not None:
            return shipped
        return self._synthetic(form, progress)

    def _shipped_twin(self) -> Trace | None:
        """Return the recorded trace of the shipped twin, where the workload is the recorded one."""
        if self.folder is None or not (self.folder / TWIN_TRACE).exists():
            return None
        trace = load_trace(self.folder / TWIN_TRACE)
        return trace if trace.workload == self.workload else None

    def _synthetic(self, form: str, progress: Progress) -> Trace:
        from accelsim.functional.synthetic import synthetic_trace

        progress(f"drawing operand counts of {self.name}")
        return synthetic_trace(self.config, self.workload, form, shipped_profile(), self.seed)

    def operands(self, progress: Progress) -> list[LinearOperands]:
        """Return what the linears of a checkpoint multiply while it reads the tokens."""
        from accelsim.functional.operand_source import linear_operands

        network = self.network(progress)
        progress(f"running {self.name}")
        assert self.tokens is not None
        return linear_operands(network, self.tokens)

    def notes(self, form: str) -> list[str]:
        """Return what a reader must know about this workload."""
        notes = []
        if form == "fp16_twin" and self.config.ternary:
            notes.append("runs the FP16 twin, the unquantised network of the same shape")
        return notes

    def quality(self, progress: Progress) -> dict[str, float] | None:
        """Return perplexity and bits per character of the text to score, None without one."""
        if self.text is None:
            return None
        progress(f"scoring {self.text.name}")
        network = self.network(progress)
        return quality(self.checkpoint(), network, self.text)


def shipped_profile() -> OperandProfile:
    """Return the operand profile that ships."""
    from accelsim.functional.profile import load_profile

    return load_profile(locate.shipped(locate.NETWORKS) / "profiles" / f"{PROFILE}.yaml")


def open_source(request: Request) -> Source:
    """Return the network and workload of a request.

    Raises:
        UserError: Options that exclude each other, an empty prompt, sizes out of range.
    """
    if not 0 <= request.seed < 1 << 64:
        raise UserError(
            "out of range", file="--seed", value=request.seed, allowed="allowed: 0 to 2**64 - 1"
        )
    network, checkpoint = request.network, request.checkpoint
    if network is not None and checkpoint is not None:
        raise UserError("excludes --checkpoint", file="--network", value=network)
    if network is not None and not _is_checkpoint(network):
        return _shape_source(network, request)
    name = checkpoint or network or SHIPPED_NETWORK
    return _checkpoint_source(locate.resolve(name, locate.NETWORKS, option="--checkpoint"), request)


def _is_checkpoint(name: str) -> bool:
    path = locate.resolve(name, locate.NETWORKS, option="--network")
    return path.is_dir() or path.suffix == ".gguf"


def _shape_source(network: str, request: Request) -> Source:
    for option, name in _NEED_WEIGHTS.items():
        given = getattr(request, name)
        if given is not None:
            raise UserError(
                "needs weights, --network has shapes only",
                file=option,
                value=given,
                allowed="use --checkpoint",
            )
    config = load_network_config(locate.resolve(network, locate.NETWORKS, option="--network"))
    return Source(config.name, config, request.workload(), request.seed, None, None, None)


def _checkpoint_source(folder: Path, request: Request) -> Source:
    from accelsim.functional.checkpoint import read_checkpoint
    from accelsim.functional.checkpoint_config import shape_of

    checkpoint = read_checkpoint(folder)
    name = folder.resolve().name
    config = shape_of(checkpoint.config, name)
    tokens = _tokens(checkpoint, request)
    workload = request.workload(tokens.shape[1])
    end = workload.prefill + workload.decode
    if end > config.max_positions:
        raise UserError(
            f"prefill and decode pass the longest context of {name}",
            file="--prefill",
            value=end,
            allowed=f"allowed: up to {config.max_positions}",
        )
    return Source(name, config, workload, request.seed, folder, tokens, request.text, checkpoint)


def _given_tokens(checkpoint: Checkpoint, request: Request) -> list[int] | None:
    """Return the tokens of ``--prompt`` or ``--token-ids``, None where neither is given."""
    from accelsim.functional.tokenizer import load_tokenizer

    option = "--prompt" if request.token_ids is None else "--token-ids"
    if request.prompt is None and request.token_ids is None:
        return None
    if request.prompt is not None and request.token_ids is not None:
        raise UserError("excludes --prompt", file=option, value=request.token_ids)
    if request.batch != 1:
        raise UserError("takes one sequence", file=option, key="--batch", value=request.batch)
    if request.token_ids is not None:
        return parse_ids(request.token_ids)
    assert request.prompt is not None
    return load_tokenizer(checkpoint).encode(request.prompt, file=option)


def _tokens(checkpoint: Checkpoint, request: Request) -> np.ndarray:
    """Return the prompt as int64 [batch, prefill]: ``prompt``, or slices of the held-out text."""
    from accelsim.functional.tokenizer import load_tokenizer

    batch, given = request.batch, _given_tokens(checkpoint, request)
    if given is not None:
        ids = given
        length = request.workload(len(ids) if request.prefill is None else None).prefill
    else:
        own = checkpoint.path / HELD_OUT
        shipped = locate.shipped(locate.NETWORKS) / SHIPPED_NETWORK / HELD_OUT
        ids = load_tokenizer(checkpoint).encode(read_text(own if own.exists() else shipped))
        length = request.workload().prefill
    if length * batch > len(ids):
        raise UserError(
            "asks for more tokens than the text has",
            file="--prefill",
            value=length * batch,
            allowed=f"allowed: up to {len(ids) // batch}",
        )
    return np.asarray(ids[: length * batch], dtype=np.int64).reshape(batch, length)
