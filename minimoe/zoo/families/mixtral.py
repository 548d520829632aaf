"""Mixtral (arXiv 2401.04088)."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts
from minimoe.zoo.rows import FF, HEADS, LAYER, STEM, same, swiglu
from minimoe.zoo.writing import window_of, write_experts, write_model


def every_layer(f: Fields, n_layers: int) -> list[int]:
    """The layers with a window: all, if one is given."""
    return list(range(n_layers)) if f.has("sliding_window") else []


def read(f: Fields) -> ModelConfig:
    """Grouped-query attention; experts in every layer, whose weights sum to 1."""
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    return language_model(f, grouped_query(f), every_layer, moe=moe)


def write(config: ModelConfig) -> dict[str, Any]:
    data = write_model(config) | {"sliding_window": window_of(config)}
    data |= write_experts(config, "num_local_experts", "intermediate_size")
    del data["norm_topk_prob"]
    return data


FAMILY = BuiltFamily(
    "mixtral",
    ("MixtralForCausalLM",),
    read,
    write,
    STEM
    | HEADS
    | same(f"{LAYER}block_sparse_moe", FF, {".gate.weight": ".router.weight"})
    | swiglu(f"{LAYER}block_sparse_moe.experts.{{e}}", f"{FF}.experts", "w1 w3 w2"),
    sparse=True,
)
