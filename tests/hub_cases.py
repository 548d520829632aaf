"""Tiny models of every family that our model computes, as the families' own files list them."""

from copy import deepcopy
from typing import Any

from minimoe.zoo.families import BUILT

FIRST: dict[str, dict[str, Any]] = {name: dict(family.tiny) for name, family in BUILT.items()}
PLAIN: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in FIRST]
CASES = PLAIN + [
    (name, dict(changes)) for name, family in BUILT.items() for changes in family.variants.values()
]


def tiny(family: str, **changes: Any) -> dict[str, Any]:
    """The config.json of a small model of that family."""
    return deepcopy(
        {"model_type": family, **FIRST[family], **changes}
    )  # transformers writes into it


def name_of(case: tuple[str, dict[str, Any]]) -> str:
    """A readable name of one of CASES, for pytest."""
    family, changes = case
    variants = BUILT[family].variants
    return f"{family}-{next((name for name in variants if variants[name] == changes), 'plain')}"
