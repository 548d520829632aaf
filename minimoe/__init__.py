"""minimoe: a small, exact, fast Mixture-of-Experts transformer to learn from."""

from minimoe.config import (
    AttentionConfig,
    InputError,
    ModelConfig,
    MoEConfig,
    TrainConfig,
)
from minimoe.model.moe import MoE
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer, generate

__version__ = "0.1.0"

__all__ = [
    "AttentionConfig",
    "InputError",
    "MoE",
    "MoEConfig",
    "ModelConfig",
    "Routing",
    "TrainConfig",
    "Transformer",
    "__version__",
    "generate",
]
