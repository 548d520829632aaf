"""minimoe: a small, exact, fast Mixture-of-Experts transformer to learn from."""

import os
import sys

# How long a thread spins before it sleeps while it waits for the others. Beside another busy
# program, spinning as long as is usual made a training step several times slower; without any
# spinning each small operation waits for a wake-up. OpenMP reads this once, when torch is loaded:
# if torch came first, `minimoe.fast.cores` finds it unset and makes its threads stop spinning.
if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from minimoe.config import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
    TrainConfig,
)
from minimoe.model.generation import generate
from minimoe.model.moe import MoE
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
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
