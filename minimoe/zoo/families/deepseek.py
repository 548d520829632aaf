"""DeepSeekMoE 16B and 145B (arXiv 2401.06066)."""

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
    """Multi-head attention, and DeepSeek-V2's experts."""
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=0))
    return plain_shapes(language_model(f, grouped_query(f), moe=moe, **leading_dense(f)))


FAMILY = CountedFamily(model_type="deepseek", architectures=("DeepseekForCausalLM",), read=read)
