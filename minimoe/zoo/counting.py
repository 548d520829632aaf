"""Shapes of a model's weights, and what is counted from them alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, get_args

from minimoe.config import ModelConfig
from minimoe.errors import InputError
from minimoe.formulas.flops import count_flops
from minimoe.formulas.memory import cache_elements_per_token, weight_bytes
from minimoe.formulas.parameters import count_parameters

CACHE_BITS = 16
WEIGHT_BITS = (16, 8, 4)

Place = Literal["attention", "dense", "norms", "other"]
Convention = Literal[
    "with_embeddings",
    "without_input_embedding",
    "without_embeddings",
    "without_embeddings_with_mtp",
]
ACTIVE: tuple[Convention, ...] = get_args(Convention)[:3]


@dataclass(frozen=True)
class Weight:
    """Weights of one name and shape that our model cannot express.

    Each element of a matrix costs a token 2 FLOPs. Vectors are added or scale, and cost none.
    """

    place: Place  # where they are counted
    name: str
    shape: tuple[int, ...]  # of one copy
    copies: int = 1
    active: bool = True  # a token of text uses it

    @property
    def n_parameters(self) -> int:
        """Elements of all copies; `Weight("other", "w", (3, 5), 2).n_parameters == 30`."""
        return prod(self.shape) * self.copies

    @property
    def flops_per_token(self) -> int:
        """FLOPs of one token's products with them; 60 for `Weight("other", "w", (3, 5), 2)`."""
        return 2 * self.n_parameters if self.active and len(self.shape) > 1 else 0


@dataclass(frozen=True)
class Shapes:
    """The weights of a model, and what its attention keeps and computes."""

    model: ModelConfig  # the model as far as a ModelConfig can say it
    attention: tuple[Weight, ...] | None = None  # where it has others than `model`
    extra: tuple[Weight, ...] = ()  # weights that `model` lacks
    cache_elements: int | None = None  # that one more token adds; None = no fixed number
    softmax_layers: int = 0  # with softmax attention over the whole context; its FLOPs are counted
    not_counted: str | None = None  # the attention whose own FLOPs are not counted
    assumed: Mapping[str, Any] = field(default_factory=dict)  # for absent fields of config.json

    @property
    def weights(self) -> tuple[Weight, ...]:
        return (self.attention or ()) + self.extra


def plain_shapes(model: ModelConfig, extra: tuple[Weight, ...] = ()) -> Shapes:
    """The shapes of a model with our attention in every layer."""
    return Shapes(
        model=model,
        extra=extra,
        cache_elements=cache_elements_per_token(model),
        softmax_layers=model.n_layers,
    )


@dataclass(frozen=True)
class ModelCount:
    """What a model counts, from its configuration alone.

    Attributes:
        parameters_by_place: attention, routed_experts, shared_experts, dense, embeddings (input,
            head and positions), router, norms and other; they sum to the total.
        active_parameters: what one token passes through, under the three conventions of ACTIVE.
        mtp_module: parameters of one more layer that predicts the token after the next, as
            DeepSeek-V3 has it (arXiv 2412.19437, section 2.2): it shares embedding and head.
        cache_elements_per_token: that one more token adds to the KV cache; None = no fixed number.
        flops_per_token, training_flops_per_token: of one token in a sequence of `length`.
        flops_not_counted: the attention whose own FLOPs are missing in them; None if none are.
        length: positions of the sequence.
    """

    parameters_by_place: dict[str, int]
    active_parameters: dict[str, int]
    mtp_module: int
    cache_elements_per_token: int | None
    flops_per_token: int
    training_flops_per_token: int
    flops_not_counted: str | None
    length: int

    @property
    def total(self) -> int:
        return sum(self.parameters_by_place.values())

    @property
    def cache_bytes_per_token(self) -> int | None:
        """Bytes that one more token adds to a KV cache of 16-bit numbers."""
        elements = self.cache_elements_per_token
        return None if elements is None else elements * CACHE_BITS // 8

    @property
    def weight_bytes(self) -> dict[int, int]:
        """Bytes of the weights at 16, 8 and 4 bits each."""
        return {bits: weight_bytes(self.total, bits) for bits in WEIGHT_BITS}

    def total_under(self, convention: Convention) -> int:
        """The total as a convention counts it."""
        active = self.active_parameters
        if convention == "without_embeddings_with_mtp":
            embeddings = active["with_embeddings"] - active["without_embeddings"]
            return self.total - embeddings + self.mtp_module
        return self.total - active["with_embeddings"] + active[convention]


def count_shapes(shapes: Shapes, length: int) -> ModelCount:
    """Count a model from its shapes.

    Args:
        shapes: of `plain_shapes` or `minimoe.zoo.configs.hub_shapes`.
        length: positions of the sequence whose FLOPs are counted, 1 to those the model reads.

    Returns:
        The count. Mixtral 8x7B has 46,702,792,704 parameters, of which 12,879,925,248 are active
        with its embeddings, and keeps 65,536 elements a token.

    Raises:
        InputError: length is out of range.
    """
    model, listed = shapes.model, shapes.weights
    if not 1 <= length <= model.max_length:
        raise InputError(
            f"length must lie in [1, {model.max_length}], the positions that the model reads, "
            f"got {length}"
        )
    count = count_parameters(model)
    others_attention = 0 if shapes.attention is None else count.attention
    places = {
        "attention": count.attention - others_attention,
        "routed_experts": count.routed_experts,
        "shared_experts": count.shared_experts,
        "dense": count.dense,
        "embeddings": count.embedding + count.head + count.positions,
        "router": count.router,
        "norms": count.norms,
        "other": 0,
    }
    for weight in listed:
        places[weight.place] += weight.n_parameters
    added = sum(w.n_parameters for w in listed if w.active) - others_attention
    flops = count_flops(model, length)
    weights = flops.weights // length - 2 * others_attention
    weights += sum(weight.flops_per_token for weight in listed)
    softmax, every = shapes.softmax_layers, model.n_layers * length
    attention, rescored = (n * softmax // every for n in (flops.attention, flops.rescored))
    return ModelCount(
        parameters_by_place=places,
        active_parameters={name: getattr(count, f"active_{name}") + added for name in ACTIVE},
        mtp_module=_mtp_module(model),
        cache_elements_per_token=shapes.cache_elements,
        flops_per_token=weights + attention,
        training_flops_per_token=3 * (weights + attention) + rescored,
        flops_not_counted=shapes.not_counted,
        length=length,
    )


def _mtp_module(model: ModelConfig) -> int:
    """One more layer like the last, a projection of two vectors to one, and three norms."""
    longer = replace(model, n_layers=model.n_layers + 1)
    layer = count_parameters(longer).total - count_parameters(model).total
    return layer + 2 * model.d_model**2 + 3 * model.d_model
