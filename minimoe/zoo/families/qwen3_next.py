"""Qwen3-Next."""

from minimoe.zoo.counting import Shapes, Weight
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts, stepped_dense

KINDS = ("full_attention", "linear_attention")


def read(f: Fields) -> Shapes:
    """Three of four layers Gated DeltaNet, every fourth softmax attention with an output gate.

    The experts have a gated shared expert beside them.
    """
    f.must_be("attention_bias", False)
    moe = routed_experts(
        f,
        n_shared_experts=1,
        d_shared=f.integer("shared_expert_intermediate_size"),
        gate_shared=True,
    )
    attention = grouped_query(f, d_head=f.integer("head_dim"))
    model = language_model(f, attention, moe=moe, **stepped_dense(f))
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


FAMILY = CountedFamily(model_type="qwen3_next", architectures=("Qwen3NextForCausalLM",), read=read)
