"""The routed experts: E gated feed-forward layers in stacked tensors."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import MoEConfig
from minimoe.model.dispatch import DispatchPlan
from minimoe.model.feed_forward import clamped_silu_gate, silu_gate
from minimoe.model.fixed_shapes import every_expert, fixed_shapes
from minimoe.model.parameters import matrix, shapes, zeros


class Experts(nn.Module):
    """E experts of 3 * d_model * d_expert weights each.

    With `biased_experts` each adds 2 * d_expert + d_model biases.
    """

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        n_experts, d_model, d_expert = config.n_routed_experts, config.d_model, config.d_expert
        self.gate_up = matrix(n_experts, 2 * d_expert, d_model)
        self.down = matrix(n_experts, d_model, d_expert, to_residual=True)
        self.gate_up_bias = zeros(n_experts, 2 * d_expert) if config.biased_experts else None
        self.down_bias = zeros(n_experts, d_model) if config.biased_experts else None

    extra_repr = shapes

    @torch.compiler.disable  # the segments differ in length from batch to batch
    def forward(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """Let each expert compute its own segment of the sorted rows."""
        if fixed_shapes(rows) or fixed_shapes(plan.slots):
            return every_expert(rows, plan.kept_per_expert, self.one)
        segments = rows.split(plan.kept_per_expert.tolist())
        outs = [self.one(rows, e) for e, rows in enumerate(segments) if len(rows)]
        return torch.cat(outs) if outs else rows

    def one(self, x: Float[Tensor, "n D"], expert: int) -> Float[Tensor, "n D"]:
        """What one expert makes of the rows it is given."""
        in_bias = None if self.gate_up_bias is None else self.gate_up_bias[expert]
        out_bias = None if self.down_bias is None else self.down_bias[expert]
        inner = self.activate(nn.functional.linear(x, self.gate_up[expert], in_bias))
        return nn.functional.linear(inner, self.down[expert], out_bias)

    def activate(self, gate_up: Float[Tensor, "... F2"]) -> Float[Tensor, "... F"]:
        """The activation between the two products."""
        config = self.config
        if config.activation == "clamped_swiglu":
            return clamped_silu_gate(gate_up, config.activation_alpha, config.activation_limit)
        return silu_gate(gate_up)
