"""What does an expert compute, and in which of five ways are all of them computed?"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import InputError, MoEConfig
from minimoe.config.moe_layer import ExpertsWay
from minimoe.model.cores import experts_on_cores, one_token_on_experts
from minimoe.model.dispatch import DispatchPlan, combine, dispatch, plan_dispatch
from minimoe.model.init import parameter_if
from minimoe.model.routing import Routing


def silu_gate(gate_up: Float[Tensor, "... F2"]) -> Float[Tensor, "... F"]:
    """SwiGLU's inner product: silu(gate) * up, with both halves side by side (arXiv 2002.05202)."""
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

    Args:
        d_model: width of the residual stream (D).
        d_ff: width inside.
        bias: both products add one: 2 * d_ff + d_model parameters more.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(2 * d_ff, d_model))
        self.down = nn.Parameter(torch.empty(d_model, d_ff))
        self.gate_up_bias = parameter_if(bias, 2 * d_ff)
        self.down_bias = parameter_if(bias, d_model)

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        return swiglu(x, self.gate_up, self.down, self.gate_up_bias, self.down_bias)


class GeluMLP(nn.Module):
    """GPT-2's dense feed-forward layer: down @ gelu(up @ x), of 2 * d_model * d_ff weights.

    The GELU is the tanh approximation (arXiv 1606.08415, section 2).

    Args:
        d_model: width of the residual stream (D).
        d_ff: width inside.
        bias: both products add one: d_ff + d_model parameters more.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.empty(d_ff, d_model))
        self.down = nn.Parameter(torch.empty(d_model, d_ff))
        self.up_bias = parameter_if(bias, d_ff)
        self.down_bias = parameter_if(bias, d_model)

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        up = nn.functional.linear(x, self.up, self.up_bias)
        inner = nn.functional.gelu(up, approximate="tanh")
        return nn.functional.linear(inner, self.down, self.down_bias)


class Experts(nn.Module):
    """E gated experts as stacked tensors of E * 3 * d_model * d_expert weights.

    With `biased_experts` each adds 2 * d_expert + d_model biases. The five ways differ in speed
    only. They are equal to `minimoe.model.reference` to rounding.
    """

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        self.way: ExpertsWay = config.experts_way
        n_experts, d_model, d_expert = config.n_routed_experts, config.d_model, config.d_expert
        self.gate_up = nn.Parameter(torch.empty(n_experts, 2 * d_expert, d_model))
        self.down = nn.Parameter(torch.empty(n_experts, d_model, d_expert))
        self.gate_up_bias = parameter_if(config.biased_experts, n_experts, 2 * d_expert)
        self.down_bias = parameter_if(config.biased_experts, n_experts, d_model)

    @property
    def widths(self) -> tuple[int, int]:
        """Of a row that goes into the first and into the second product: d_model, d_expert."""
        return self.config.d_model, self.config.d_expert

    def forward(self, x: Float[Tensor, "T D"], routing: Routing) -> Float[Tensor, "T D"]:
        if self.way == "loop":
            return self.loop(x, routing)
        one = self.way == "auto" and x.shape[0] == 1 and not torch.is_grad_enabled()
        if one and self.fit_cores(x):  # one token is never dropped
            (weights,), (chosen,) = routing.weights.tolist(), routing.expert_ids.tolist()
            return one_token_on_experts(x, self.gate_up, self.down, weights, chosen)
        plan = plan_dispatch(routing)
        way = self.choose_way(x, plan) if self.way == "auto" else self.way
        if way == "cores":
            if not self.fit_cores(x):
                raise InputError(
                    f'experts_way="cores" computes on a CPU, got {x.device}; name "auto" instead'
                )
            return experts_on_cores(x, self.gate_up, self.down, routing.weights, plan)
        rows = dispatch(x, plan, routing.weights.shape[1])
        compute = {"segments": self.segments, "grouped": self.grouped, "padded": self.padded}[way]
        return combine(compute(rows, plan), plan, routing.weights)

    def fit_cores(self, x: Tensor) -> bool:
        """Whether each core can take experts of its own."""
        return self.config.plain_experts and x.device.type == "cpu"

    def choose_way(self, x: Float[Tensor, "T D"], plan: DispatchPlan) -> ExpertsWay:
        """The way that "auto" stands for.

        On a CPU each core takes its own experts, if they are plain. Elsewhere grouped products,
        where torch has them (not in float64, not for odd widths). Else one batched product is
        quicker while the segments are short and the padding stays below the work itself.
        """
        if self.fit_cores(x):
            return "cores"
        if groups_fit(x.dtype, self.widths):
            return "grouped"
        counts = plan.tokens_per_expert
        n_rows, n_used = int(counts.sum()), int((counts > 0).sum())
        padded_rows = n_used * int(counts.max())
        return "padded" if padded_rows <= min(2 * n_rows, 512 * n_used) else "segments"

    def loop(self, x: Float[Tensor, "T D"], routing: Routing) -> Float[Tensor, "T D"]:
        """One expert after the other, each with the tokens that chose it: the readable way."""
        y = torch.zeros_like(x)
        for expert in range(len(self.gate_up)):
            token, choice = torch.where((routing.expert_ids == expert) & routing.kept)
            out = self.one(x[token], expert)
            y = y.index_add(0, token, out * routing.weights[token, choice, None])
        return y

    def segments(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """One product per expert over its contiguous segment of the sorted rows."""
        parts = rows.split(plan.tokens_per_expert.tolist())
        outs = [self.one(part, expert) for expert, part in enumerate(parts) if len(part)]
        return torch.cat(outs) if outs else rows

    def grouped(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """All experts in two grouped matrix products; no float64, says torch, and no odd widths."""
        if rows.dtype == torch.float64:
            raise InputError(
                'experts_way="grouped" computes float32 and bfloat16, got float64; '
                'name "segments", "padded" or "loop" instead'
            )
        if not groups_fit(rows.dtype, self.widths):
            raise InputError(
                'experts_way="grouped" needs rows of a multiple of 16 bytes, got '
                f"d_model={self.widths[0]} and d_expert={self.widths[1]} numbers of "
                f'{rows.dtype.itemsize} bytes; name "segments", "padded" or "loop" instead'
            )
        ends = plan.tokens_per_expert.cumsum(0).to(torch.int32)

        def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            out = nn.functional.grouped_mm(x, weight.transpose(1, 2), offs=ends)
            return out if bias is None else out + bias[plan.expert_of_slot]

        inner = self.activate(product(rows, self.gate_up, self.gate_up_bias))
        return product(inner, self.down, self.down_bias)

    def padded(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """One batched product over experts, each padded with zero rows to the fullest one."""
        if not len(rows):
            return rows
        counts = plan.tokens_per_expert
        used = counts.nonzero().squeeze(1)
        all_used = len(used) == len(counts)
        counts = counts[used]
        expert = torch.arange(len(used), device=rows.device).repeat_interleave(counts)
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        place = torch.arange(len(rows), device=rows.device) - first
        batch = rows.new_zeros(len(used), int(counts.max()), rows.shape[1])
        batch = batch.index_put((expert, place), rows)

        def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            # An expert without tokens is neither read nor computed.
            out = torch.bmm(x, (weight if all_used else weight[used]).mT)
            return out if bias is None else out + bias[used].unsqueeze(1)

        inner = self.activate(product(batch, self.gate_up, self.gate_up_bias))
        return product(inner, self.down, self.down_bias)[expert, place]

    def one(self, x: Float[Tensor, "n D"], expert: int) -> Float[Tensor, "n D"]:
        """What one expert makes of the rows it is given."""
        in_bias = None if self.gate_up_bias is None else self.gate_up_bias[expert]
        out_bias = None if self.down_bias is None else self.down_bias[expert]
        inner = self.activate(nn.functional.linear(x, self.gate_up[expert], in_bias))
        return nn.functional.linear(inner, self.down[expert], out_bias)

    def activate(self, gate_up: Float[Tensor, "... F2"]) -> Float[Tensor, "... F"]:
        """What stands between the two products, in every way."""
        if self.config.activation == "clamped_swiglu":
            config = self.config
            return clamped_silu_gate(gate_up, config.activation_alpha, config.activation_limit)
        return silu_gate(gate_up)


def groups_fit(dtype: torch.dtype, widths: tuple[int, ...]) -> bool:
    """Whether torch's grouped product takes rows of these widths: multiples of 16 bytes.

    Widths 16 and 12 of float32 fit, 16 and 6 do not.
    """
    return dtype != torch.float64 and all(width * dtype.itemsize % 16 == 0 for width in widths)
