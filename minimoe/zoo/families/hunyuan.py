"""Hunyuan-Large (arXiv 2411.02265)."""

from minimoe.zoo.counting import Shapes, Weight
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts, shared_experts


def read(f: Fields) -> Shapes:
    """Every cla_share_factor-th layer projects keys and values; the layers after it share them.

    That is cross-layer attention (arXiv 2405.12981). Queries and keys are normed in each layer.
    """
    moe = routed_experts(
        f,
        width="intermediate_size",
        top_k="moe_topk",
        normalize_weights=True,
        n_shared_experts=shared_experts(f, absent=1),
    )
    norm = "head" if f.flag("use_qk_norm", absent=False) else "none"
    attention = grouped_query(f, qk_norm=norm)
    model = language_model(f, attention, moe=moe)
    share = f.integer("cla_share_factor") if f.flag("use_cla", absent=False) else 1
    n_layers, d_model = model.n_layers, model.d_model
    n_projecting = -(-n_layers // share)
    heads = attention.n_heads * attention.d_head
    kv_heads = attention.n_kv_heads * attention.d_head
    return Shapes(
        model=model,
        attention=(
            Weight("attention", "queries", (heads, d_model), n_layers),
            Weight("attention", "keys, values", (kv_heads, d_model), 2 * n_projecting),
            Weight("attention", "output", (d_model, heads), n_layers),
        ),
        cache_elements=2 * kv_heads * n_projecting,
        softmax_layers=n_layers,
    )


FAMILY = CountedFamily(model_type="hunyuan", architectures=("HunYuanForCausalLM",), read=read)
