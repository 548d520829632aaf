"""GLM-4.5 (arXiv 2508.06471)."""

from minimoe.zoo.counting import Shapes, plain_shapes
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import (
    grouped_query,
    language_model,
    leading_dense,
    routed_experts,
    shared_experts,
)


def read(f: Fields) -> Shapes:
    """Grouped queries with biases, norms of queries and keys, and DeepSeek-V3's experts.

    Only half of each head turns with the position, which our attention does not do.
    """
    attention = grouped_query(
        f,
        qkv_bias=f.flag("attention_bias", absent=False),
        qk_norm="head" if f.flag("use_qk_norm", absent=False) else "none",
    )
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=1))
    return plain_shapes(language_model(f, attention, moe=moe, **leading_dense(f)))


FAMILY = CountedFamily(model_type="glm4_moe", architectures=("Glm4MoeForCausalLM",), read=read)
