"""Published models beside their authors' figures, and the count of anything with a name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minimoe.config import PRESETS, ModelConfig, preset
from minimoe.errors import InputError
from minimoe.zoo.configs import hub_shapes, read_hub_config
from minimoe.zoo.counting import Convention, ModelCount, count_shapes, plain_shapes

MODELS = Path(__file__).parent / "models"
UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}
DEFAULT_LENGTH = 4096  # positions for the FLOPs of a published model, unless it reads fewer
PRESET_LENGTH = 128


@dataclass(frozen=True)
class PublishedFigure:
    """A number of parameters as its authors print it."""

    printed: str  # digits and a unit, such as "46.7B"
    convention: Convention  # what they count

    @property
    def value(self) -> int:
        """Parameters; `PublishedFigure("46.7B", "with_embeddings").value == 46_700_000_000`."""
        return round(float(self.printed[:-1]) * UNITS[self.printed[-1]])

    @property
    def step(self) -> int:
        """What the last printed digit stands for: 100,000,000 in "46.7B"."""
        decimals = len(self.printed[:-1].partition(".")[2])
        return UNITS[self.printed[-1]] // 10**decimals


@dataclass(frozen=True)
class StoredCount:
    """What the count must be: it was made in another way."""

    total: int
    active: dict[str, int]  # by convention
    kv_cache_elements_per_token: int | None  # None = no fixed number
    method: str  # how they were counted
    mtp_module: int | None = None  # the layer that predicts the token after the next, if counted


@dataclass(frozen=True)
class PublishedModel:
    """A model that others published, from a file in `models`."""

    id: str  # the name that `published_model` knows it by
    name: str  # its authors' name
    kind: str  # "moe" or "dense"
    context: str  # positions it was published for, in the source's words
    attention: str  # in a few words
    config: dict[str, Any]  # its config.json, as far as it matters here
    total: PublishedFigure
    active: PublishedFigure | None  # None if its authors give none
    also: list[str]  # other figures that they or others printed
    published_source: str  # where the figures stand
    counted: StoredCount
    explanation: str | None  # why a published figure disagrees with the count; None if they agree
    source: str  # where the configuration is from
    from_memory: list[str]  # fields that were not seen in a source
    notes: list[str]  # what else a reader should know


def published_names() -> tuple[str, ...]:
    """The names of all published models, in alphabetical order; 31 of them."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.json")))


def published_models() -> tuple[PublishedModel, ...]:
    """All published models, the largest first; 31, from DeepSeek-V4-Pro to GPT-2."""
    models = [published_model(name) for name in published_names()]
    return tuple(sorted(models, key=lambda model: (-model.counted.total, model.id)))


def published_model(name: str) -> PublishedModel:
    """The published model of that name, such as "deepseek-v3"; others raise InputError."""
    if name not in published_names():
        raise InputError(
            f"there is no published model {name!r}; {_near_names(name, published_names())}"
        )
    data: dict[str, Any] = json.loads((MODELS / f"{name}.json").read_text(encoding="utf-8"))
    published, counted = data.pop("published"), data.pop("counted")
    return PublishedModel(
        **data,
        total=PublishedFigure(**published["total"]),
        active=PublishedFigure(**published["active"]) if published["active"] else None,
        also=published["also"],
        published_source=published["source"],
        counted=StoredCount(**counted),
    )


def _near_names(name: str, names: Sequence[str]) -> str:
    """Advice for an unknown name: the names that are spelt much alike."""
    import difflib  # only a wrong name needs it

    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    return f"near it: {', '.join(near)}" if near else "minimoe count --all lists them"


@dataclass(frozen=True)
class Comparison:
    """A published figure beside our count under the same convention."""

    figure: PublishedFigure
    counted: int

    @property
    def agrees(self) -> bool:
        """The count lies within half of the figure's last digit."""
        return 2 * abs(self.counted - self.figure.value) <= self.figure.step

    @property
    def relative_difference(self) -> float:
        """By how much the count exceeds the figure, as a share of the figure."""
        return (self.counted - self.figure.value) / self.figure.value

    def as_json(self) -> dict[str, Any]:
        return {
            "printed": self.figure.printed,
            "convention": self.figure.convention,
            "counted": self.counted,
            "difference": self.counted - self.figure.value,
            "relative_difference": self.relative_difference,
            "agrees": self.agrees,
        }


@dataclass(frozen=True)
class NamedCount:
    """A count, the name it was asked by, and the published model if it is one.

    `assumptions` holds what was assumed for fields that config.json lacks, by field.
    """

    name: str
    count: ModelCount
    published: PublishedModel | None = None
    assumptions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> Comparison | None:
        if self.published is None:
            return None
        figure = self.published.total
        return Comparison(figure, self.count.total_under(figure.convention))

    @property
    def active(self) -> Comparison | None:
        if self.published is None or self.published.active is None:
            return None
        figure = self.published.active
        return Comparison(figure, self.count.active_parameters[figure.convention])

    @property
    def agrees(self) -> bool:
        """Every published figure agrees with the count."""
        return all(c.agrees for c in (self.total, self.active) if c is not None)

    @property
    def equals_stored_count(self) -> bool:
        """The count is the stored one, to the parameter."""
        assert self.published is not None
        stored, count = self.published.counted, self.count
        return (
            stored.total == count.total
            and stored.active == count.active_parameters
            and stored.kv_cache_elements_per_token == count.cache_elements_per_token
            and stored.mtp_module in (None, count.mtp_module)
        )

    def as_json(self) -> dict[str, Any]:
        count, model = self.count, self.published
        return {
            "model": self.name,
            "total_parameters": count.total,
            "active_parameters": count.active_parameters,
            "parameters_by_place": count.parameters_by_place,
            "kv_cache_elements_per_token": count.cache_elements_per_token,
            "kv_cache_bytes_per_token": count.cache_bytes_per_token,
            "length": count.length,
            "flops_per_token": count.flops_per_token,
            "training_flops_per_token": count.training_flops_per_token,
            "flops_not_counted": count.flops_not_counted,
            "weight_bytes": {str(bits): n for bits, n in count.weight_bytes.items()},
            "assumptions": self.assumptions,
            "published": None
            if model is None
            else {
                "name": model.name,
                "total": self.total and self.total.as_json(),
                "active": self.active and self.active.as_json(),
                "also": model.also,
                "agrees": self.agrees,
                "explanation": model.explanation,
                "source": model.published_source,
                "config_source": model.source,
                "from_memory": model.from_memory,
                "notes": model.notes,
                "equals_stored_count": self.equals_stored_count,
            },
        }


def count_named(name: str, length: int | None = None, cut: bool = False) -> NamedCount:
    """Count what a name stands for.

    Args:
        name: a preset, a published model, or the path of a config.json or of its directory.
        length: positions of the sequence whose FLOPs are counted; None = 128 for a preset,
            otherwise 4096, or as many as the model reads if that is less.
        cut: a length beyond what the model reads is cut to that, not refused.

    Raises:
        InputError: the name stands for nothing, or nothing that we can count.
    """
    model, published = _named(name)
    try:
        shapes = plain_shapes(model) if isinstance(model, ModelConfig) else hub_shapes(model)
        if length is None:
            length, cut = PRESET_LENGTH if name in PRESETS else DEFAULT_LENGTH, True
        if cut:
            length = min(length, shapes.model.max_length)
        return NamedCount(name, count_shapes(shapes, length), published, shapes.assumed)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _named(name: str) -> tuple[ModelConfig | dict[str, Any], PublishedModel | None]:
    """The configuration that a name stands for, and the published model if it is one."""
    if name in PRESETS:
        return preset(name), None
    if name in published_names():
        published = published_model(name)
        return published.config, published
    if Path(name).exists() or Path(name).name != name or name.endswith(".json"):
        return read_hub_config(name), None
    raise InputError(
        f"there is no preset and no published model {name!r}; "
        f"{_near_names(name, (*PRESETS, *published_names()))}; the path of a config.json works too"
    )
