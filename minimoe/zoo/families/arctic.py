"""Snowflake Arctic."""

from minimoe.zoo.counting import Shapes, Weight, plain_shapes
from minimoe.zoo.family import CountedFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import grouped_query, language_model, routed_experts


def read(f: Fields) -> Shapes:
    """Every layer has a dense part as wide as the model, and experts with a norm of their own."""
    moe = routed_experts(f, width="intermediate_size", normalize_weights=True)
    model = language_model(f, grouped_query(f), moe=moe)
    d_model, n_layers = model.d_model, model.n_layers
    extra = (
        Weight("dense", "gate, up and down of the dense layer", (d_model, d_model), 3 * n_layers),
        Weight("norms", "before the experts", (d_model,), n_layers),
    )
    return plain_shapes(model, extra)


FAMILY = CountedFamily(model_type="arctic", architectures=("ArcticForCausalLM",), read=read)
