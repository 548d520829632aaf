"""OLMoE (arXiv 2409.02060)."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.errors import InputError
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields, as_number
from minimoe.zoo.reading import biases, grouped_query, key_heads, language_model, routed_experts
from minimoe.zoo.rows import HEADS, MOE, STEM
from minimoe.zoo.writing import heads, write_experts, write_model


def read(f: Fields) -> ModelConfig:
    """Queries and keys normed over all heads at once; experts in every layer."""
    clip: float | None = None
    if f.has("clip_qkv"):
        clip = f.for_logits(lambda: as_number("clip_qkv", f.get("clip_qkv")), None)
    attention = grouped_query(
        f, **biases(f), n_kv_heads=key_heads(f), qk_norm="all_heads", clip_qkv=clip
    )
    if attention.d_head * attention.n_heads != attention.d_model:
        raise InputError(
            f"hidden_size must be head_dim * num_attention_heads="
            f"{attention.d_head * attention.n_heads}, got {attention.d_model}"
        )
    return language_model(f, attention, moe=routed_experts(f, width="intermediate_size"))


def write(config: ModelConfig) -> dict[str, Any]:
    attention = heads(config)
    data = write_model(config) | write_experts(config, "num_experts", "intermediate_size")
    return data | {"attention_bias": attention.qkv_bias, "clip_qkv": attention.clip_qkv}


FAMILY = BuiltFamily("olmoe", ("OlmoeForCausalLM",), read, write, STEM | HEADS | MOE, sparse=True)
