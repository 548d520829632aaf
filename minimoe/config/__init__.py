"""Frozen configurations, checked when they are built.

A value that is out of its range or contradicts another one raises InputError.
"""

from minimoe.config.layers import AttentionConfig, LatentAttentionConfig, MoEConfig, RopeConfig
from minimoe.config.model import ModelConfig, model_config_from
from minimoe.config.presets import PRESETS, RECIPES, Recipe, dense, moe, preset
from minimoe.config.training import TrainConfig, train_config_from
from minimoe.errors import InputError
