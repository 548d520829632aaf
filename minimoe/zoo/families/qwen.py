"""Qwen2 and Qwen2.5, Qwen3 (arXiv 2505.09388), their MoE models, and Qwen3-Next."""

from typing import Any

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.errors import InputError
from minimoe.zoo import writing
from minimoe.zoo.counting import Shapes, Weight
from minimoe.zoo.family import BuiltFamily, Family
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import (
    biases,
    dense_layers,
    grouped_query,
    language_model,
    routed_experts,
)
from minimoe.zoo.rows import DENSE, FF, HEADS, MLP, MOE, STEM, same, swiglu

KINDS = ("full_attention", "linear_attention")


def read_qwen2(f: Fields) -> ModelConfig:
    """Llama with biases of queries, keys and values, and windows from some layer on."""
    return language_model(f, grouped_query(f, qkv_bias=True), from_bound_on)


def read_qwen2_moe(f: Fields) -> ModelConfig:
    """Qwen2 with experts in most layers, and a shared expert behind a gate."""
    attention = grouped_query(f, qkv_bias=f.flag("qkv_bias", absent=True))
    return language_model(f, attention, even_layers, moe=_gated(f), **_stepped_dense(f))


def read_qwen3(f: Fields) -> ModelConfig:
    """Llama with a norm of each head's queries and keys, and windows from some layer on."""
    return language_model(f, _normed(f), from_bound_on)


def read_qwen3_moe(f: Fields) -> ModelConfig:
    """Qwen3 with experts in most layers."""
    moe = routed_experts(f)
    return language_model(f, _normed(f), every_layer, moe=moe, **_stepped_dense(f))


def read_qwen3_next(f: Fields) -> Shapes:
    """Three of four layers Gated DeltaNet, every fourth softmax attention with an output gate.

    The experts have a gated shared expert beside them.
    """
    f.must_be("attention_bias", False)
    attention = grouped_query(f, d_head=f.integer("head_dim"))
    model = language_model(f, attention, moe=_gated(f), **_stepped_dense(f))
    n_softmax = _softmax_layers(f)
    n_delta = model.n_layers - n_softmax
    norms = (
        Weight("norms", "queries, keys", (attention.d_head,), 2 * n_softmax),
        Weight("norms", "DeltaNet: a head's output", (f.integer("linear_value_head_dim"),),
               n_delta),
    )  # fmt: skip
    kv_heads = attention.n_kv_heads * attention.d_head
    heads = attention.n_heads * attention.d_head
    softmax = (
        Weight("attention", "queries and output gates", (2 * heads, model.d_model), n_softmax),
        Weight("attention", "keys, values", (kv_heads, model.d_model), 2 * n_softmax),
        Weight("attention", "output", (model.d_model, heads), n_softmax),
    )
    return Shapes(
        model=model,
        attention=softmax + _delta_net(f, model.d_model, n_delta),
        extra=norms,
        cache_elements=2 * kv_heads * n_softmax,
        softmax_layers=n_softmax,
        not_counted=f"the {n_delta} Gated DeltaNet layers' recurrence",
    )


def _normed(f: Fields) -> AttentionConfig:
    return grouped_query(f, d_head=f.integer("head_dim"), qk_norm="head", **biases(f))


def _gated(f: Fields) -> MoEConfig:
    """Routed experts, and one shared expert behind a gate."""
    width = f.integer("shared_expert_intermediate_size")
    return routed_experts(f, n_shared_experts=1, d_shared=width, gate_shared=True)


def _stepped_dense(f: Fields) -> dict[str, Any]:
    """The layers that Qwen makes dense, and their width, as arguments of ModelConfig."""
    n_layers = f.layers()
    step, listed = f.integer("decoder_sparse_step", absent=1), f.get("mlp_only_layers", absent=[])
    if not isinstance(listed, list) or not all(layer in range(n_layers) for layer in listed):
        raise InputError(
            f"mlp_only_layers must hold layers in [0, num_hidden_layers - 1={n_layers - 1}], "
            f"got {listed}"
        )
    return dense_layers(f, [n for n in range(n_layers) if n in listed or (n + 1) % step])


def _softmax_layers(f: Fields) -> int:
    """By layer_types, as transformers 5 writes it, or by full_attention_interval."""
    if f.has("layer_types"):
        return f.kinds("layer_types", KINDS).count("full_attention")
    return f.layers() // f.integer("full_attention_interval")


def _delta_net(f: Fields, d_model: int, n: int) -> tuple[Weight, ...]:
    n_values = f.integer("linear_num_value_heads")
    values = n_values * f.integer("linear_value_head_dim")
    keys = f.integer("linear_num_key_heads") * f.integer("linear_key_head_dim")
    taps = f.integer("linear_conv_kernel_dim")
    return (
        Weight("attention", "DeltaNet: queries, keys", (keys, d_model), 2 * n),
        Weight("attention", "DeltaNet: values, output gates", (values, d_model), 2 * n),
        Weight("attention", "DeltaNet: write strengths, decays", (n_values, d_model), 2 * n),
        Weight("attention", "DeltaNet: convolution of each channel", (2 * keys + values, taps), n),
        Weight("attention", "DeltaNet: decay's bias and rate", (n_values,), 2 * n),
        Weight("attention", "DeltaNet: output", (d_model, values), n),
    )


def from_bound_on(f: Fields, n_layers: int) -> list[int] | None:
    """The rule of Qwen2 and Qwen3: the listed layers, or those from max_window_layers on."""
    if not every_layer(f, n_layers):
        return []
    if f.has("layer_types"):
        return None
    return list(range(f.integer("max_window_layers", low=0), n_layers))


def even_layers(f: Fields, n_layers: int) -> list[int] | None:
    """The rule of Qwen2-MoE: the listed layers, or every second one below max_window_layers."""
    if not f.flag("use_sliding_window", absent=False):
        return []
    if f.has("layer_types"):
        return None
    return list(range(0, min(f.integer("max_window_layers", low=0), n_layers), 2))


def every_layer(f: Fields, n_layers: int) -> list[int]:
    """The rule of Qwen3-MoE: all, if it is switched on; max_window_layers is not read."""
    on = f.flag("use_sliding_window", absent=False) and f.has("sliding_window")
    return list(range(n_layers)) if on else []


def write_qwen2(config: ModelConfig) -> dict[str, Any]:
    window = writing.window_of(config)
    return writing.write_model(config) | {
        "sliding_window": window,
        "use_sliding_window": window is not None,
        "layer_types": writing.layer_types(config),
    }


def write_qwen3(config: ModelConfig) -> dict[str, Any]:
    return write_qwen2(config) | {"attention_bias": writing.heads(config).qkv_bias}


def write_qwen2_moe(config: ModelConfig) -> dict[str, Any]:
    data = write_qwen2(config) | _write_experts(config)
    data["shared_expert_intermediate_size"] = writing.experts(config).shared_width
    return data | {"qkv_bias": writing.heads(config).qkv_bias}


def write_qwen3_moe(config: ModelConfig) -> dict[str, Any]:
    data = write_qwen3(config) | _write_experts(config)
    del data["layer_types"]  # all are of one kind
    return data


def _write_experts(config: ModelConfig) -> dict[str, Any]:
    return writing.write_experts(config, "num_experts", "moe_intermediate_size") | {
        "decoder_sparse_step": 1,
        "mlp_only_layers": list(config.dense_layers),
    }


QWEN2 = BuiltFamily("qwen2", ("Qwen2ForCausalLM",), read_qwen2, write_qwen2, STEM | HEADS | DENSE)
QWEN2_MOE = BuiltFamily(
    "qwen2_moe",
    ("Qwen2MoeForCausalLM",),
    read_qwen2_moe,
    write_qwen2_moe,
    STEM
    | HEADS
    | MOE
    | swiglu(f"{MLP}.shared_expert", f"{FF}.shared")
    | same(MLP, FF, {".shared_expert_gate.weight": ".shared_gate"}),
    sparse=True,
)
QWEN3 = BuiltFamily("qwen3", ("Qwen3ForCausalLM",), read_qwen3, write_qwen3, STEM | HEADS | DENSE)
QWEN3_MOE = BuiltFamily(
    "qwen3_moe",
    ("Qwen3MoeForCausalLM",),
    read_qwen3_moe,
    write_qwen3_moe,
    STEM | HEADS | MOE,
    sparse=True,
)
QWEN3_NEXT = Family("qwen3_next", ("Qwen3NextForCausalLM",), read_qwen3_next)
