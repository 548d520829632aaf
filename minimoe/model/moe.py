"""What does a Mixture-of-Experts layer do? Route, dispatch, compute, combine, add the shared."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import MoEConfig
from minimoe.model.experts import Experts, SwiGLU
from minimoe.model.init import initialize_, parameter_if
from minimoe.model.routing import Router, Routing


class MoE(nn.Module):
    """A Mixture-of-Experts layer that returns what it decided.

    y = sum over the K chosen experts of weight * expert(x), plus the shared experts
    (arXiv 2401.06066, equations 3 to 5; the residual connection is the block's). The shared experts
    are a plain SwiGLU without biases, whatever the routed ones are.

    Args:
        config: sizes and rules.
        seed: of the initial weights.
    """

    def __init__(self, config: MoEConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.router = Router(config)
        self.experts = Experts(config)
        width = config.shared_width
        self.shared = SwiGLU(config.d_model, width) if width else None
        self.shared_gate = parameter_if(config.gate_shared, 1, config.d_model)
        initialize_(self, seed)

    def forward(
        self, x: Float[Tensor, "T D"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "T D"], Routing]:
        """Send each token through its experts.

        Args:
            x: T token vectors.
            generator: of the router's noise; None, as in evaluation, adds none.

        Returns:
            y: what the experts add, same shape as x; exactly 0 for a token whose every assignment
                was dropped, if there is no shared expert.
            routing: what the router decided.
        """
        routing = self.router(x, generator)
        y = self.experts(x, routing)
        if self.shared is None:
            return y, routing
        shared = self.shared(x)
        if self.shared_gate is not None:
            shared = torch.sigmoid(nn.functional.linear(x, self.shared_gate)) * shared
        return y + shared, routing
