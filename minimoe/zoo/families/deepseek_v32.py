"""DeepSeek-V3.2."""

from minimoe.zoo.counting import Shapes, Weight, plain_shapes
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import (
    language_model,
    latent_attention,
    leading_dense,
    routed_experts,
    shared_experts,
)


def read(f: Fields) -> Shapes:
    """DeepSeek-V3, and in every layer an indexer that chooses the positions to read.

    The indexer of DeepSeek-V3.2-Exp has 1536 * 8192 + 7168 * 128 + 7168 * 64 + 2 * 128 =
    13,959,424 parameters in each layer.
    """
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=1))
    model = language_model(f, latent_attention(f), moe=moe, **leading_dense(f))
    n_heads, d_head = f.integer("index_n_heads"), f.integer("index_head_dim")
    q_rank, d_model, n = f.integer("q_lora_rank"), model.d_model, model.n_layers
    indexer = (
        Weight("attention", "indexer's queries", (n_heads * d_head, q_rank), n),
        Weight("attention", "indexer's key, one for all heads", (d_head, d_model), n),
        Weight("attention", "weights of the indexer's heads", (n_heads, d_model), n),
        Weight("norms", "indexer's key: scale and bias", (d_head,), 2 * n),
    )
    cached = plain_shapes(model).cache_elements
    assert cached is not None
    return Shapes(
        model=model,
        extra=indexer,
        cache_elements=cached + n * d_head,
        not_counted="sparse attention over the positions that the indexer chooses",
    )


FAMILY = CountedFamily(
    model_type="deepseek_v32", architectures=("DeepseekV32ForCausalLM",), read=read
)
