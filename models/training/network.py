"""BitNet b1.58 as a function of a dictionary of tensors, for training and for exact scoring.

Architecture of BitNet b1.58 2B4T (arXiv 2504.12285): RMSNorm with sub-norms before the output and
down projections, rotary positions, grouped-query attention, squared-ReLU gated feed-forward, tied
embedding. Ternary weights (absmean, per tensor) and int8 activations (absmax, per token) are
trained through straight-through estimators (arXiv 2402.17764, arXiv 2310.11453). With both
switched off the same function is the FP16 twin.

The matrices of all layers are stacked, [layers, out, in], so an optimiser step is a few kernels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GROUPS = {  # matrices that read the same activation and are multiplied with it at once
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
NORMS = ("input_layernorm", "attn_sub_norm", "post_attention_layernorm", "ffn_sub_norm")


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; the defaults are the shipped one."""

    vocab_size: int = 4096
    hidden_size: int = 384
    layers: int = 8
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 64
    intermediate_size: int = 1024
    rope_theta: float = 500000.0
    eps: float = 1e-5
    positions: int = 512


@dataclass(frozen=True)
class Quantisation:
    """Which operands of the linear layers are quantised; neither: the FP16 twin."""

    weights: bool = True
    activations: bool = True


@dataclass(frozen=True)
class Operand:
    """Stacked matrices ready to multiply: y = (x @ codes.T) * scale."""

    codes: Tensor  # [layers, out, in], -1, 0, +1 when ternary
    scale: Tensor  # [layers, out], mean|w| of the matrix a row belongs to; ones when not ternary


def initial_weights(shape: Shape, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw the latent weights: normal(0, 0.02) matrices and embedding, norms of one."""
    h, f, n = shape.hidden_size, shape.intermediate_size, shape.layers
    kv = shape.kv_heads * shape.head_dim
    sizes = {
        "embed_tokens": (shape.vocab_size, h),
        "q_proj": (n, h, h),
        "k_proj": (n, kv, h),
        "v_proj": (n, kv, h),
        "o_proj": (n, h, h),
        "gate_proj": (n, f, h),
        "up_proj": (n, f, h),
        "down_proj": (n, h, f),
    }
    weights = {k: 0.02 * torch.randn(size, generator=generator) for k, size in sizes.items()}
    for name in NORMS:
        weights[name] = torch.ones(n, f if name == "ffn_sub_norm" else h)
    weights["norm"] = torch.ones(h)
    return weights


def ternarise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes round(w / mean|w|) in {-1, 0, +1} and mean|w|, per matrix of [..., out, in]."""
    mean = weight.abs().mean(dim=(-2, -1), keepdim=True).clamp(min=1e-5)
    return (weight / mean).round().clamp(-1, 1), mean


def straight_through(exact: Tensor, rounded: Tensor) -> Tensor:
    """Take the rounded value forward and the gradient of the exact one backward."""
    return exact + (rounded - exact).detach()


def prepare(matrices: list[Tensor], ternary: bool, dtype: torch.dtype) -> Operand:
    """Stack matrices that read the same input along `out` and ternarise each on its own."""
    codes, scales = [], []
    for weight in matrices:
        scale = weight.new_ones(weight.shape[0], 1, 1)
        if ternary:
            rounded, scale = ternarise(weight.detach())
            weight = straight_through(weight / scale, rounded)
        codes.append(weight.to(dtype))
        scales.append(scale[:, :, 0].expand(-1, weight.shape[1]))
    return Operand(torch.cat(codes, 1), torch.cat(scales, 1))


def operands(
    weights: dict[str, Tensor], quantisation: Quantisation, dtype: torch.dtype
) -> dict[str, Operand]:
    """Prepare every group of matrices, in `dtype`."""
    return {
        group: prepare([weights[n] for n in names], quantisation.weights, dtype)
        for group, names in GROUPS.items()
    }


def linear(x: Tensor, codes: Tensor, scale: Tensor, quantise: bool) -> Tensor:
    """Multiply f32 x [..., in] with codes [out, in]; integer codes stay exact in bf16 and f32."""
    if not quantise:
        return F.linear(x.to(codes.dtype), codes).float() * scale
    s = 127.0 / x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5)
    q = straight_through(x * s, (x.detach() * s).round().clamp(-128, 127))
    return F.linear(q.to(codes.dtype), codes).float() / s * scale


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide x [..., n] by its root mean square, then multiply by weight [n]; f32 out."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotary_table(shape: Shape, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cos and sin [length, head_dim] of position * theta^(-2i/head_dim), f32."""
    exponent = torch.arange(0, shape.head_dim, 2, dtype=torch.float32, device=device)
    frequency = 1.0 / shape.rope_theta ** (exponent / shape.head_dim)
    angle = torch.outer(torch.arange(length, dtype=torch.float32, device=device), frequency)
    angle = torch.cat((angle, angle), -1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x [batch, heads, length, head_dim] by half-split pairs (x1, x2) -> (-x2, x1)."""
    x1, x2 = x.chunk(2, -1)
    return x * cos + torch.cat((-x2, x1), -1) * sin


def drop(x: Tensor, probability: Tensor | None) -> Tensor:
    """Zero a share `probability` of x (a 0-d tensor: a captured graph can change it); None: off."""
    if probability is None:
        return x
    return torch.where(torch.rand_like(x) < probability, 0.0, x / (1.0 - probability))


def attention(
    qkv: Tensor, shape: Shape, table: tuple[Tensor, Tensor], dtype: torch.dtype
) -> Tensor:
    """Attend causally: qkv [batch, length, (heads + 2 kv_heads) * head_dim] -> [..., hidden]."""
    batch, length, _ = qkv.shape
    x = qkv.view(batch, length, -1, shape.head_dim).transpose(1, 2)
    q, k, v = x.split((shape.heads, shape.kv_heads, shape.kv_heads), 1)
    q, k = rotate(q, *table).to(dtype), rotate(k, *table).to(dtype)
    k = k.repeat_interleave(shape.heads // shape.kv_heads, 1)
    v = v.to(dtype).repeat_interleave(shape.heads // shape.kv_heads, 1)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return y.transpose(1, 2).reshape(batch, length, -1).float()


def logits(
    weights: dict[str, Tensor],
    linears: dict[str, Operand],
    tokens: Tensor,
    shape: Shape,
    quantise: bool,
    dropout: Tensor | None = None,
) -> Tensor:
    """Run the network: tokens [batch, length] -> logits [batch, length, vocab].

    Norms and scales are f32; the residual stream and the products have the dtype of `linears` (bf16
    to train; f32 to score, where sums of integer codes below 2^24 are exact in any order).
    """
    dtype, eps = linears["o"].codes.dtype, shape.eps
    table = rotary_table(shape, tokens.shape[1], tokens.device)
    norms = {name: weights[name].unbind(0) for name in NORMS}
    codes = {group: operand.codes.unbind(0) for group, operand in linears.items()}
    scales = {group: operand.scale.unbind(0) for group, operand in linears.items()}
    h = drop(F.embedding(tokens, weights["embed_tokens"]), dropout).to(dtype)
    for i in range(shape.layers):
        x = rms_norm(h, norms["input_layernorm"][i], eps)
        qkv = linear(x, codes["qkv"][i], scales["qkv"][i], quantise)
        a = rms_norm(attention(qkv, shape, table, dtype), norms["attn_sub_norm"][i], eps)
        h = h + drop(linear(a, codes["o"][i], scales["o"][i], quantise), dropout).to(dtype)
        x = rms_norm(h, norms["post_attention_layernorm"][i], eps)
        gate, up = linear(x, codes["gate_up"][i], scales["gate_up"][i], quantise).chunk(2, -1)
        y = rms_norm(gate.relu().square() * up, norms["ffn_sub_norm"][i], eps)
        h = h + drop(linear(y, codes["down"][i], scales["down"][i], quantise), dropout).to(dtype)
    h = rms_norm(h, weights["norm"], eps)
    return F.linear(h.to(dtype), weights["embed_tokens"].to(dtype))
