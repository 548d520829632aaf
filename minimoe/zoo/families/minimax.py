"""MiniMax-Text-01 and MiniMax-M1 (arXiv 2501.08313, 2506.13585)."""

from minimoe.zoo.counting import Shapes, Weight
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts

KINDS = ("linear_attention", "full_attention")


def read(f: Fields) -> Shapes:
    """Seven of eight layers lightning (linear) attention, the others softmax attention.

    Lightning attention has as many key and value heads as query heads, and a norm and a gate on
    its output.
    """
    f.must_be("shared_intermediate_size", 0)
    attention = grouped_query(f)
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    model = language_model(f, attention, moe=moe)
    n_softmax = _kinds(f).count("full_attention")
    n_linear, d_model = model.n_layers - n_softmax, model.d_model
    heads = attention.n_heads * attention.d_head
    kv_heads = attention.n_kv_heads * attention.d_head
    weights = (
        Weight("attention", "queries", (heads, d_model), n_softmax),
        Weight("attention", "keys, values", (kv_heads, d_model), 2 * n_softmax),
        Weight("attention", "output", (d_model, heads), n_softmax),
        Weight("attention", "lightning: queries, keys, values, gates", (heads, d_model),
               4 * n_linear),
        Weight("attention", "lightning: output", (d_model, heads), n_linear),
    )  # fmt: skip
    return Shapes(
        model=model,
        attention=weights,
        extra=(Weight("norms", "lightning: output", (heads,), n_linear),),
        cache_elements=2 * kv_heads * n_softmax,
        softmax_layers=n_softmax,
        not_counted=f"the {n_linear} lightning attention layers' recurrence",
    )


def _kinds(f: Fields) -> list[str]:
    """The attention of each layer, in the spelling of its authors or of transformers."""
    if f.has("attn_type_list"):
        return [KINDS[kind] for kind in f.kinds("attn_type_list", (0, 1))]
    return f.kinds("layer_types", KINDS)


FAMILY = CountedFamily(
    model_type="minimax",
    architectures=("MiniMaxForCausalLM", "MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM"),
    aliases=("minimax_text_01", "minimax_m1"),
    read=read,
)
