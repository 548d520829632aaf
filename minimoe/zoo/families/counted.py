"""Families that are counted, but not computed: Arctic, GLM-4.5, Grok-1, Hunyuan and MiniMax."""

from minimoe.config import AttentionConfig, ModelConfig
from minimoe.zoo.counting import Shapes, Weight, plain_shapes
from minimoe.zoo.family import Family
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import (
    grouped_query,
    language_model,
    leading_dense,
    routed_experts,
    shared_experts,
)

MINIMAX_KINDS = ("linear_attention", "full_attention")


def read_arctic(f: Fields) -> Shapes:
    """Every layer has a dense part as wide as the model, and experts with a norm of their own."""
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    model = language_model(f, grouped_query(f), moe=moe)
    d_model, n_layers = model.d_model, model.n_layers
    extra = (
        Weight("dense", "gate, up and down of the dense layer", (d_model, d_model), 3 * n_layers),
        Weight("norms", "before the experts", (d_model,), n_layers),
    )
    return plain_shapes(model, extra)


def read_glm4_moe(f: Fields) -> ModelConfig:
    """Grouped queries with biases, norms of queries and keys, and DeepSeek-V3's experts.

    Only half of each head turns with the position, which our attention does not do
    (arXiv 2508.06471).
    """
    bias = f.flag("attention_bias", absent=False)
    attention = grouped_query(f, qkv_bias=bias, qk_norm=_qk_norm(f))
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=1))
    return language_model(f, attention, moe=moe, **leading_dense(f))


def _qk_norm(f: Fields) -> str:
    return "head" if f.flag("use_qk_norm", absent=False) else "none"


def read_grok_1(f: Fields) -> Shapes:
    """Attention and experts are normed on their way out, too."""
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    model = language_model(f, grouped_query(f), moe=moe)
    after = Weight("norms", "after attention, after experts", (model.d_model,), 2 * model.n_layers)
    return plain_shapes(model, (after,))


def read_hunyuan(f: Fields) -> Shapes:
    """Every cla_share_factor-th layer projects keys and values; the layers after it share them.

    That is cross-layer attention (arXiv 2405.12981). Queries and keys are normed in each layer
    (arXiv 2411.02265).
    """
    moe = routed_experts(
        f,
        width="intermediate_size",
        top_k="moe_topk",
        normalize_weights=True,
        n_shared_experts=shared_experts(f, absent=1),
    )
    attention = grouped_query(f, qk_norm=_qk_norm(f))
    model = language_model(f, attention, moe=moe)
    share = f.integer("cla_share_factor") if f.flag("use_cla", absent=False) else 1
    n_projecting = -(-model.n_layers // share)
    return Shapes(
        model=model,
        attention=_softmax_attention(attention, model.n_layers, n_projecting),
        cache_elements=2 * attention.n_kv_heads * attention.d_head * n_projecting,
        softmax_layers=model.n_layers,
    )


def _softmax_attention(
    attention: AttentionConfig, n_layers: int, n_projecting: int
) -> tuple[Weight, ...]:
    """Only n_projecting layers have keys and values of their own."""
    d_model, heads = attention.d_model, attention.n_heads * attention.d_head
    kv_heads = attention.n_kv_heads * attention.d_head
    return (
        Weight("attention", "queries", (heads, d_model), n_layers),
        Weight("attention", "keys, values", (kv_heads, d_model), 2 * n_projecting),
        Weight("attention", "output", (d_model, heads), n_layers),
    )


def read_minimax(f: Fields) -> Shapes:
    """Seven of eight layers lightning (linear) attention, the others softmax attention.

    Lightning attention has as many key and value heads as query heads, and a norm and a gate on
    its output (MiniMax-Text-01, arXiv 2501.08313; MiniMax-M1, arXiv 2506.13585).
    """
    f.must_be("shared_intermediate_size", 0)
    attention = grouped_query(f)
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    model = language_model(f, attention, moe=moe)
    n_softmax = _minimax_kinds(f).count("full_attention")
    n_linear, heads = model.n_layers - n_softmax, attention.n_heads * attention.d_head
    matrix = (heads, model.d_model)
    lightning = (
        Weight("attention", "lightning: queries, keys, values, gates", matrix, 4 * n_linear),
        Weight("attention", "lightning: output", matrix[::-1], n_linear),
    )
    return Shapes(
        model=model,
        attention=_softmax_attention(attention, n_softmax, n_softmax) + lightning,
        extra=(Weight("norms", "lightning: output", (heads,), n_linear),),
        cache_elements=2 * attention.n_kv_heads * attention.d_head * n_softmax,
        softmax_layers=n_softmax,
        not_counted=f"the {n_linear} lightning attention layers' recurrence",
    )


def _minimax_kinds(f: Fields) -> list[str]:
    """The attention of each layer, in the spelling of its authors or of transformers."""
    if f.has("attn_type_list"):
        return [MINIMAX_KINDS[kind] for kind in f.kinds("attn_type_list", (0, 1))]
    return f.kinds("layer_types", MINIMAX_KINDS)


def read_minimax_m2(f: Fields) -> ModelConfig:
    """Queries and keys normed over all heads at once; half of each head turns."""
    f.must_be("use_qk_norm", True)
    f.must_be("shared_intermediate_size", 0)
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    return language_model(f, grouped_query(f, qk_norm="all_heads"), moe=moe)


ARCTIC = Family("arctic", ("ArcticForCausalLM",), read_arctic)
GLM4_MOE = Family("glm4_moe", ("Glm4MoeForCausalLM",), read_glm4_moe)
GROK_1 = Family("grok-1", ("Grok1ForCausalLM", "Grok1ModelForCausalLM"), read_grok_1)
HUNYUAN = Family("hunyuan", ("HunYuanForCausalLM",), read_hunyuan)
MINIMAX = Family(
    "minimax",
    ("MiniMaxForCausalLM", "MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM"),
    read_minimax,
    aliases=("minimax_text_01", "minimax_m1"),
)
MINIMAX_M2 = Family("minimax_m2", ("MiniMaxM2ForCausalLM",), read_minimax_m2)
