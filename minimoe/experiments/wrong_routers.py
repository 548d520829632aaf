"""Routers that learn nothing: what an experiment about learned routing must be able to see."""

from torch import Tensor

from minimoe.config import MoEConfig
from minimoe.model.routing import Routing, route


def dead_router(
    logits: Tensor, config: MoEConfig, expert_bias: Tensor | None, noise: Tensor | None
) -> Routing:
    """Send every token to the first K experts with equal weights: a dense layer in disguise."""
    return route(logits * 0, config, expert_bias, noise)


def frozen_router(
    logits: Tensor, config: MoEConfig, expert_bias: Tensor | None, noise: Tensor | None
) -> Routing:
    """Choose by the initial random matrix, which no gradient ever reaches."""
    return route(logits.detach(), config, expert_bias, noise)
