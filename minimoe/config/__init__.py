"""Frozen configurations, checked when they are built."""

from minimoe.config.attention import AttentionConfig, LatentAttentionConfig, RopeConfig
from minimoe.config.model import ModelConfig, model_config_from
from minimoe.config.moe_layer import MoEConfig
from minimoe.config.presets import PRESETS, dense, moe, preset
from minimoe.config.recipes import RECIPES, Recipe
from minimoe.config.training import TrainConfig, train_config_from
from minimoe.errors import InputError

__all__ = [
    "PRESETS",
    "RECIPES",
    "AttentionConfig",
    "InputError",
    "LatentAttentionConfig",
    "MoEConfig",
    "ModelConfig",
    "Recipe",
    "RopeConfig",
    "TrainConfig",
    "dense",
    "model_config_from",
    "moe",
    "preset",
    "train_config_from",
]
