"""The Qwen3 architecture in plain PyTorch, with optional fake int4 weights.

A layer has RMSNorm, attention with grouped keys and values, RMSNorm on each query and key head, rotary embedding
(half-split), RMSNorm and SwiGLU. The embedding is tied to the head and there are no biases. Source: Qwen3
technical report, 2025.
"""

import dataclasses
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

BLOCK = 32
# Smallest normal half-precision number. GPUs may flush smaller ones to zero.
_MIN_SCALE = 2.0 ** -14


@dataclasses.dataclass
class Config:
    vocab_size: int
    hidden_size: int = 256
    num_layers: int = 6
    num_heads: int = 4
    num_kv_heads: int = 2
    head_size: int = 64
    intermediate_size: int = 768
    context_length: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6

    @property
    def q_size(self):
        return self.num_heads * self.head_size

    @property
    def kv_size(self):
        return self.num_kv_heads * self.head_size


def block_quantize(weight):
    """Int4 codes and scales of weight [N, K] in blocks of 32 along K: value = (code - 8) * scale.

    As in ONNX Runtime, the value of largest magnitude in a block gets code 0, which is -8 times the scale,
    so scales may be negative. Scales are rounded to half precision first. Returns codes (float tensor of
    whole numbers 0..15, [N, K/32, 32]) and scales (float, [N, K/32, 1], each exact in half precision).
    """
    n, k = weight.shape
    blocks = weight.reshape(n, k // BLOCK, BLOCK)
    index = blocks.abs().argmax(dim=-1, keepdim=True)
    scale = blocks.gather(-1, index) / -8.0
    scale = torch.where(scale.abs() < _MIN_SCALE, torch.full_like(scale, _MIN_SCALE), scale).half().float()
    codes = torch.clamp(torch.round(blocks / scale) + 8.0, 0.0, 15.0)
    return codes, scale


def dequantized(weight):
    """Returns weight [N, K] rounded to int4 and back."""
    codes, scale = block_quantize(weight.float())
    return ((codes - 8.0) * scale).reshape(weight.shape).to(weight.dtype)


def fake_quantized(weight):
    """Returns dequantized(weight), with the identity as its gradient (straight-through estimator)."""
    return weight + (dequantized(weight.detach()) - weight.detach())


def rotary_tables(config):
    """Returns cos and sin [context, head_size / 2], rounded to half precision as in the written folder."""
    half = config.head_size // 2
    frequencies = config.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(torch.arange(config.context_length, dtype=torch.float64), frequencies)
    return angles.cos().half(), angles.sin().half()


def _rms_norm(x, weight, eps):
    wide = x if x.dtype == torch.float64 else x.float()
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps) * weight


def _rotate(x, cos, sin):
    """Applies the rotary embedding to x [batch, heads, time, head_size]; cos and sin are [time, head_size / 2]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def _attention(q, k, v):
    """Returns causal attention over [batch, heads, time, head_size]."""
    if q.is_cuda and hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    time = q.shape[-2]
    hidden = torch.ones(time, time, dtype=torch.bool, device=q.device).triu(1)
    return torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1) @ v


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.config = config

        def matrix(rows, columns, deviation=0.02):
            return nn.Parameter(torch.randn(rows, columns) * deviation)

        # Projections into the residual stream start smaller, as in GPT-2.
        into_stream = 0.02 / math.sqrt(2 * c.num_layers)
        self.input_norm = nn.Parameter(torch.ones(c.hidden_size))
        self.qkv = matrix(c.q_size + 2 * c.kv_size, c.hidden_size)
        self.q_norm = nn.Parameter(torch.ones(c.head_size))
        self.k_norm = nn.Parameter(torch.ones(c.head_size))
        self.o = matrix(c.hidden_size, c.q_size, into_stream)
        self.post_norm = nn.Parameter(torch.ones(c.hidden_size))
        self.gate = matrix(c.intermediate_size, c.hidden_size)
        self.up = matrix(c.intermediate_size, c.hidden_size)
        self.down = matrix(c.hidden_size, c.intermediate_size, into_stream)

    def forward(self, x, cos, sin, weight_of):
        c = self.config
        batch, time, _ = x.shape
        h = _rms_norm(x, self.input_norm, c.rms_norm_eps)
        q, k, v = F.linear(h, weight_of(self.qkv)).split([c.q_size, c.kv_size, c.kv_size], dim=-1)
        q = q.reshape(batch, time, c.num_heads, c.head_size).transpose(1, 2)
        k = k.reshape(batch, time, c.num_kv_heads, c.head_size).transpose(1, 2)
        v = v.reshape(batch, time, c.num_kv_heads, c.head_size).transpose(1, 2)
        q = _rotate(_rms_norm(q, self.q_norm, c.rms_norm_eps), cos, sin).to(v.dtype)
        k = _rotate(_rms_norm(k, self.k_norm, c.rms_norm_eps), cos, sin).to(v.dtype)
        group = c.num_heads // c.num_kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        h = _attention(q, k, v).transpose(1, 2).reshape(batch, time, c.q_size)
        x = x + F.linear(h, weight_of(self.o))
        h = _rms_norm(x, self.post_norm, c.rms_norm_eps)
        h = F.silu(F.linear(h, weight_of(self.gate))) * F.linear(h, weight_of(self.up))
        return x + F.linear(h, weight_of(self.down))


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.randn(config.vocab_size, config.hidden_size) * 0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.final_norm = nn.Parameter(torch.ones(config.hidden_size))
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos.float())
        self.register_buffer("sin", sin.float())

    def forward(self, ids, fake_int4=False):
        """Maps ids int64 [batch, time] to logits [batch, time, vocab]."""
        weight_of = fake_quantized if fake_int4 else (lambda w: w)
        embed = weight_of(self.embed)
        x = F.embedding(ids, embed)
        time = ids.shape[1]
        cos, sin = self.cos[:time], self.sin[:time]
        for layer in self.layers:
            x = layer(x, cos, sin, weight_of)
        return F.linear(_rms_norm(x, self.final_norm, self.config.rms_norm_eps), embed)

    def matrices(self):
        """The parameters that become int4."""
        return [p for p in self.parameters() if p.dim() == 2]


@torch.no_grad()
def as_written(network, dtype=torch.float32):
    """Returns a copy on the CPU with every matrix rounded to int4 and every norm to half precision."""
    copy = Network(network.config)
    copy.load_state_dict({k: v.detach().float().cpu() for k, v in network.state_dict().items()})
    for parameter in copy.parameters():
        parameter.copy_(dequantized(parameter) if parameter.dim() == 2 else parameter.half().float())
    return copy.to(dtype).eval()
