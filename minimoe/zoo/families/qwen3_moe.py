"""Qwen3-MoE (arXiv 2505.09388)."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts, stepped_dense
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import HEADS, MOE, STEM
from minimoe.zoo.tiny import SIZES
from minimoe.zoo.windows import if_switched_on, read_windows, window_of
from minimoe.zoo.writing import heads, write_experts, write_model


def every_layer(f: Fields, n_layers: int) -> list[int]:
    """The layers with a window: all, if it is switched on; max_window_layers is not read."""
    return list(range(n_layers)) if if_switched_on(f) else []


def read(f: Fields) -> ModelConfig:
    """Qwen3 with experts in most layers."""
    window, sliding_layers = read_windows(f, every_layer)
    bias = f.flag("attention_bias", absent=False)
    attention = grouped_query(
        f,
        d_head=f.integer("head_dim"),
        rope=read_rope(f),
        qk_norm="head",
        qkv_bias=bias,
        o_bias=bias,
        sliding_window=window,
    )
    moe = routed_experts(f)
    return language_model(f, attention, moe=moe, sliding_layers=sliding_layers, **stepped_dense(f))


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    data = write_model(config) | write_experts(config, "num_experts", "moe_intermediate_size")
    window = window_of(config)
    return data | {
        "attention_bias": heads(config).qkv_bias,
        "sliding_window": window,
        "use_sliding_window": window is not None,
        "decoder_sparse_step": 1,
        "mlp_only_layers": list(config.dense_layers),
    }


FAMILY = BuiltFamily(
    model_type="qwen3_moe",
    architectures=("Qwen3MoeForCausalLM",),
    read=read,
    write=write,
    rows=STEM | HEADS | MOE,
    sparse=True,
    tiny=SIZES
    | {
        "hidden_size": 15,
        "head_dim": 6,
        "intermediate_size": 23,
        "moe_intermediate_size": 7,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "norm_topk_prob": False,
    },
    variants={
        "every second layer is MoE, weights sum to 1, biases, tied": {
            "decoder_sparse_step": 2,
            "norm_topk_prob": True,
            "attention_bias": True,
            "tie_word_embeddings": True,
        },
        "every layer slides, a listed layer is dense, 1 of 6 experts": {
            "use_sliding_window": True,
            "sliding_window": 5,
            "max_window_layers": 2,
            "mlp_only_layers": [1],
            "num_experts_per_tok": 1,
        },
    },
)
