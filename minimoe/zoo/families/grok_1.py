"""Grok-1."""

from minimoe.zoo.counting import Shapes, Weight, plain_shapes
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts


def read(f: Fields) -> Shapes:
    """Attention and experts are normed on their way out, too."""
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    model = language_model(f, grouped_query(f), moe=moe)
    after = Weight("norms", "after attention, after experts", (model.d_model,), 2 * model.n_layers)
    return plain_shapes(model, (after,))


FAMILY = CountedFamily(
    model_type="grok-1", architectures=("Grok1ForCausalLM", "Grok1ModelForCausalLM"), read=read
)
