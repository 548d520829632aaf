"""Qwen2 and Qwen2.5, dense."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import DENSE, HEADS, STEM
from minimoe.zoo.tiny import ALTERNATING, SIZES
from minimoe.zoo.windows import from_bound_on, read_windows, write_windows
from minimoe.zoo.writing import write_model


def read(f: Fields) -> ModelConfig:
    """Llama with biases of queries, keys and values, and windows from some layer on."""
    window, sliding_layers = read_windows(f, from_bound_on)
    attention = grouped_query(f, rope=read_rope(f), qkv_bias=True, sliding_window=window)
    d_ff = f.integer("intermediate_size")
    return language_model(f, attention, d_ff=d_ff, sliding_layers=sliding_layers)


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    return write_model(config) | write_windows(config)


FAMILY = BuiltFamily(
    model_type="qwen2",
    architectures=("Qwen2ForCausalLM",),
    read=read,
    write=write,
    rows=STEM | HEADS | DENSE,
    tiny=SIZES
    | {
        "hidden_size": 24,
        "intermediate_size": 17,
        "use_sliding_window": False,
        "sliding_window": 5,
        "max_window_layers": 1,
    },
    variants={
        "later layers slide, tied, one key head": {
            "use_sliding_window": True,
            "tie_word_embeddings": True,
            "num_key_value_heads": 1,
        },
        "listed layers slide, wide heads": {
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": ALTERNATING,
            "head_dim": 10,
        },
    },
)
