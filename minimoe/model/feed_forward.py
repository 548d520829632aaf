"""Dense feed-forward layers: SwiGLU, and GPT-2's GELU layer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.model.parameters import matrix, shapes, zeros


def silu_gate(gate_up: Float[Tensor, "... F2"]) -> Float[Tensor, "... F"]:
    """SwiGLU's inner product: silu(gate) * up, both halves side by side (arXiv 2002.05202)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return nn.functional.silu(gate) * up


def clamped_silu_gate(
    gate_up: Float[Tensor, "... F2"], alpha: float, limit: float
) -> Float[Tensor, "... F"]:
    """gpt-oss's inner product: (up + 1) * gate * sigmoid(alpha * gate), both halves clamped.

    The gate is cut from above at `limit`, the up half to [-limit, limit] (arXiv 2508.10925).

    Returns:
        0 for gate = up = 0. With alpha=1.702 and limit=7, gate = up = 100 gives
        (7 + 1) * 7 * sigmoid(1.702 * 7) = 55.9996.
    """
    gate, up = gate_up.chunk(2, dim=-1)
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * gate * torch.sigmoid(alpha * gate)


def swiglu(
    x: Float[Tensor, "*rows D"],
    gate_up: Float[Tensor, "F2 D"],
    down: Float[Tensor, "D F"],
    gate_up_bias: Float[Tensor, "F2"] | None = None,
    down_bias: Float[Tensor, "D"] | None = None,
) -> Float[Tensor, "*rows D"]:
    """down @ (silu(gate @ x) * (up @ x)): three products, 6 * D * F FLOPs a token."""
    inner = silu_gate(nn.functional.linear(x, gate_up, gate_up_bias))
    return nn.functional.linear(inner, down, down_bias)


class SwiGLU(nn.Module):
    """A dense feed-forward layer of 3 * d_model * d_ff weights; also the shared experts.

    With `bias` both products add one: 2 * d_ff + d_model parameters more.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        self.gate_up = matrix(2 * d_ff, d_model)
        self.down = matrix(d_model, d_ff, to_residual=True)
        self.gate_up_bias = zeros(2 * d_ff) if bias else None
        self.down_bias = zeros(d_model) if bias else None

    extra_repr = shapes

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        return swiglu(x, self.gate_up, self.down, self.gate_up_bias, self.down_bias)


class GeluMLP(nn.Module):
    """GPT-2's dense feed-forward layer: down @ gelu(up @ x), of 2 * d_model * d_ff weights.

    The GELU is the tanh approximation (arXiv 1606.08415, section 2). With `bias` both products add
    one: d_ff + d_model parameters more.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        self.up = matrix(d_ff, d_model)
        self.down = matrix(d_model, d_ff, to_residual=True)
        self.up_bias = zeros(d_ff) if bias else None
        self.down_bias = zeros(d_model) if bias else None

    extra_repr = shapes

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        up = nn.functional.linear(x, self.up, self.up_bias)
        inner = nn.functional.gelu(up, approximate="tanh")
        return nn.functional.linear(inner, self.down, self.down_bias)
