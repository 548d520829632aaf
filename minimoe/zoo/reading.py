"""Parts of a model that many families spell alike in config.json."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig, MoEConfig
from minimoe.config.checks import check_multiple
from minimoe.errors import InputError
from minimoe.zoo.fields import Fields
from minimoe.zoo.rope import read_rope

# Newer versions of transformers may write the number of experts under another family's name.
N_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
N_SHARED = ("n_shared_experts", "num_shared_experts", "num_shared_expert")
USUAL_LENGTH = 4096  # positions, where a file to count does not say
LAYER_TYPES = ("full_attention", "sliding_attention")
# The layers with a sliding window, from the fields and the number of layers; None = those that
# layer_types names.
WindowRule = Callable[[Fields, int], list[int] | None]
Window = tuple[int | None, tuple[int, ...] | None]  # None = no layer has one; None = all have it
NO_WINDOW: Window = (None, None)


def language_model(
    f: Fields,
    attention: AttentionConfig | LatentAttentionConfig,
    windows: WindowRule = lambda f, n_layers: [],
    **more: Any,
) -> ModelConfig:
    """A decoder with this attention; `windows` says which layers have a sliding window.

    `more` are further arguments of ModelConfig; without `moe`, intermediate_size is read.
    """
    f.for_logits(lambda: f.must_be("hidden_act", "silu", required=True), None)
    window, sliding_layers = f.for_logits(lambda: _window(f, windows), NO_WINDOW)
    if window is not None:
        assert isinstance(attention, AttentionConfig)  # latent attention has no rule
        attention = replace(attention, sliding_window=window)
    if "moe" not in more:
        more["d_ff"] = f.integer("intermediate_size")
    return ModelConfig(
        n_layers=f.layers(),
        attention=attention,
        vocab_size=f.integer("vocab_size"),
        max_length=_max_length(f),
        tie_embeddings=f.flag("tie_word_embeddings", absent=False),
        norm_eps=f.for_logits(lambda: f.number("rms_norm_eps"), 1e-6),
        sliding_layers=sliding_layers,
        **more,
    )


def _window(f: Fields, rule: WindowRule) -> Window:
    given: list[int] | None = None
    if f.has("layer_types"):
        types = f.kinds("layer_types", LAYER_TYPES)
        given = [layer for layer, kind in enumerate(types) if kind == "sliding_attention"]
    n_layers = f.layers()
    layers = rule(f, n_layers)
    layers = (given or []) if layers is None else layers
    if given is not None and given != layers:
        raise InputError(
            f"layer_types has sliding_attention in layers {given}, and a {f.family} model with "
            f"these fields has it in {layers}; change one of them"
        )
    if not layers:
        return NO_WINDOW
    return f.integer("sliding_window"), tuple(layers) if len(layers) < n_layers else None


def _max_length(f: Fields) -> int:
    """The positions that a model reads; Llama's first files name them max_sequence_length."""
    if f.has("max_position_embeddings") or not f.counting:
        return f.integer("max_position_embeddings")
    length = f.integer("max_sequence_length") if f.has("max_sequence_length") else USUAL_LENGTH
    return f.assume("max_position_embeddings", length)


def grouped_query(
    f: Fields,
    *,
    n_kv_heads: int | None = None,
    d_head: int | None = None,
    base: float | None = None,
    **more: Any,
) -> AttentionConfig:
    """Grouped-query attention; `more` are further arguments of AttentionConfig.

    None stands for num_key_value_heads, which is required; for head_dim, in whose absence the
    heads share the model's width; and for a `base` (rope_theta) that is required.
    """
    n_heads = f.integer("num_attention_heads")
    if n_kv_heads is None:
        n_kv_heads = f.integer("num_key_value_heads")
    check_multiple("num_attention_heads", n_heads, "num_key_value_heads", n_kv_heads)
    if d_head is None and f.has("head_dim"):
        d_head = f.integer("head_dim")
    elif d_head is None:
        d_head = f.assume("head_dim", f.part("hidden_size", "num_attention_heads"))
    return AttentionConfig(
        d_model=f.integer("hidden_size"),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_head=d_head,
        rope=read_rope(f, base=base),
        **more,
    )


def key_heads(f: Fields) -> int:
    """num_key_value_heads; where it is absent every query head has its own."""
    return f.integer("num_key_value_heads", absent=f.integer("num_attention_heads"))


def biases(f: Fields, *, absent: bool = False) -> dict[str, bool]:
    """attention_bias as arguments of AttentionConfig."""
    bias = f.flag("attention_bias", absent=absent)
    return {"qkv_bias": bias, "o_bias": bias}


def routed_experts(
    f: Fields, *, width: str = "moe_intermediate_size", top_k: str = "num_experts_per_tok",
    **more: Any,
) -> MoEConfig:  # fmt: skip
    """The routed experts; `width` and `top_k` name the fields of d_expert and K.

    `more` are further arguments of MoEConfig; without normalize_weights, norm_topk_prob is read.
    """
    if "normalize_weights" not in more:
        more["normalize_weights"] = f.for_logits(lambda: f.flag("norm_topk_prob"), True)
    n_active = f.integer(top_k)
    return MoEConfig(
        d_model=f.integer("hidden_size"),
        d_expert=f.integer(width),
        n_routed_experts=f.integer(f.named(*N_EXPERTS)),
        top_k=n_active,
        allow_constant_weight=more["normalize_weights"] and n_active == 1,
        **more,
    )


def shared_experts(f: Fields, absent: int) -> int:
    """The number of shared experts: null means none, absence what transformers takes for it."""
    name = f.named(*N_SHARED)
    return f.integer(name, low=0, absent=0 if name in f.data else absent)


def leading_dense(f: Fields) -> dict[str, Any]:
    """The layers that DeepSeek makes dense, and their width, as arguments of ModelConfig."""
    n_layers = f.layers()
    first = f.integer("first_k_dense_replace", 0, n_layers, "num_hidden_layers=")
    step = f.integer("moe_layer_freq", absent=1)
    return dense_layers(f, [n for n in range(n_layers) if n < first or n % step])


def dense_layers(f: Fields, dense: list[int]) -> dict[str, Any]:
    """Dense layers and their width, which a count needs only if there are any."""
    if dense:
        width: int | None = f.integer("intermediate_size")
    else:
        width = f.for_logits(lambda: f.integer("intermediate_size"), None)
    return {"dense_layers": tuple(dense), "d_ff": width}
