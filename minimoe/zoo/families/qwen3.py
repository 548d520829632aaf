"""Qwen3, dense."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import DENSE, HEADS, STEM
from minimoe.zoo.tiny import ALTERNATING, SIZES
from minimoe.zoo.windows import from_bound_on, read_windows, write_windows
from minimoe.zoo.writing import heads, write_model


def read(f: Fields) -> ModelConfig:
    """Llama with a norm of each head's queries and keys, and windows from some layer on."""
    window, sliding_layers = read_windows(f, from_bound_on)
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
    d_ff = f.integer("intermediate_size")
    return language_model(f, attention, d_ff=d_ff, sliding_layers=sliding_layers)


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    bias = {"attention_bias": heads(config).qkv_bias}
    return write_model(config) | bias | write_windows(config)


FAMILY = BuiltFamily(
    model_type="qwen3",
    architectures=("Qwen3ForCausalLM",),
    read=read,
    write=write,
    rows=STEM | HEADS | DENSE,
    tiny=SIZES | {"hidden_size": 14, "intermediate_size": 19, "head_dim": 6},
    variants={
        "later layers slide, biases": {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 2,
            "attention_bias": True,
            "head_dim": 10,
        },
        "listed layers slide, tied": {
            "use_sliding_window": True,
            "sliding_window": 1,
            "layer_types": ALTERNATING,
            "tie_word_embeddings": True,
        },
    },
)
