"""Mixtral (arXiv 2401.04088)."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import FF, HEADS, LAYER, STEM, same, swiglu
from minimoe.zoo.tiny import SIZES
from minimoe.zoo.windows import read_windows, window_of
from minimoe.zoo.writing import write_experts, write_model


def every_layer(f: Fields, n_layers: int) -> list[int]:
    """The layers with a window: all, if one is given."""
    return list(range(n_layers)) if f.has("sliding_window") else []


def read(f: Fields) -> ModelConfig:
    """Grouped-query attention; experts in every layer, whose weights sum to 1."""
    window, sliding_layers = read_windows(f, every_layer)
    attention = grouped_query(f, rope=read_rope(f), sliding_window=window)
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    return language_model(f, attention, moe=moe, sliding_layers=sliding_layers)


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    data = write_model(config) | {"sliding_window": window_of(config)}
    data |= write_experts(config, "num_local_experts", "intermediate_size")
    del data["norm_topk_prob"]
    return data


FAMILY = BuiltFamily(
    model_type="mixtral",
    architectures=("MixtralForCausalLM",),
    read=read,
    write=write,
    rows=STEM
    | HEADS
    | same(f"{LAYER}block_sparse_moe", FF, {".gate.weight": ".router.weight"})
    | swiglu(f"{LAYER}block_sparse_moe.experts.{{e}}", f"{FF}.experts", "w1 w3 w2"),
    sparse=True,
    tiny=SIZES
    | {
        "hidden_size": 16,
        "intermediate_size": 11,
        "num_hidden_layers": 2,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
    },
    variants={
        "1 of 5 experts, window, wide heads": {
            "num_experts_per_tok": 1,
            "sliding_window": 5,
            "head_dim": 10,
        },
        "one expert, tied": {
            "num_local_experts": 1,
            "num_experts_per_tok": 1,
            "tie_word_embeddings": True,
        },
        "every expert": {"num_experts_per_tok": 5},
    },
)
