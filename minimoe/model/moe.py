"""What does a Mixture-of-Experts layer do? Route, dispatch, compute, combine, add the shared."""

from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import MoEConfig
from minimoe.model.experts import Experts, SwiGLU
from minimoe.model.init import initialize_
from minimoe.model.routing import Router, Routing


class MoE(nn.Module):
    """A Mixture-of-Experts layer that returns what it decided.

    y = sum over the K chosen experts of weight * expert(x), plus the shared experts
    (arXiv 2401.06066, equations 3 to 5; the residual connection is the block's).

    Args:
        config: sizes and rules.
        seed: of the initial weights.
    """

    def __init__(self, config: MoEConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.router = Router(config)
        self.experts = Experts(config)
        n_shared = config.n_shared_experts
        self.shared = SwiGLU(config.d_model, n_shared * config.d_expert) if n_shared else None
        initialize_(self, seed)

    def forward(self, x: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T D"], Routing]:
        """Send each token through its experts.

        Returns:
            y: what the experts add, same shape as x; exactly 0 for a token whose every assignment
                was dropped, if there is no shared expert.
            routing: what the router decided.
        """
        routing = self.router(x)
        y = self.experts(x, routing)
        return (y if self.shared is None else y + self.shared(x)), routing
