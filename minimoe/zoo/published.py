"""Published models beside their authors' figures, and the count of anything with a name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minimoe.config import PRESETS, ModelConfig, preset
from minimoe.errors import InputError
from minimoe.zoo.configs import hub_shapes, read_hub_config
from minimoe.zoo.counting import (
    ACTIVE,
    CACHE_BITS,
    WEIGHT_BITS,
    ModelCount,
    count_shapes,
    model_count,
    shapes_of,
)
from minimoe.zoo.records import (
    PublishedFigure,
    PublishedModel,
    near_names,
    published_model,
    published_models,
    published_names,
)

__all__ = [
    "ACTIVE",
    "CACHE_BITS",
    "WEIGHT_BITS",
    "Comparison",
    "ModelCount",
    "NamedCount",
    "PublishedFigure",
    "PublishedModel",
    "count_named",
    "hub_shapes",
    "model_count",
    "published_model",
    "published_models",
    "published_names",
]

DEFAULT_LENGTH = 4096  # positions for the FLOPs of a published model, unless it reads fewer
PRESET_LENGTH = 128


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


@dataclass(frozen=True)
class NamedCount:
    """A count, the name it was asked by, and the published model if it is one.

    Attributes:
        name: a preset, a published model or a path.
        count: the count.
        published: the published model of that name.
        assumptions: what was assumed for fields that config.json lacks, by field.
    """

    name: str
    count: ModelCount
    published: PublishedModel | None = None
    assumptions: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> Comparison | None:
        """The published total beside the counted one."""
        if self.published is None:
            return None
        figure = self.published.total
        return Comparison(figure, self.count.total_under(figure.convention))

    @property
    def active(self) -> Comparison | None:
        """The published active parameters beside the counted ones."""
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
        """Everything that is known of it, for a program to read."""
        count = self.count
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
            "published": self._published_as_json(),
        }

    def _published_as_json(self) -> dict[str, Any] | None:
        model = self.published
        if model is None:
            return None
        return {
            "name": model.name,
            "total": _comparison_as_json(self.total),
            "active": _comparison_as_json(self.active),
            "also": list(model.also),
            "agrees": self.agrees,
            "explanation": model.explanation,
            "source": model.published_source,
            "config_source": model.source,
            "from_memory": list(model.from_memory),
            "notes": list(model.notes),
            "equals_stored_count": self.equals_stored_count,
        }


def _comparison_as_json(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return {
        "printed": comparison.figure.printed,
        "convention": comparison.figure.convention,
        "counted": comparison.counted,
        "difference": comparison.counted - comparison.figure.value,
        "relative_difference": comparison.relative_difference,
        "agrees": comparison.agrees,
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
        shapes = shapes_of(model)
        if length is None:
            usual = PRESET_LENGTH if name in PRESETS else DEFAULT_LENGTH
            length, cut = usual, True
        if cut:
            length = min(length, shapes.model.max_length)
        return NamedCount(name, count_shapes(shapes, length), published, dict(shapes.assumed))
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
        f"{near_names(name, (*PRESETS, *published_names()))}; the path of a config.json works too"
    )
