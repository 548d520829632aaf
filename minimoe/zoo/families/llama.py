"""Llama, models with its parts such as DeepSeek LLM 67B, and Llama 4 with its vision tower."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.zoo.counting import Shapes, Weight, plain_shapes
from minimoe.zoo.family import BuiltFamily, Family
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import biases, grouped_query, key_heads, language_model, routed_experts
from minimoe.zoo.rows import DENSE, HEADS, STEM
from minimoe.zoo.writing import heads, write_model


def read(f: Fields) -> ModelConfig:
    """Multi-head or grouped-query attention and SwiGLU."""
    attention = grouped_query(f, **biases(f), base=10_000.0, n_kv_heads=key_heads(f))
    return language_model(f, attention, ff_bias=f.flag("mlp_bias", absent=False))


def write(config: ModelConfig) -> dict[str, Any]:
    bias = heads(config).qkv_bias
    return write_model(config) | {"attention_bias": bias, "mlp_bias": config.ff_bias}


def read_llama4(f: Fields) -> Shapes:
    """A text model, and a vision tower that text does not pass through if the file has one."""
    if not f.has("text_config"):
        return plain_shapes(_text(f))
    model = _text(f.inside("text_config"))
    return plain_shapes(model, _vision(f.inside("vision_config"), model.d_model))


def _text(f: Fields) -> ModelConfig:
    """One routed and one shared expert in every interleave_moe_layer_step-th layer."""
    step, n_layers = f.integer("interleave_moe_layer_step"), f.layers()
    moe = routed_experts(f, width="intermediate_size", n_shared_experts=1, normalize_weights=True)
    dense = tuple(layer for layer in range(n_layers) if (layer + 1) % step)
    return language_model(
        f,
        grouped_query(f, **biases(f)),
        moe=moe,
        d_ff=f.integer("intermediate_size_mlp") if dense else None,
        dense_layers=dense,
    )


def _vision(f: Fields, d_text: int) -> tuple[Weight, ...]:
    """The vision tower (layers with biases throughout), its adapter, and the way to the text."""
    d_model, d_ff, n_layers = f.integer("hidden_size"), f.integer("intermediate_size"), f.layers()
    patch = f.integer("patch_size")
    n_patches = (f.integer("image_size") // patch) ** 2
    d_in, d_out = f.integer("projector_input_dim"), f.integer("projector_output_dim")

    def weight(name: str, shape: tuple[int, ...], copies: int = 1) -> Weight:
        return Weight("other", f"vision: {name}", shape, copies, active=False)

    return (
        weight("patches", (d_model, patch * patch * f.integer("num_channels"))),
        weight("class", (d_model,)),
        weight("positions of the patches and the class", (n_patches + 1, d_model)),
        weight("queries, keys, values, output", (d_model, d_model), 4 * n_layers),
        weight("queries, keys, values, output: bias", (d_model,), 4 * n_layers),
        weight("up", (d_ff, d_model), n_layers),
        weight("up: bias", (d_ff,), n_layers),
        weight("down", (d_model, d_ff), n_layers),
        weight("down: bias", (d_model,), n_layers),
        weight("two norms of a layer: scale and bias", (d_model,), 4 * n_layers),
        weight("norms before and after the layers: scale and bias", (d_model,), 4),
        weight("adapter, first", (d_in, d_ff)),
        weight("adapter, second", (d_out, d_out)),
        weight("to the text model", (d_text, f.integer("vision_output_dim"))),
    )


LLAMA = BuiltFamily(
    "llama", ("LlamaForCausalLM", "LLaMAForCausalLM"), read, write, STEM | HEADS | DENSE
)
LLAMA4 = Family(
    "llama4",
    ("Llama4ForConditionalGeneration", "Llama4ForCausalLM"),
    read_llama4,
    aliases=("llama4_text",),
)
