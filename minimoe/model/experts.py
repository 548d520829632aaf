"""What does an expert compute, and in which of four ways are all of them computed?"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import ExpertsWay, InputError, MoEConfig
from minimoe.model.dispatch import DispatchPlan, combine, dispatch, plan_dispatch
from minimoe.model.routing import Routing


def silu_gate(gate_up: Float[Tensor, "... F2"]) -> Float[Tensor, "... F"]:
    """SwiGLU's inner product: silu(gate) * up, with both halves side by side (arXiv 2002.05202)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return nn.functional.silu(gate) * up


def swiglu(
    x: Float[Tensor, "*rows D"], gate_up: Float[Tensor, "F2 D"], down: Float[Tensor, "D F"]
) -> Float[Tensor, "*rows D"]:
    """down @ (silu(gate @ x) * (up @ x)): three products, 6 * D * F FLOPs a token."""
    return nn.functional.linear(silu_gate(nn.functional.linear(x, gate_up)), down)


class SwiGLU(nn.Module):
    """A dense feed-forward layer of 3 * d_model * d_ff weights; also the shared experts."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(2 * d_ff, d_model))
        self.down = nn.Parameter(torch.empty(d_model, d_ff))

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        return swiglu(x, self.gate_up, self.down)


class Experts(nn.Module):
    """E SwiGLU experts as stacked tensors of E * 3 * d_model * d_expert weights.

    The four ways differ in speed only. They are equal to `minimoe.model.reference` to rounding.
    """

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.way: ExpertsWay = config.experts_way
        n_experts, d_model, d_expert = config.n_routed_experts, config.d_model, config.d_expert
        self.gate_up = nn.Parameter(torch.empty(n_experts, 2 * d_expert, d_model))
        self.down = nn.Parameter(torch.empty(n_experts, d_model, d_expert))

    def forward(self, x: Float[Tensor, "T D"], routing: Routing) -> Float[Tensor, "T D"]:
        if self.way == "loop":
            return self.loop(x, routing)
        plan = plan_dispatch(routing)
        way = choose_way(x.dtype, plan) if self.way == "auto" else self.way
        rows = dispatch(x, plan, routing.weights.shape[1])
        compute = {"segments": self.segments, "grouped": self.grouped, "padded": self.padded}[way]
        return combine(compute(rows, plan), plan, routing.weights)

    def loop(self, x: Float[Tensor, "T D"], routing: Routing) -> Float[Tensor, "T D"]:
        """One expert after the other, each with the tokens that chose it: the readable way."""
        y = torch.zeros_like(x)
        for expert in range(len(self.gate_up)):
            token, choice = torch.where((routing.expert_ids == expert) & routing.kept)
            out = swiglu(x[token], self.gate_up[expert], self.down[expert])
            y = y.index_add(0, token, out * routing.weights[token, choice, None])
        return y

    def segments(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """One product per expert over its contiguous segment of the sorted rows."""
        parts = rows.split(plan.tokens_per_expert.tolist())
        outs = [
            swiglu(part, self.gate_up[expert], self.down[expert])
            for expert, part in enumerate(parts)
            if len(part)
        ]
        return torch.cat(outs) if outs else rows

    def grouped(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """All experts in two grouped matrix products; no float64, says torch."""
        if rows.dtype == torch.float64:
            raise InputError(
                'experts_way="grouped" computes float32 and bfloat16, got float64; '
                'name "segments", "padded" or "loop" instead'
            )
        ends = plan.tokens_per_expert.cumsum(0).to(torch.int32)
        product = nn.functional.grouped_mm
        inner = silu_gate(product(rows, self.gate_up.transpose(1, 2), offs=ends))
        return product(inner, self.down.transpose(1, 2), offs=ends)

    def padded(self, rows: Float[Tensor, "N D"], plan: DispatchPlan) -> Float[Tensor, "N D"]:
        """One batched product over experts, each padded with zero rows to the fullest one."""
        if not len(rows):
            return rows
        counts = plan.tokens_per_expert
        used = counts.nonzero().squeeze(1)
        gate_up: Tensor = self.gate_up
        down: Tensor = self.down
        if len(used) < len(counts):  # an expert without tokens is neither read nor computed
            counts, gate_up, down = counts[used], gate_up[used], down[used]
        expert = torch.arange(len(used), device=rows.device).repeat_interleave(counts)
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        place = torch.arange(len(rows), device=rows.device) - first
        batch = rows.new_zeros(len(used), int(counts.max()), rows.shape[1])
        batch = batch.index_put((expert, place), rows)
        out = torch.bmm(silu_gate(torch.bmm(batch, gate_up.mT)), down.mT)
        return out[expert, place]


def choose_way(dtype: torch.dtype, plan: DispatchPlan) -> ExpertsWay:
    """The way that "auto" stands for.

    Grouped products where torch has them (float32, bfloat16). In float64 one batched product is
    quicker while the segments are short and the padding stays below the work itself.
    """
    if dtype != torch.float64:
        return "grouped"
    counts = plan.tokens_per_expert
    n_rows, n_used = int(counts.sum()), int((counts > 0).sum())
    padded_rows = n_used * int(counts.max())
    return "padded" if padded_rows <= min(2 * n_rows, 512 * n_used) else "segments"
