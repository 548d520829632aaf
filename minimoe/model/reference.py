"""What does the layer do, one token at a time, exactly as the papers write it?

Slow on purpose: every fast way in the package is tested against these loops.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import MoEConfig
from minimoe.model.attention import Attention
from minimoe.model.experts import SwiGLU
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer


def reference_swiglu(
    x: Float[Tensor, "D"], gate_up: Float[Tensor, "F2 D"], down: Float[Tensor, "D F"]
) -> Float[Tensor, "D"]:
    """down @ (silu(gate @ x) * (up @ x)) with silu(z) = z / (1 + exp(-z))."""
    gate, up = gate_up[: len(gate_up) // 2] @ x, gate_up[len(gate_up) // 2 :] @ x
    return down @ (gate / (1 + torch.exp(-gate)) * up)


def reference_scores(logits: Float[Tensor, "E"], config: MoEConfig) -> Float[Tensor, "E"]:
    """exp(l_i) / sum_j exp(l_j) over all E experts, or 1 / (1 + exp(-l_i))."""
    if config.score_function == "softmax":
        powers = torch.exp(logits - logits.max())
        return powers / powers.sum()
    return 1 / (1 + torch.exp(-logits))


def reference_choice(chosen_by: list[float], config: MoEConfig) -> list[int]:
    """The K experts with the highest values among the best groups; ties to the lower number."""
    size = config.n_routed_experts // config.n_expert_groups
    groups = [range(g * size, (g + 1) * size) for g in range(config.n_expert_groups)]

    def group_score(g: int) -> float:
        return sum(sorted((chosen_by[e] for e in groups[g]), reverse=True)[: config.n_group_scores])

    best_groups = sorted(range(len(groups)), key=lambda g: (-group_score(g), g))
    allowed = [e for g in best_groups[: config.n_limited_groups] for e in groups[g]]
    return sorted(allowed, key=lambda e: (-chosen_by[e], e))[: config.top_k]


def reference_moe(
    layer: MoE, x: Float[Tensor, "T D"]
) -> tuple[Float[Tensor, "T D"], list[list[int]]]:
    """The MoE layer, token after token.

    Returns:
        y, and for each token the experts whose output it received (its kept choices, best first).
    """
    config, experts = layer.config, layer.experts
    room = [math.inf] * config.n_routed_experts
    if config.capacity_factor is not None:
        exact = config.capacity_factor * len(x) * config.top_k / config.n_routed_experts
        room = [math.ceil(round(exact, 9))] * config.n_routed_experts
    outputs: list[Tensor] = []
    received: list[list[int]] = []
    for token in x:
        scores = reference_scores(layer.router.weight @ token, config)
        bias = layer.router.expert_bias
        chosen = reference_choice((scores if bias is None else scores + bias).tolist(), config)
        total = sum(scores[e] for e in chosen) if config.normalize_weights else 1.0
        y = torch.zeros_like(token)
        received.append([])
        for e in chosen:
            if room[e] >= 1:
                room[e] -= 1
                received[-1].append(e)
                weight = config.route_scale * scores[e] / total
                y = y + weight * reference_swiglu(token, experts.gate_up[e], experts.down[e])
        if layer.shared is not None:
            y = y + reference_swiglu(token, layer.shared.gate_up, layer.shared.down)
        outputs.append(y)
    return (torch.stack(outputs) if outputs else x), received


def reference_rotate(
    head: Float[Tensor, "d"], position: int, rope_base: float
) -> Float[Tensor, "d"]:
    """Turn each pair (i, i + d/2) by the angle position * rope_base^(-2i/d), as a 2x2 rotation."""
    half = len(head) // 2
    turned = [torch.zeros(())] * len(head)
    for i in range(half):
        angle = position * rope_base ** (-2 * i / len(head))
        a, b = head[i], head[i + half]
        turned[i] = a * math.cos(angle) - b * math.sin(angle)
        turned[i + half] = a * math.sin(angle) + b * math.cos(angle)
    return torch.stack(turned)


def reference_norm(
    x: Float[Tensor, "D"], gain: Float[Tensor, "D"], eps: float
) -> Float[Tensor, "D"]:
    """RMSNorm: x / sqrt(mean(x^2) + eps) * gain."""
    return x / torch.sqrt((x * x).mean() + eps) * gain


def reference_attention(
    layer: Attention, x: Float[Tensor, "L D"], norm_eps: float = 1e-6
) -> Float[Tensor, "L D"]:
    """Causal attention, query after query and head after head."""
    config = layer.config

    def head(
        weight: Tensor, norm: nn.RMSNorm | None, token: Tensor, h: int, position: int
    ) -> Tensor:
        vector = weight[h * config.d_head : (h + 1) * config.d_head] @ token
        if norm is not None:
            vector = reference_norm(vector, norm.weight, norm_eps)
        return reference_rotate(vector, position, config.rope.base)

    rows = []
    for i, token in enumerate(x):
        heads = []
        for h in range(config.n_heads):
            g = h // (config.n_heads // config.n_kv_heads)
            q = head(layer.q, layer.q_norm, token, h, i)
            keys = torch.stack([head(layer.k, layer.k_norm, x[j], g, j) for j in range(i + 1)])
            values = x[: i + 1] @ layer.v[g * config.d_head : (g + 1) * config.d_head].T
            attention = torch.softmax(keys @ q / math.sqrt(config.d_head), 0)
            heads.append(attention @ values)
        rows.append(layer.o @ torch.cat(heads))
    return torch.stack(rows)


def reference_transformer(model: Transformer, tokens: Int[Tensor, "L"]) -> Float[Tensor, "L V"]:
    """The whole model on one sequence."""
    eps = model.config.norm_eps

    def normed(x: Tensor, norm: nn.RMSNorm) -> Tensor:
        return torch.stack([reference_norm(row, norm.weight, eps) for row in x])

    x = model.embedding[tokens]
    for block in model.layers():
        x = x + reference_attention(block.attention, normed(x, block.attention_norm), eps)
        h = normed(x, block.ff_norm)
        if isinstance(block.ff, SwiGLU):
            x = x + torch.stack(
                [reference_swiglu(row, block.ff.gate_up, block.ff.down) for row in h]
            )
        else:
            x = x + reference_moe(block.ff, h)[0]
    head = model.embedding if model.head is None else model.head
    return normed(x, model.norm) @ head.T
