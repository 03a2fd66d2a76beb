"""Train networks: one `Run` is one network, its optimiser state and its curve.

On a GPU the forward and backward pass and the update are compiled and captured into one CUDA
graph. Settings that differ between runs (learning rate, dropout, mixture, length) are tensors in
that graph, so a finished run's slot is refilled without capturing again, and several slots share
the GPU on streams of their own.

Optimiser: Muon (momentum orthogonalised by Newton-Schulz steps, scaled to the update size of Adam:
https://kellerjordan.github.io/posts/muon, arXiv 2502.16982) for the matrices, Adam for embedding
and norms; or AdamW (arXiv 1711.05101) for all. An exponential moving average of the latent weights
is what is evaluated (re-quantised) and kept.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812
from network import MATRICES, Quantisation, Shape, initial_weights, logits, operands
from streams import Streams
from torch import Tensor

BETAS, ADAM_EPS, MOMENTUM = (0.9, 0.95), 1e-8, 0.95
SAME_SIZE = (("q_proj", "o_proj"), ("k_proj", "v_proj"), ("gate_proj", "up_proj", "down_proj"))
EVALUATIONS = 16  # a run is evaluated this many times


@dataclass(frozen=True)
class Settings:
    """What distinguishes one run from another."""

    ternary: bool = True
    seed: int = 0
    steps: int = 4000
    lr: float = 6e-3  # of the matrices
    lr_embedding: float = 2e-3  # of embedding and norms
    dropout: float = 0.3
    weight_decay: float = 1.0  # of the matrices
    optimiser: str = "muon"  # or "adamw"
    average: float = 0.99  # decay of the moving average of the weights
    hold: float = 0.0  # share of the steps at full learning rate, before it falls linearly to 0
    warmup: int = 100
    batch: int = 32
    austen: float = 0.6  # share of the sequences drawn from the novels
    resegmented: float = 0.0  # share of the sequences with random (BPE-dropout) segmentation
    noise: float = 0.0  # share of the input tokens replaced by random ones
    vocab: int = 4096


def loss_of(
    weights: dict[str, Tensor],
    tokens: Tensor,
    targets: Tensor,
    dropout: Tensor,
    shape: Shape,
    quantisation: Quantisation,
) -> Tensor:
    """Return the negative log-likelihood of every target, f32 [batch * length]."""
    linears = operands(weights, quantisation, torch.bfloat16)
    y = logits(weights, linears, tokens, shape, quantisation.activations, dropout)
    return F.cross_entropy(y.flatten(0, 1).float(), targets.flatten(), reduction="none")


def orthogonalise(matrix: Tensor) -> Tensor:
    """Push the singular values of [..., out, in] towards one: five quintic Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.bfloat16()
    x = x.mT if tall else x
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).bfloat16()
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


def muon_directions(gradients: dict[str, Tensor], momenta: dict[str, Tensor]) -> dict[str, Tensor]:
    """Move the momenta in place and return the orthogonalised direction of every matrix.

    Matrices of one size go through the Newton-Schulz steps as one batch (`down` transposed).
    """
    directions = {}
    for group in SAME_SIZE:
        looks = []
        for name in group:
            momenta[name].mul_(MOMENTUM).add_(gradients[name])
            ahead = gradients[name] + MOMENTUM * momenta[name]
            looks.append(ahead.mT if name == "down_proj" else ahead)
        batch = torch.cat(looks)
        size = 0.2 * math.sqrt(max(batch.shape[-2:]))
        for name, d in zip(group, (size * orthogonalise(batch)).chunk(len(group)), strict=True):
            directions[name] = d.mT if name == "down_proj" else d
    return directions


def update(
    weights: dict[str, Tensor],
    gradients: dict[str, Tensor],
    first: dict[str, Tensor],
    second: dict[str, Tensor],
    average: dict[str, Tensor],
    scalars: dict[str, Tensor],
    muon: bool,
) -> None:
    """Do one optimiser step in place, then move the average; all scalars are 0-d tensors."""
    step = scalars["step"] + 1
    falling = (scalars["steps"] - step) / (scalars["steps"] * (1 - scalars["hold"]))
    factor = torch.minimum(step / scalars["warmup"], falling.clamp(0, 1))
    norm = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
    clip = (1.0 / (norm + 1e-6)).clamp(max=1.0)
    warm_decay = torch.minimum(scalars["average"], (1 + step) / (10 + step))
    directions = muon_directions(gradients, first) if muon else {}
    for name, w in weights.items():
        lr = factor * scalars["lr" if name in MATRICES else "lr_embedding"]
        if name not in directions:
            g, m, v = gradients[name] * clip, first[name], second[name]
            m.lerp_(g, 1 - BETAS[0])
            v.lerp_(g * g, 1 - BETAS[1])
            bias = torch.sqrt(1 - BETAS[1] ** step) / (1 - BETAS[0] ** step)
            directions[name] = bias * m / (v.sqrt() + ADAM_EPS)
        if name in MATRICES:
            w.mul_(1 - lr * scalars["weight_decay"])
        w.sub_(lr * directions[name])
        average[name].lerp_(w, 1 - warm_decay)
    scalars["step"].copy_(step)


@cache
def compiled(shape: Shape, quantisation: Quantisation, muon: bool, on_gpu: bool) -> tuple:
    """Return (loss, update), compiled once per kind of network on a GPU."""

    def loss(weights: dict, tokens: Tensor, targets: Tensor, dropout: Tensor) -> Tensor:
        return loss_of(weights, tokens, targets, dropout, shape, quantisation)

    def step(*state: dict[str, Tensor]) -> None:
        update(*state, muon=muon)

    if not on_gpu:
        return loss, step
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(loss, dynamic=False), torch.compile(step, dynamic=False)


@dataclass
class Run:
    """A slot that trains one network after another; `start` refills it, `advance` steps it."""

    kind: Settings  # fixes vocabulary, batch, optimiser and quantisation; the rest may change
    streams: Streams
    shape: Shape
    device: torch.device
    curve: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.quantisation = Quantisation(self.kind.ternary, self.kind.ternary)
        muon, on_gpu = self.kind.optimiser == "muon", self.device.type == "cuda"
        functions = compiled(self.shape, self.quantisation, muon, on_gpu)
        self.loss, self.update = functions
        empty = initial_weights(self.shape, torch.Generator().manual_seed(0))
        self.weights = {k: w.to(self.device).requires_grad_() for k, w in empty.items()}
        self.first = {k: torch.zeros_like(w, requires_grad=False) for k, w in self.weights.items()}
        self.second = {k: torch.zeros_like(w) for k, w in self.first.items()}
        self.average = {k: torch.zeros_like(w) for k, w in self.first.items()}
        self.best = {k: torch.zeros_like(w) for k, w in self.first.items()}
        names = [k for k, v in asdict(self.kind).items() if type(v) in (int, float)]
        self.scalars = {k: torch.zeros((), device=self.device) for k in [*names, "step"]}
        self.shares = torch.zeros(self.streams.sources, device=self.device)
        self.train_loss = torch.zeros((), device=self.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream() if on_gpu else None

    def start(self, settings: Settings) -> None:
        """Reset weights, state and scalars to the beginning of a run with `settings`."""
        self.settings, self.curve, self.best_loss = settings, [], math.inf
        fresh = initial_weights(self.shape, torch.Generator().manual_seed(settings.seed))
        with torch.no_grad():
            for name, w in fresh.items():
                self.weights[name].copy_(w)
                self.average[name].copy_(w)
                self.first[name].zero_()
                self.second[name].zero_()
        for name in self.scalars.keys() - {"step"}:
            self.scalars[name].fill_(getattr(settings, name))
        self.scalars["step"].zero_()
        self.shares.copy_(self.streams.shares(settings.austen, settings.resegmented))
        self.began = time.time()

    def step(self) -> None:
        """Draw a batch, take gradients, update."""
        tokens, targets = self.streams.batch(self.kind.batch, self.shares)
        noisy = torch.rand(tokens.shape, device=self.device) < self.scalars["noise"]
        tokens = torch.where(noisy, torch.randint_like(tokens, self.shape.vocab_size), tokens)
        loss = self.loss(self.weights, tokens, targets, self.scalars["dropout"]).mean()
        gradients = torch.autograd.grad(loss, list(self.weights.values()))
        named = dict(zip(self.weights, gradients, strict=True))
        with torch.no_grad():
            bare = {k: w.detach() for k, w in self.weights.items()}
            self.update(bare, named, self.first, self.second, self.average, self.scalars)
            self.train_loss.lerp_(loss.detach(), 0.02)

    def capture(self) -> None:
        """Capture `step` into a CUDA graph, after compiling it on a side stream."""
        self.start(self.kind)
        torch.cuda.synchronize()
        with torch.cuda.stream(self.stream):
            for _ in range(3):
                self.step()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.step()
        torch.cuda.synchronize()

    def advance(self) -> None:
        """Do one step; on a GPU it is only queued."""
        if self.graph is None:
            self.step()
            return
        with torch.cuda.stream(self.stream):
            self.graph.replay()

    def validate(self, weights: dict[str, Tensor]) -> dict[str, float]:
        """Return bits per character on every validation text (windows as in score.py, bf16).

        Goes through the training function in training-size batches, so that nothing is compiled
        twice: dropout is zero and the gradient is not asked for.
        """
        windows, none = self.streams.validation, torch.zeros((), device=self.device)
        leaves = {k: w.detach().requires_grad_() for k, w in weights.items()}
        sums = torch.zeros(len(windows.characters), device=self.device)
        for at in range(0, len(windows.tokens), self.kind.batch):
            rows = slice(at, at + self.kind.batch)
            tokens, targets = windows.tokens[rows], windows.targets[rows]
            nll = self.loss(leaves, tokens, targets, none).detach()
            sums += (windows.counted[:, rows] * nll.view_as(targets)).sum((1, 2))
        bits = (sums / math.log(2)).tolist()
        return {n: b / c for (n, c), b in zip(windows.characters.items(), bits, strict=True)}

    def evaluate(self, step: int) -> None:
        """Append a point to the curve; keep the averaged weights if they are the best so far."""
        bare = {k: w.detach() for k, w in self.weights.items()}
        if self.stream is not None:
            torch.cuda.synchronize()
        scores = self.validate(self.average)
        raw = self.validate(bare)["austen"]
        point = {"step": step, "raw_austen": raw, "train_loss": self.train_loss.item()}
        self.curve.append({**point, **scores})
        if scores["austen"] < self.best_loss:
            self.best_loss = scores["austen"]
            for name, w in self.average.items():
                self.best[name].copy_(w)

    def record(self) -> dict[str, object]:
        """Return settings, curve and the best validation score (the Austen slices select)."""
        seconds = time.time() - self.began
        best = min(self.curve, key=lambda point: point["austen"])
        head = {"settings": asdict(self.settings), "seconds": round(seconds, 1)}
        return {**head, "best": best, "curve": self.curve}
