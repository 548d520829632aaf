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

    A file of another architecture is a draft, a classifier or a part, and is refused.
    """

    model_type: str  # its name in config.json
    architectures: tuple[str, ...]  # the class names of its whole models; we write the first
    read: Callable[[Fields], ModelConfig | Shapes]  # Shapes where no ModelConfig can say it
    aliases: tuple[str, ...] = field(default=(), kw_only=True)  # other values of model_type


@dataclass(frozen=True)
class BuiltFamily(Family):
    """A family that our model computes."""

    read: Callable[[Fields], ModelConfig]
    write: Callable[[ModelConfig], dict[str, Any]]  # fields of config.json that `read` understands
    rows: Rows  # the tensors of its checkpoints
    attention: type[AttentionConfig] | type[LatentAttentionConfig] = AttentionConfig
    sparse: bool = False  # its models have experts
    optional_prefix: str = ""  # what the tensors' names begin with in some of its files only
