"""Shapes of weights, including those that our model cannot express."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from minimoe.config import ModelConfig
from minimoe.formulas.memory import cache_elements_per_token

Place = Literal["attention", "dense", "norms", "other"]


@dataclass(frozen=True)
class Weight:
    """Weights of one name and shape.

    Attributes:
        place: where they are counted.
        name: what they are.
        shape: of one of them.
        copies: how many there are.
        multiplied: a token's vector is multiplied by it (2 FLOPs for each of its elements);
            vectors never are, they are added or scale.
        active: a token of text uses it.
    """

    place: Place
    name: str
    shape: tuple[int, ...]
    copies: int = 1
    multiplied: bool = True
    active: bool = True

    @property
    def n_parameters(self) -> int:
        """Elements of all copies; `Weight("other", "w", (3, 5), 2).n_parameters == 30`."""
        return prod(self.shape) * self.copies

    @property
    def flops_per_token(self) -> int:
        """FLOPs of one token's products with them; 60 for `Weight("other", "w", (3, 5), 2)`."""
        used = self.multiplied and self.active and len(self.shape) > 1
        return 2 * self.n_parameters if used else 0


@dataclass(frozen=True)
class Shapes:
    """The weights of a model, and what its attention keeps and computes.

    Attributes:
        model: the model as far as a ModelConfig can say it.
        attention: the weights of its attention, where they are others than `model`'s.
        extra: weights that `model` lacks.
        cache_elements: elements that one more token of context adds to the cache; None if that is
            no fixed number.
        softmax_layers: layers with softmax attention over the whole context; its FLOPs are counted.
        not_counted: the attention whose own FLOPs are not counted; None if there is none.
        assumed: what was assumed for fields that config.json lacks, by field.
    """

    model: ModelConfig
    attention: tuple[Weight, ...] | None = None
    extra: tuple[Weight, ...] = ()
    cache_elements: int | None = None
    softmax_layers: int = 0
    not_counted: str | None = None
    assumed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """All listed weights."""
        return (self.attention or ()) + self.extra


def plain_shapes(model: ModelConfig, extra: tuple[Weight, ...] = ()) -> Shapes:
    """The shapes of a model with our attention in every layer."""
    return Shapes(
        model=model,
        extra=extra,
        cache_elements=cache_elements_per_token(model),
        softmax_layers=model.n_layers,
    )
