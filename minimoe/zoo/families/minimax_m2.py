"""MiniMax-M2."""

from minimoe.zoo.counting import Shapes, plain_shapes
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts


def read(f: Fields) -> Shapes:
    """Queries and keys normed over all heads at once; half of each head turns."""
    f.must_be("use_qk_norm", True)
    f.must_be("shared_intermediate_size", 0)
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    return plain_shapes(language_model(f, grouped_query(f, qk_norm="all_heads"), moe=moe))


FAMILY = CountedFamily(model_type="minimax_m2", architectures=("MiniMaxM2ForCausalLM",), read=read)
