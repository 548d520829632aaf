"""Tiny models of every family that our model computes, as the families' own files list them."""

from collections.abc import Mapping
from typing import Any

from minimoe import ModelConfig
from minimoe.zoo.configs import hub_shapes
from minimoe.zoo.counting import ModelCount, count_shapes, plain_shapes
from minimoe.zoo.families import BUILT

FIRST: dict[str, dict[str, Any]] = {name: dict(family.tiny) for name, family in BUILT.items()}
CASES: list[tuple[str, dict[str, Any]]] = [
    (name, dict(changes))
    for name, family in BUILT.items()
    for changes in ({}, *family.variants.values())
]


def tiny(family: str, **changes: Any) -> dict[str, Any]:
    """The config.json of a small model of that family."""
    return {"model_type": family, **FIRST[family], **changes}


def name_of(case: tuple[str, dict[str, Any]]) -> str:
    """A readable name of one of CASES, for pytest."""
    family, changes = case
    variants = BUILT[family].variants
    return f"{family}-{next((name for name in variants if variants[name] == changes), 'plain')}"


def model_count(model: ModelConfig | Mapping[str, Any], length: int) -> ModelCount:
    """The count of our configuration or of a parsed config.json."""
    shapes = plain_shapes(model) if isinstance(model, ModelConfig) else hub_shapes(model)
    return count_shapes(shapes, length)
