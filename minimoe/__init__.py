"""minimoe: a small, exact, fast Mixture-of-Experts transformer to learn from."""

import os

# Threads that wait for each other must sleep, not spin: beside another busy program, spinning made
# a training step up to ten times slower. OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from minimoe.config import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
    TrainConfig,
)
from minimoe.model.moe import MoE
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer, generate
from minimoe.zoo.weights import load_pretrained, save_pretrained

__version__ = "0.1.0"

__all__ = [
    "AttentionConfig",
    "InputError",
    "LatentAttentionConfig",
    "MoE",
    "MoEConfig",
    "ModelConfig",
    "RopeConfig",
    "Routing",
    "TrainConfig",
    "Transformer",
    "__version__",
    "generate",
    "load_pretrained",
    "save_pretrained",
]
