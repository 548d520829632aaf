"""What do published models count, and is it what their authors say?"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from minimoe.config import PRESETS, InputError, ModelConfig, preset
from minimoe.formulas.flops import count_flops
from minimoe.formulas.memory import weight_bytes
from minimoe.formulas.parameters import count_parameters
from minimoe.zoo.configs import ALIASES, FAMILIES, model_config_from_hub, read_hub_config
from minimoe.zoo.other_shapes import OTHER_FAMILIES, Shapes, other_shapes, plain_shapes

MODELS = Path(__file__).parent / "models"
DEFAULT_LENGTH = 4096  # positions for the FLOPs of a published model, unless it reads fewer
PRESET_LENGTH = 128
CACHE_BITS = 16
WEIGHT_BITS = (16, 8, 4)
UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}

Convention = Literal[
    "with_embeddings",
    "without_input_embedding",
    "without_embeddings",
    "without_embeddings_with_mtp",
]
ACTIVE: tuple[Convention, ...] = (
    "with_embeddings",
    "without_input_embedding",
    "without_embeddings",
)


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
        """All parameters."""
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


@dataclass(frozen=True)
class NamedCount:
    """A count, the name it was asked by, and the published model if it is one."""

    name: str
    count: ModelCount
    published: PublishedModel | None = None

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
        raise InputError(f"there is no published model {name!r}; {_near(name, published_names())}")
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


def _near(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    return f"near it: {', '.join(near)}" if near else "minimoe count --all lists them"


def hub_shapes(config: Mapping[str, Any]) -> Shapes:
    """The shapes of the model that a config.json describes.

    Args:
        config: config.json, parsed; of a family that we can build, or of one that we only count.

    Raises:
        InputError: an unknown model_type, or a field that is missing or out of range.
    """
    family = config.get("model_type")
    if family in tuple(OTHER_FAMILIES):
        return other_shapes(config)
    if family in (*FAMILIES, *ALIASES):
        return plain_shapes(model_config_from_hub(config))
    known = ", ".join((*FAMILIES, *ALIASES, *OTHER_FAMILIES))
    raise InputError(f"model_type must be one of {known}, got {family!r}")


def model_count(model: ModelConfig | Mapping[str, Any], length: int) -> ModelCount:
    """Count a model: parameters, cache, FLOPs.

    Args:
        model: its configuration, ours or a parsed config.json.
        length: positions of the sequence whose FLOPs are counted, 1 to those the model reads.

    Returns:
        The count. Mixtral 8x7B has 46,702,792,704 parameters, of which 12,879,925,248 are active
        with its embeddings, and keeps 65,536 elements a token.

    Raises:
        InputError: length is out of range, or config.json says nothing that we can count.
    """
    return _count(_shapes(model), length)


def _shapes(model: ModelConfig | Mapping[str, Any]) -> Shapes:
    return plain_shapes(model) if isinstance(model, ModelConfig) else hub_shapes(model)


def _count(shapes: Shapes, length: int) -> ModelCount:
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
        active_parameters={
            "with_embeddings": count.active_with_embeddings + added,
            "without_input_embedding": count.active_without_input_embedding + added,
            "without_embeddings": count.active_without_embeddings + added,
        },
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
        shapes = _shapes(model)
        if length is None:
            usual = PRESET_LENGTH if name in PRESETS else DEFAULT_LENGTH
            length, cut = usual, True
        if cut:
            length = min(length, shapes.model.max_length)
        return NamedCount(name, _count(shapes, length), published)
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
        f"{_near(name, (*PRESETS, *published_names()))}; the path of a config.json works too"
    )
