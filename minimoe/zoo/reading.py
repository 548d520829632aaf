"""Parts of a model that many families spell alike in config.json."""

from dataclasses import replace
from typing import Any

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig, MoEConfig
from minimoe.errors import InputError
from minimoe.zoo.fields import Fields
from minimoe.zoo.rope import read_rope

# Newer versions of transformers may write the number of experts under another family's name.
N_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
N_SHARED = ("n_shared_experts", "num_shared_experts", "num_shared_expert")
USUAL_LENGTH = 4096  # positions, where a file to count does not say


def language_model(
    f: Fields, attention: AttentionConfig | LatentAttentionConfig, **more: Any
) -> ModelConfig:
    """A decoder with this attention; `more` are further arguments of ModelConfig."""
    f.for_logits(lambda: f.must_be("hidden_act", "silu", required=True), None)
    return ModelConfig(
        n_layers=f.layers(),
        attention=attention,
        vocab_size=f.integer("vocab_size"),
        max_length=_max_length(f),
        tie_embeddings=f.flag("tie_word_embeddings", absent=False),
        norm_eps=f.for_logits(lambda: f.number("rms_norm_eps"), 1e-6),
        **more,
    )


def _max_length(f: Fields) -> int:
    """The positions that a model reads; Llama's first files name them max_sequence_length."""
    if f.has("max_position_embeddings") or not f.counting:
        return f.integer("max_position_embeddings")
    length = f.integer("max_sequence_length") if f.has("max_sequence_length") else USUAL_LENGTH
    return f.assume("max_position_embeddings", length)


def head_width(f: Fields) -> int:
    """head_dim; where it is absent the heads share the model's width."""
    if f.has("head_dim"):
        return f.integer("head_dim")
    return f.assume("head_dim", f.part("hidden_size", "num_attention_heads"))


def key_heads(f: Fields) -> int:
    """num_key_value_heads; where it is absent every query head has its own."""
    if f.has("num_key_value_heads"):
        return f.integer("num_key_value_heads")
    return f.assume("num_key_value_heads", f.integer("num_attention_heads"))


def grouped_query(f: Fields, *, n_kv_heads: int | None = None, **more: Any) -> AttentionConfig:
    """Grouped-query attention; `more` are further arguments of AttentionConfig.

    Without n_kv_heads the field num_key_value_heads is required.
    """
    if n_kv_heads is None:
        n_kv_heads = f.integer("num_key_value_heads")
    if f.integer("num_attention_heads") % n_kv_heads:
        f.part("num_attention_heads", "num_key_value_heads")
    return AttentionConfig(
        d_model=f.integer("hidden_size"),
        n_heads=f.integer("num_attention_heads"),
        n_kv_heads=n_kv_heads,
        **{"d_head": head_width(f)} | more,
    )


def latent_attention(f: Fields, *, interleaved: bool = True) -> LatentAttentionConfig:
    """DeepSeek's latent attention; q_lora_rank may be null, but not absent."""
    n_heads = f.integer("num_attention_heads")
    if f.has("num_key_value_heads"):  # every head has keys and values of its own
        f.for_logits(lambda: f.must_be("num_key_value_heads", n_heads), None)
    if "q_lora_rank" not in f.data:
        raise InputError("q_lora_rank is missing; add it to the file, null for no query latent")
    return LatentAttentionConfig(
        d_model=f.integer("hidden_size"),
        n_heads=n_heads,
        kv_rank=f.integer("kv_lora_rank"),
        q_rank=f.integer("q_lora_rank") if f.has("q_lora_rank") else None,
        d_nope=f.integer("qk_nope_head_dim"),
        d_rope=f.integer("qk_rope_head_dim"),
        d_value=f.integer("v_head_dim"),
        rope=read_rope(f, interleaved=interleaved),
        bias=f.flag("attention_bias", absent=False),
        norm_eps=1e-6,  # the latents' norms have it whatever rms_norm_eps says
    )


def routed_experts(
    f: Fields, *, width: str = "moe_intermediate_size", top_k: str = "num_experts_per_tok",
    **more: Any,
) -> MoEConfig:  # fmt: skip
    """The routed experts.

    Args:
        f: the file.
        width: the field with the width inside one expert.
        top_k: the field with the experts of a token.
        more: further arguments of MoEConfig; without normalize_weights, norm_topk_prob is read.
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
    dense = tuple(layer for layer in range(n_layers) if layer < first or layer % step)
    return {"dense_layers": dense, "d_ff": dense_width(f, needed=bool(dense))}


def stepped_dense(f: Fields) -> dict[str, Any]:
    """The layers that Qwen makes dense, and their width, as arguments of ModelConfig."""
    n_layers = f.layers()
    step, listed = f.integer("decoder_sparse_step", absent=1), f.get("mlp_only_layers", absent=[])
    if not isinstance(listed, list) or not all(layer in range(n_layers) for layer in listed):
        raise InputError(
            f"mlp_only_layers must hold layers in [0, num_hidden_layers - 1={n_layers - 1}], "
            f"got {listed}"
        )
    dense = tuple(layer for layer in range(n_layers) if layer in listed or (layer + 1) % step)
    return {"dense_layers": dense, "d_ff": dense_width(f, needed=bool(dense))}


def dense_width(f: Fields, *, needed: bool) -> int | None:
    """The width of dense layers; a count needs it only if there are any."""
    if needed:
        return f.integer("intermediate_size")
    return f.for_logits(lambda: f.integer("intermediate_size"), None)


def limited_groups(f: Fields, moe: MoEConfig, n_group_scores: int) -> MoEConfig:
    """DeepSeek's choice of groups before the choice of experts."""
    n_groups = f.integer("n_group")
    if n_groups == 1:
        return moe
    return replace(
        moe,
        n_expert_groups=n_groups,
        n_limited_groups=f.integer("topk_group"),
        n_group_scores=n_group_scores,
    )
