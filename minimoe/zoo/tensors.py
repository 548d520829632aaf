"""Tensors of a checkpoint as views of the model's own."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from minimoe.errors import InputError, listed
from minimoe.model.transformer import Transformer
from minimoe.zoo.families import BUILT
from minimoe.zoo.rows import View


def _half(tensor: Tensor, half: int) -> Tensor:
    """Gates or up-projections of all experts: [E, inputs, F], or [E, F] of biases."""
    part = tensor.chunk(2, dim=1)[half]
    return part.mT if part.dim() == 3 else part


VIEWS: dict[View, Callable[[Tensor], Tensor]] = {
    "whole": lambda tensor: tensor,
    "turned": lambda tensor: tensor.mT,  # stored as [inputs, outputs], or [E, inputs, outputs]
    "gate": lambda tensor: tensor.chunk(2)[0],  # the rows of a gate_up that make the gate
    "up": lambda tensor: tensor.chunk(2)[1],
    "gates": lambda tensor: _half(tensor, 0),
    "ups": lambda tensor: _half(tensor, 1),
}


@dataclass(frozen=True)
class HubTensor:
    """One tensor of a checkpoint, as views of the model's own tensors."""

    parts: tuple[Tensor, ...]
    interleaved: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.parts[0].shape[:-1], sum(part.shape[-1] for part in self.parts))

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * self.parts[0].element_size()

    def load_(self, stored: Tensor) -> None:
        """Copy what the file holds into the model, converted to the model's dtype."""
        if self.interleaved:
            shares = [stored[..., i :: len(self.parts)] for i in range(len(self.parts))]
        else:
            shares = list(stored.split([part.shape[-1] for part in self.parts], dim=-1))
        for part, share in zip(self.parts, shares, strict=True):
            part.copy_(share)

    def stored(self) -> Tensor:
        """What the file is to hold; no copy where the model stores the same."""
        if self.interleaved:
            return torch.stack(self.parts, dim=-1).flatten(-2).cpu()
        joined = self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts, dim=-1)
        return joined.contiguous().cpu()


def hub_tensors(model: Transformer, model_type: str) -> dict[str, HubTensor]:
    """Every tensor of a checkpoint of this model, by its name there, layer after layer.

    A dense llama of 2 layers has 2 + 2 * 9 of them, and lm_head.weight unless it is tied. A tensor
    for which the family has no name raises InputError.
    """
    ours = {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    rows, moe = BUILT[model_type].rows, model.config.moe
    in_order = [(hub, row, 0) for hub, row in rows.items() if "{l}" not in hub]
    for layer in range(model.config.n_layers):
        in_order += [(hub, row, layer) for hub, row in rows.items() if "{l}" in hub]
    table: dict[str, HubTensor] = {}
    placed: set[str] = set()
    for hub, row, layer in in_order:
        names = [name.format(l=layer) for name, _ in row.parts]
        if not all(name in ours for name in names):
            continue
        placed.update(names)
        for e in range(moe.n_routed_experts) if moe and "{e}" in hub else (None,):
            tensors = [ours[name] if e is None else ours[name][e] for name in names]
            parts = (VIEWS[view](t) for (_, view), t in zip(row.parts, tensors, strict=True))
            table[hub.format(l=layer, e=e)] = HubTensor(tuple(parts), row.interleaved)
    if set(ours) - placed:
        homeless = listed(sorted(set(ours) - placed))
        raise InputError(f"model_type {model_type!r} has no place for {homeless}")
    return table
