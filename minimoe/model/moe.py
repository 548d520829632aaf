"""The Mixture-of-Experts layer: route, dispatch, compute, combine, add the shared experts."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe import fast
from minimoe.config import MoEConfig
from minimoe.model.dispatch import combine, dispatch, plan_dispatch
from minimoe.model.experts import Experts
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.parameters import initialize_, matrix, shapes
from minimoe.model.routing import Router, Routing, RoutingRule


class MoE(nn.Module):
    """A Mixture-of-Experts layer that returns what it decided.

    y = sum over the K chosen experts of weight * expert(x), plus the shared experts
    (arXiv 2401.06066, equations 9 to 11; the residual connection is the block's).

    Args:
        seed: of the initial weights.
        rule: how the router chooses; None = `minimoe.model.routing.route`.
    """

    def __init__(self, config: MoEConfig, seed: int = 0, rule: RoutingRule | None = None) -> None:
        super().__init__()
        self.config = config
        self.router = Router(config, rule)
        self.experts = Experts(config)
        width = config.shared_width
        self.shared = SwiGLU(config.d_model, width) if width else None
        self.shared_gate = matrix(1, config.d_model, spread=0.02) if config.gate_shared else None
        initialize_(self, seed)

    extra_repr = shapes

    def forward(
        self, x: Float[Tensor, "T D"], noise_seed: int | torch.Generator | None = None
    ) -> tuple[Float[Tensor, "T D"], Routing]:
        """Send each token through its experts.

        Args:
            x: T token vectors.
            noise_seed: of the router's noise; None, as in evaluation, adds none.

        Returns:
            y: what the experts add, same shape as x; exactly 0 for a token whose every assignment
                was dropped, if there is no shared expert.
            routing: what the router decided.
        """
        routing = self.router(x, noise_seed)
        if self.config.plain_experts and fast.allowed(x):
            y = fast.mixture(x, self.experts, routing)  # the four lines below, on all cores
        else:
            plan = plan_dispatch(routing)
            rows = dispatch(x, plan)
            outs = self.experts(rows, plan)
            y = combine(outs, plan, routing.weights)
        if self.shared is not None:
            shared = self.shared(x)
            if self.shared_gate is not None:
                shared = torch.sigmoid(nn.functional.linear(x, self.shared_gate)) * shared
            y = y + shared
        return y, routing
