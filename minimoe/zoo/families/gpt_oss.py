"""gpt-oss (arXiv 2508.10925)."""

from typing import Any

from minimoe.config import ModelConfig
from minimoe.errors import InputError
from minimoe.zoo import writing
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import biases, grouped_query, language_model, routed_experts
from minimoe.zoo.rows import FF, HEADS, MLP, STEM, Row, same


def even_layers(f: Fields, n_layers: int) -> list[int] | None:
    """The layers with a window: the listed ones, or every second one."""
    return None if f.has("layer_types") else list(range(0, n_layers, 2))


def read(f: Fields) -> ModelConfig:
    """Sinks, windows in every second layer, and experts with biases and a clamped SwiGLU."""
    f.for_logits(lambda: _require_rope(f), None)
    d_head = f.integer("head_dim")
    attention = grouped_query(f, d_head=d_head, sinks=True, **biases(f, absent=True))
    moe = routed_experts(
        f,
        width="intermediate_size",
        normalize_weights=True,
        router_bias=True,
        biased_experts=True,
        activation="clamped_swiglu",
        activation_alpha=f.for_logits(lambda: f.number("swiglu_alpha", absent=1.702), 1.702),
        activation_limit=f.for_logits(lambda: f.number("swiglu_limit", absent=7.0), 7.0),
    )
    return language_model(f, attention, even_layers, moe=moe)


def _require_rope(f: Fields) -> None:
    """transformers would stretch positions 32 times if the file did not say."""
    if not f.data.get("rope_parameters") and not f.data.get("rope_scaling"):
        raise InputError('rope_scaling is missing; add it, {"rope_type": "default"} for none')


def write(config: ModelConfig) -> dict[str, Any]:
    """The parts of `read`; its code wants a window even if no layer has one."""
    moe, data = writing.experts(config), writing.write_model(config)
    data |= writing.write_experts(config, "num_local_experts", "intermediate_size")
    del data["norm_topk_prob"]
    return data | {
        "attention_bias": writing.heads(config).qkv_bias,
        "layer_types": writing.layer_types(config),
        "sliding_window": writing.window_of(config) or config.max_length,
        "swiglu_alpha": moe.activation_alpha,
        "swiglu_limit": moe.activation_limit,
    }


def _gate_up(name: str) -> Row:
    """Gates and up-projections of all experts, taking turns along the last axis."""
    ours = f"{FF}.experts.{name}"
    return Row(((ours, "gates"), (ours, "ups")), interleaved=True)


FAMILY = BuiltFamily(
    "gpt_oss",
    ("GptOssForCausalLM",),
    read,
    write,
    STEM
    | HEADS
    | same(MLP, FF, {".router.weight": ".router.weight", ".router.bias": ".router.bias"})
    | same(MLP, FF, {".experts.down_proj_bias": ".experts.down_bias"})
    | {
        f"{MLP}.experts.gate_up_proj": _gate_up("gate_up"),
        f"{MLP}.experts.gate_up_proj_bias": _gate_up("gate_up_bias"),
        f"{MLP}.experts.down_proj": Row(((f"{FF}.experts.down", "turned"),)),
    },
    sparse=True,
)
