"""One family of the hub: what the package knows of one model_type."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig
from minimoe.zoo.counting import Shapes
from minimoe.zoo.fields import Fields
from minimoe.zoo.rows import Rows


@dataclass(frozen=True)
class Family:
    """A family whose models can be counted.

    Attributes:
        model_type: its name in config.json.
        architectures: the class names of its whole models, as config.json has them; we write the
            first. A file with another one is a draft, a classifier or a part, and is refused.
        read: the model that a config.json describes, as Shapes where we cannot express it.
        aliases: other values of model_type that mean the same fields.
    """

    model_type: str
    architectures: tuple[str, ...]
    read: Callable[[Fields], ModelConfig | Shapes]
    aliases: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class BuiltFamily(Family):
    """A family that our model computes.

    Attributes:
        read: the configuration that a config.json describes.
        write: the fields of config.json that describe a configuration; `read` understands them.
        rows: the tensors of its checkpoints.
        attention: the kind of attention that its models have.
        sparse: its models have experts.
        optional_prefix: what the tensors' names begin with in some of its files only.
    """

    read: Callable[[Fields], ModelConfig]
    write: Callable[[ModelConfig], dict[str, Any]]
    rows: Rows
    attention: type[AttentionConfig] | type[LatentAttentionConfig] = AttentionConfig
    sparse: bool = False
    optional_prefix: str = ""
