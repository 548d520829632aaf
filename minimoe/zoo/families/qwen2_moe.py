"""Qwen1.5-MoE and Qwen2-MoE."""

from dataclasses import replace
from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts, stepped_dense
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import FF, HEADS, MLP, MOE, STEM, same, swiglu
from minimoe.zoo.tiny import ALTERNATING, SIZES
from minimoe.zoo.windows import read_windows, write_windows
from minimoe.zoo.writing import experts, heads, write_experts, write_model


def even_layers(f: Fields, n_layers: int) -> list[int] | None:
    """The layers with a window: the listed ones, or every second one below max_window_layers."""
    if not f.flag("use_sliding_window", absent=False):
        return []
    if f.has("layer_types"):
        return None
    return list(range(0, min(f.integer("max_window_layers", low=0), n_layers), 2))


def read(f: Fields) -> ModelConfig:
    """Qwen2 with experts in most layers, and a shared expert behind a gate."""
    window, sliding_layers = read_windows(f, even_layers)
    bias = f.flag("qkv_bias", absent=True)
    attention = grouped_query(f, rope=read_rope(f), qkv_bias=bias, sliding_window=window)
    moe = routed_experts(
        f,
        n_shared_experts=1,
        d_shared=f.integer("shared_expert_intermediate_size"),
        gate_shared=True,
    )
    model = language_model(f, attention, moe=moe, **stepped_dense(f))
    return replace(model, sliding_layers=sliding_layers)


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    data = write_model(config) | write_windows(config)
    data |= write_experts(config, "num_experts", "moe_intermediate_size")
    return data | {
        "qkv_bias": heads(config).qkv_bias,
        "decoder_sparse_step": 1,
        "mlp_only_layers": list(config.dense_layers),
        "shared_expert_intermediate_size": experts(config).shared_width,
    }


FAMILY = BuiltFamily(
    model_type="qwen2_moe",
    architectures=("Qwen2MoeForCausalLM",),
    read=read,
    write=write,
    rows=STEM
    | HEADS
    | MOE
    | swiglu(f"{MLP}.shared_expert", f"{FF}.shared")
    | same(MLP, FF, {".shared_expert_gate.weight": ".shared_gate"}),
    sparse=True,
    tiny=SIZES
    | {
        "hidden_size": 16,
        "intermediate_size": 23,
        "moe_intermediate_size": 7,
        "shared_expert_intermediate_size": 13,
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "norm_topk_prob": False,
    },
    variants={
        "every second layer is MoE, weights sum to 1, no bias, tied": {
            "decoder_sparse_step": 2,
            "norm_topk_prob": True,
            "qkv_bias": False,
            "head_dim": 10,
            "tie_word_embeddings": True,
        },
        "first layers slide, a listed layer is dense, 1 of 6 experts": {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 2,
            "mlp_only_layers": [1],
            "num_experts_per_tok": 1,
        },
        "listed layers slide, 1 expert of weight 1": {
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ALTERNATING,
            "num_experts_per_tok": 1,
            "norm_topk_prob": True,
        },
    },
)
