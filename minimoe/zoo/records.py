"""Published models, and the figures that their authors print."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from minimoe.errors import InputError
from minimoe.zoo.counting import Convention

MODELS = Path(__file__).parent / "models"
UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class PublishedFigure:
    """A number of parameters as its authors print it.

    Attributes:
        printed: digits and a unit, such as "46.7B".
        convention: what they count; "without_embeddings_with_mtp" also counts the layer that
            predicts one token further, which the other conventions leave out.
    """

    printed: str
    convention: Convention

    @property
    def value(self) -> int:
        """Parameters; `PublishedFigure("46.7B", "with_embeddings").value == 46_700_000_000`."""
        return int(Decimal(self.printed[:-1]) * UNITS[self.printed[-1]])

    @property
    def step(self) -> int:
        """What the last printed digit stands for: 100,000,000 in "46.7B"."""
        decimals = len(self.printed[:-1].partition(".")[2])
        return UNITS[self.printed[-1]] // 10**decimals


@dataclass(frozen=True)
class StoredCount:
    """What the count must be: it was made in another way.

    Attributes:
        total, active: parameters; active under the three conventions.
        kv_cache_elements_per_token: None = no fixed number.
        method: how they were counted.
        mtp_module: parameters of the layer that predicts the token after the next, if counted.
    """

    total: int
    active: dict[str, int]
    kv_cache_elements_per_token: int | None
    method: str
    mtp_module: int | None = None


@dataclass(frozen=True)
class PublishedModel:
    """A model that others published.

    Attributes:
        id: the name that `published_model` knows it by.
        name: its authors' name.
        kind: "moe" or "dense".
        context: positions it was published for, in the source's words.
        attention: in a few words.
        config: its config.json, as far as it matters here.
        total, active: its authors' figures; active None if they give none.
        also: other figures that they or others printed.
        published_source: where the figures stand.
        counted: the count made in another way.
        explanation: why a published figure disagrees with the count; None if they agree.
        source: where the configuration is from.
        from_memory: fields that were not seen in a source.
        notes: what else a reader should know.
    """

    id: str
    name: str
    kind: str
    context: str
    attention: str
    config: dict[str, Any]
    total: PublishedFigure
    active: PublishedFigure | None
    also: tuple[str, ...]
    published_source: str
    counted: StoredCount
    explanation: str | None
    source: str
    from_memory: tuple[str, ...]
    notes: tuple[str, ...]


def published_names() -> tuple[str, ...]:
    """The names of all published models, in alphabetical order; 31 of them."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.json")))


def published_models() -> tuple[PublishedModel, ...]:
    """All published models, the largest first; 31, from DeepSeek-V4-Pro to GPT-2."""
    models = [published_model(name) for name in published_names()]
    return tuple(sorted(models, key=lambda model: (-model.counted.total, model.id)))


def published_model(name: str) -> PublishedModel:
    """The published model of that name, such as "deepseek-v3".

    Raises:
        InputError: there is none; the message names those whose names are near.
    """
    if name not in published_names():
        raise InputError(
            f"there is no published model {name!r}; {near_names(name, published_names())}"
        )
    data: dict[str, Any] = json.loads((MODELS / f"{name}.json").read_text(encoding="utf-8"))
    published, counted = data.pop("published"), data.pop("counted")
    for tuples in ("from_memory", "notes"):
        data[tuples] = tuple(data[tuples])
    return PublishedModel(
        **data,
        total=PublishedFigure(**published["total"]),
        active=PublishedFigure(**published["active"]) if published["active"] else None,
        also=tuple(published["also"]),
        published_source=published["source"],
        counted=StoredCount(**counted),
    )


def near_names(name: str, names: Sequence[str]) -> str:
    """Advice for an unknown name: the names that are spelt much alike."""
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    return f"near it: {', '.join(near)}" if near else "minimoe count --all lists them"
