"""OLMoE (arXiv 2409.02060)."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.errors import InputError
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields, as_number
from minimoe.zoo.reading import grouped_query, key_heads, language_model, routed_experts
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import HEADS, MOE, STEM
from minimoe.zoo.tiny import SIZES
from minimoe.zoo.windows import no_layer, read_windows
from minimoe.zoo.writing import heads, write_experts, write_model


def read(f: Fields) -> ModelConfig:
    """Queries and keys normed over all heads at once; experts in every layer."""
    read_windows(f, no_layer)
    bias = f.flag("attention_bias", absent=False)
    attention = grouped_query(
        f,
        n_kv_heads=key_heads(f),
        rope=read_rope(f),
        qk_norm="all_heads",
        qkv_bias=bias,
        o_bias=bias,
        clip_qkv=f.for_logits(lambda: _clip(f), None),
    )
    if attention.d_head * attention.n_heads != attention.d_model:
        raise InputError(
            f"hidden_size must be head_dim * num_attention_heads="
            f"{attention.d_head * attention.n_heads}, got {attention.d_model}"
        )
    return language_model(f, attention, moe=routed_experts(f, width="intermediate_size"))


def _clip(f: Fields) -> float | None:
    return as_number("clip_qkv", f.get("clip_qkv")) if f.has("clip_qkv") else None


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    attention = heads(config)
    data = write_model(config) | write_experts(config, "num_experts", "intermediate_size")
    return data | {"attention_bias": attention.qkv_bias, "clip_qkv": attention.clip_qkv}


FAMILY = BuiltFamily(
    model_type="olmoe",
    architectures=("OlmoeForCausalLM",),
    read=read,
    write=write,
    rows=STEM | HEADS | MOE,
    sparse=True,
    tiny=SIZES
    | {
        "hidden_size": 24,
        "intermediate_size": 9,
        "num_hidden_layers": 2,
        "num_experts": 7,
        "num_experts_per_tok": 3,
        "norm_topk_prob": False,
    },
    variants={
        "queries, keys and values cut, biases, weights sum to 1, tied": {
            "clip_qkv": 0.7,
            "attention_bias": True,
            "norm_topk_prob": True,
            "tie_word_embeddings": True,
        },
        "1 of 7 experts, one key head": {"num_experts_per_tok": 1, "num_key_value_heads": 1},
    },
)
