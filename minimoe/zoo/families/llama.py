"""Llama, and models with its parts such as DeepSeek LLM 67B."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, key_heads, language_model
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import DENSE, HEADS, STEM
from minimoe.zoo.tiny import LINEAR, LLAMA3, SIZES, YARN
from minimoe.zoo.windows import no_layer, read_windows
from minimoe.zoo.writing import heads, write_model


def read(f: Fields) -> ModelConfig:
    """Multi-head or grouped-query attention and SwiGLU."""
    read_windows(f, no_layer)
    bias = f.flag("attention_bias", absent=False)
    attention = grouped_query(
        f,
        n_kv_heads=key_heads(f),
        rope=read_rope(f, base=10_000.0),
        qkv_bias=bias,
        o_bias=bias,
    )
    return language_model(
        f,
        attention,
        d_ff=f.integer("intermediate_size"),
        ff_bias=f.flag("mlp_bias", absent=False),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    bias = heads(config).qkv_bias
    return write_model(config) | {"attention_bias": bias, "mlp_bias": config.ff_bias}


FAMILY = BuiltFamily(
    model_type="llama",
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
    read=read,
    write=write,
    rows=STEM | HEADS | DENSE,
    tiny=SIZES
    | {"hidden_size": 20, "intermediate_size": 27, "num_hidden_layers": 2, "head_dim": 6},
    variants={
        "biases, one key head, tied, llama3": {
            "attention_bias": True,
            "mlp_bias": True,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "head_dim": 12,
            "rope_scaling": LLAMA3,
        },
        "every head its keys, linear": {"num_key_value_heads": 4, "rope_scaling": LINEAR},
        "yarn": {"head_dim": 12, "rope_scaling": YARN},
        "yarn with a given factor": {
            "head_dim": 12,
            "rope_scaling": YARN | {"attention_factor": 0.8},
        },
        "yarn whose blend passes the last pair": {
            "head_dim": 12,
            "rope_scaling": YARN
            | {"original_max_position_embeddings": 40_000, "beta_fast": 2000.0, "beta_slow": 1.0},
        },
        "yarn without a blend": {
            "head_dim": 12,
            "rope_scaling": YARN
            | {"original_max_position_embeddings": 4, "beta_fast": 32.0, "beta_slow": 1.0},
        },
    },
)
