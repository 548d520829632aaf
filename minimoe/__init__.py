"""minimoe: a small, exact, fast Mixture-of-Experts transformer to learn from."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from minimoe.config import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
    TrainConfig,
)

# OpenMP reads this once, when torch is loaded: how long a waiting thread spins before it sleeps.
# The usual long spin makes training several times slower beside another busy program. No spin at
# all makes every small operation wait for a wake-up. `minimoe.fast.cores` handles the case that
# torch was loaded first.
if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

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

if TYPE_CHECKING:
    from minimoe.model.generation import generate
    from minimoe.model.moe import MoE
    from minimoe.model.routing import Routing
    from minimoe.model.transformer import Transformer
    from minimoe.zoo.weights import load_pretrained, save_pretrained
else:
    # Loading torch takes seconds, so these names are imported when they are first used (PEP 562).
    _NEEDS_TORCH = {
        "MoE": "minimoe.model.moe",
        "Routing": "minimoe.model.routing",
        "Transformer": "minimoe.model.transformer",
        "generate": "minimoe.model.generation",
        "load_pretrained": "minimoe.zoo.weights",
        "save_pretrained": "minimoe.zoo.weights",
    }

    def __getattr__(name: str) -> object:
        if name not in _NEEDS_TORCH:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_NEEDS_TORCH[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
