"""One family of the hub: what the package knows of one model_type."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig
from minimoe.zoo.counting import Shapes, plain_shapes
from minimoe.zoo.fields import Fields
from minimoe.zoo.rows import Rows


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """A family whose models can be counted.

    Attributes:
        model_type: its name in config.json.
        architectures: the class names of its whole models, as config.json has them; we write the
            first. A file with another one is a draft, a classifier or a part, and is refused.
        aliases: other values of model_type that mean the same fields.
    """

    model_type: str
    architectures: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    @abstractmethod
    def shapes(self, f: Fields) -> Shapes:
        """The shapes of the model that a config.json describes."""


@dataclass(frozen=True, kw_only=True)
class CountedFamily(Family):
    """A family that our model cannot express: `read` gives its shapes, not a program."""

    read: Callable[[Fields], Shapes]

    def shapes(self, f: Fields) -> Shapes:
        """The shapes of the model that a config.json describes."""
        return self.read(f)


@dataclass(frozen=True, kw_only=True)
class BuiltFamily(Family):
    """A family that our model computes.

    Attributes:
        read: the configuration that a config.json describes.
        write: the fields of config.json that describe a configuration.
        rows: the tensors of its checkpoints.
        tiny: config.json of a small model, without model_type; the tests compute it here and in
            transformers.
        variants: changes of `tiny`, by what they test; each has something the others lack.
        attention: the kind of attention that its models have.
        sparse: its models have experts.
        optional_prefix: what the tensors' names begin with in some of its files only.
    """

    read: Callable[[Fields], ModelConfig]
    write: Callable[[ModelConfig], dict[str, Any]]
    rows: Rows
    tiny: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attention: type[AttentionConfig] | type[LatentAttentionConfig] = AttentionConfig
    sparse: bool = False
    optional_prefix: str = ""

    def shapes(self, f: Fields) -> Shapes:
        """The shapes of the model that a config.json describes."""
        return plain_shapes(self.read(f))
