"""The slow reference that tests compare with: one token at a time, as the papers write it."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import MoEConfig, RopeConfig
from minimoe.model.attention import Attention
from minimoe.model.experts import Experts
from minimoe.model.feed_forward import GeluMLP, SwiGLU
from minimoe.model.latent_attention import LatentAttention
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer


def reference_affine(
    x: Float[Tensor, "n"], weight: Float[Tensor, "m n"], bias: Float[Tensor, "m"] | None
) -> Float[Tensor, "m"]:
    """weight @ x, plus the bias if there is one."""
    return weight @ x if bias is None else weight @ x + bias


def reference_gelu_mlp(layer: GeluMLP, x: Float[Tensor, "D"]) -> Float[Tensor, "D"]:
    """down @ gelu(up @ x), gelu(z) = z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 z^3)))."""
    z = reference_affine(x, layer.up, layer.up_bias)
    inner = z / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return reference_affine(inner, layer.down, layer.down_bias)


def reference_swiglu(
    layer: SwiGLU | Experts, x: Float[Tensor, "D"], e: int | None = None
) -> Float[Tensor, "D"]:
    """down @ (silu(gate @ x) * (up @ x)), biases after both; silu(z) = z / (1 + exp(-z)).

    Of stacked experts it is expert e. gpt-oss's has (up + 1) * gate / (1 + exp(-alpha * gate)).
    """
    stacked: list = [layer.gate_up, layer.gate_up_bias, layer.down, layer.down_bias]
    gate_up, in_bias, down, out_bias = (
        part if part is None or e is None else part[e] for part in stacked
    )
    gate, up = reference_affine(x, gate_up, in_bias).chunk(2)
    if isinstance(layer, Experts) and layer.config.activation == "clamped_swiglu":
        limit = layer.config.activation_limit
        gate = torch.where(gate > limit, limit, gate)
        up = torch.where(up > limit, limit, torch.where(up < -limit, -limit, up))
        inner = (up + 1) * gate / (1 + torch.exp(-layer.config.activation_alpha * gate))
    else:
        inner = gate / (1 + torch.exp(-gate)) * up
    return reference_affine(inner, down, out_bias)


def reference_scores(logits: Float[Tensor, "E"], config: MoEConfig) -> Float[Tensor, "E"]:
    """exp(l_i) / sum_j exp(l_j) over all E experts, or 1 / (1 + exp(-l_i))."""
    if config.score_function == "softmax":
        powers = torch.exp(logits - logits.max())
        return powers / powers.sum()
    return 1 / (1 + torch.exp(-logits))


def reference_choice(chosen_by: list[float], config: MoEConfig) -> list[int]:
    """The K experts with the highest values in the best groups; of equals, the lower number."""
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
    """The MoE layer, one token at a time: y, and for each token its kept experts, best first."""
    config, experts = layer.config, layer.experts
    room = [math.inf] * config.n_routed_experts
    if config.capacity_factor is not None:
        exact = config.capacity_factor * len(x) * config.top_k / config.n_routed_experts
        room = [math.ceil(round(exact, 9))] * config.n_routed_experts
    outputs: list[Tensor] = []
    received: list[list[int]] = []
    for token in x:
        logits = reference_affine(token, layer.router.weight, layer.router.bias)
        scores = reference_scores(logits, config)
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
                y = y + weight * reference_swiglu(experts, token, e)
        if layer.shared is not None:
            shared = reference_swiglu(layer.shared, token)
            if layer.shared_gate is not None:
                shared = shared / (1 + torch.exp(-(layer.shared_gate[0] @ token)))
            y = y + shared
        outputs.append(y)
    return (torch.stack(outputs) if outputs else x), received


def reference_frequency(i: int, width: int, rope: RopeConfig) -> float:
    """Radians that pair i of width / 2 turns from one position to the next."""
    trained = rope.base ** (-2 * i / width)
    stretched = trained / rope.factor
    if rope.scaling in ("none", "linear"):
        return trained if rope.scaling == "none" else stretched
    length = rope.original_length or 0  # RopeConfig refuses llama3 and yarn without it
    if rope.scaling == "llama3":
        turns = length / (2 * math.pi / trained)
        share = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    else:
        first = width / 2 * math.log(length / (2 * math.pi * rope.beta_fast), rope.base)
        last = width / 2 * math.log(length / (2 * math.pi * rope.beta_slow), rope.base)
        if rope.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(0, first), min(last, width - 1)
        last += 0.001 if first == last else 0
        share = 1 - (i - first) / (last - first)
    share = min(max(share, 0), 1)
    return share * trained + (1 - share) * stretched


def reference_attention_factor(rope: RopeConfig) -> float:
    """YaRN's factor of cosine and sine (arXiv 2309.00071; mscale as in DeepSeek)."""
    if rope.scaling != "yarn":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    log = 0.1 * math.log(rope.factor)
    if rope.mscale and rope.mscale_all_dim:
        return (log * rope.mscale + 1) / (log * rope.mscale_all_dim + 1)
    return log + 1


def reference_rotate(
    head: Float[Tensor, "d"], position: int, rope: RopeConfig
) -> Float[Tensor, "d"]:
    """Turn each pair by position * its frequency, as a 2x2 rotation times the attention factor."""
    half, factor = len(head) // 2, reference_attention_factor(rope)
    turned = [torch.zeros(())] * len(head)
    for i in range(half):
        first, second = (2 * i, 2 * i + 1) if rope.interleaved else (i, i + half)
        angle = position * reference_frequency(i, len(head), rope)
        a, b = head[first], head[second]
        turned[first] = factor * (a * math.cos(angle) - b * math.sin(angle))
        turned[second] = factor * (a * math.sin(angle) + b * math.cos(angle))
    return torch.stack(turned)


def reference_norm(
    x: Float[Tensor, "D"], gain: Float[Tensor, "D"], eps: float
) -> Float[Tensor, "D"]:
    """RMSNorm: x / sqrt(mean(x^2) + eps) * gain."""
    return x / torch.sqrt((x * x).mean() + eps) * gain


def reference_head(
    layer: Attention, name: str, token: Float[Tensor, "D"], h: int, position: int, norm_eps: float
) -> Float[Tensor, "d"]:
    """A token's query, key or value (name "q", "k" or "v") in head h."""
    config, norm = layer.config, getattr(layer, f"{name}_norm", None)
    own = slice(h * config.d_head, (h + 1) * config.d_head)
    vectors = reference_affine(token, getattr(layer, name), getattr(layer, f"{name}_bias"))
    if norm is not None and config.qk_norm == "all_heads":
        vectors = reference_norm(vectors, norm.weight, norm_eps)
    head = vectors[own]
    if norm is not None and config.qk_norm == "head":
        head = reference_norm(head, norm.weight, norm_eps)
    if config.clip_qkv is not None:
        head = head.clip(-config.clip_qkv, config.clip_qkv)
    if name == "v" or config.rope is None:
        return head
    return reference_rotate(head, position, config.rope)


def reference_attention(
    layer: Attention, x: Float[Tensor, "L D"], norm_eps: float = 1e-6
) -> Float[Tensor, "L D"]:
    """Causal attention, one query and one head at a time."""
    config = layer.config

    def vectors(name: str, h: int) -> list[Tensor]:
        return [reference_head(layer, name, token, h, i, norm_eps) for i, token in enumerate(x)]

    queries = [vectors("q", h) for h in range(config.n_heads)]
    keys, values = ([vectors(name, g) for g in range(config.n_kv_heads)] for name in "kv")
    rows = []
    for i in range(len(x)):
        seen = [j for j in range(i + 1) if layer.window is None or i - j < layer.window]
        heads = []
        for h in range(config.n_heads):
            g = h // (config.n_heads // config.n_kv_heads)
            powers = [torch.exp(queries[h][i] @ keys[g][j] / config.d_head**0.5) for j in seen]
            total = sum(powers) + (0 if layer.sinks is None else torch.exp(layer.sinks[h]))
            heads.append(_weighted_sum(powers, [values[g][j] for j in seen]) / total)
        rows.append(reference_affine(torch.cat(heads), layer.o, layer.o_bias))
    return torch.stack(rows)


def reference_latent_query(
    layer: LatentAttention, token: Float[Tensor, "D"], h: int, position: int
) -> Float[Tensor, "d"]:
    """Head h's query: the part without position, then the rotated part."""
    config = layer.config
    width = config.d_nope + config.d_rope
    if layer.q is not None:
        queries = layer.q @ token
    else:
        assert layer.q_down is not None and layer.q_norm is not None and layer.q_up is not None
        down = reference_affine(token, layer.q_down, layer.q_down_bias)
        queries = layer.q_up @ reference_norm(down, layer.q_norm.weight, config.norm_eps)
    own = queries[h * width : (h + 1) * width]
    rotary = reference_rotate(own[config.d_nope :], position, config.rope)
    return torch.cat((own[: config.d_nope], rotary))


def reference_latent_key_value(
    layer: LatentAttention, token: Float[Tensor, "D"], h: int, position: int
) -> tuple[Float[Tensor, "d"], Float[Tensor, "dv"]]:
    """Head h's key and value, computed from the token's latent; all heads share the rotary key."""
    config = layer.config
    width = config.d_nope + config.d_value
    down = reference_affine(token, layer.kv_down, layer.kv_down_bias)
    latent = reference_norm(down[: config.kv_rank], layer.kv_norm.weight, config.norm_eps)
    own = layer.kv_up[h * width : (h + 1) * width] @ latent
    rotary = reference_rotate(down[config.kv_rank :], position, config.rope)
    return torch.cat((own[: config.d_nope], rotary)), own[config.d_nope :]


def reference_latent_attention(
    layer: LatentAttention, x: Float[Tensor, "L D"]
) -> Float[Tensor, "L D"]:
    """Multi-head latent attention (arXiv 2405.04434, section 2.1), one query and head at a time."""
    config = layer.config
    scale = 1 / math.sqrt(config.d_nope + config.d_rope)
    if config.rope.scaling == "yarn" and config.rope.mscale_all_dim is not None:
        scale *= (0.1 * config.rope.mscale_all_dim * math.log(config.rope.factor) + 1) ** 2
    seen = [
        [reference_latent_key_value(layer, token, h, j) for j, token in enumerate(x)]
        for h in range(config.n_heads)
    ]
    rows = []
    for i, token in enumerate(x):
        heads = []
        for h in range(config.n_heads):
            q = reference_latent_query(layer, token, h, i)
            powers = [torch.exp(scale * (q @ k)) for k, _v in seen[h][: i + 1]]
            heads.append(_weighted_sum(powers, [v for _k, v in seen[h][: i + 1]]) / sum(powers))
        rows.append(reference_affine(torch.cat(heads), layer.o, layer.o_bias))
    return torch.stack(rows)


def _weighted_sum(weights: list[Tensor], vectors: list[Tensor]) -> Tensor:
    return torch.stack([w * v for w, v in zip(weights, vectors, strict=True)]).sum(0)


def reference_ff(ff: MoE | SwiGLU | GeluMLP, x: Float[Tensor, "L D"]) -> Float[Tensor, "L D"]:
    """The feed-forward layer of a block, dense or MoE."""
    if isinstance(ff, MoE):
        return reference_moe(ff, x)[0]
    if isinstance(ff, GeluMLP):
        return torch.stack([reference_gelu_mlp(ff, row) for row in x])
    return torch.stack([reference_swiglu(ff, row) for row in x])


def reference_transformer(model: Transformer, tokens: Int[Tensor, "L"]) -> Float[Tensor, "L V"]:
    """The whole model on one sequence."""
    eps = model.config.norm_eps

    def normed(x: Tensor, norm: nn.RMSNorm | nn.LayerNorm) -> Tensor:
        if not isinstance(norm, nn.LayerNorm):
            return torch.stack([reference_norm(row, norm.weight, eps) for row in x])
        # LayerNorm: RMSNorm of x minus its mean, plus a bias.
        return torch.stack(
            [reference_norm(row - row.mean(), norm.weight, eps) + norm.bias for row in x]
        )

    x = model.embedding[tokens]
    if model.positions is not None:
        x = x + model.positions[: len(tokens)]
    for block in model.layers():
        layer, h = block.attention, normed(x, block.attention_norm)
        if isinstance(layer, LatentAttention):
            x = x + reference_latent_attention(layer, h)
        else:
            x = x + reference_attention(layer, h, eps)
        x = x + reference_ff(block.ff, normed(x, block.ff_norm))
    head = model.embedding if model.head is None else model.head
    return normed(x, model.norm) @ head.T
