"""Tensors of a checkpoint as views of the model's own."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from minimoe.errors import InputError, listed
from minimoe.model.transformer import Transformer
from minimoe.zoo.families import BUILT
from minimoe.zoo.rows import Row, View


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
        """Its shape in the file."""
        return (*self.parts[0].shape[:-1], sum(part.shape[-1] for part in self.parts))

    @property
    def n_bytes(self) -> int:
        """Its bytes, in the model's dtype."""
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

    Args:
        model: on any device, "meta" included.
        model_type: a family that our model computes.

    Returns:
        A dense llama of 2 layers has 2 + 2 * 9 of them, and lm_head.weight unless it is tied.

    Raises:
        InputError: the model has a tensor for which the family has no name.
    """
    ours = {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    rows, moe = BUILT[model_type].rows, model.config.moe
    table: dict[str, HubTensor] = {}
    placed = set()

    def place(hub: str, row: Row, layer: int) -> None:
        names = [name.format(l=layer) for name, _ in row.parts]
        if not set(names) <= set(ours):
            return
        placed.update(names)
        for e in range(moe.n_routed_experts) if moe and "{e}" in hub else (None,):
            tensors = (ours[name] if e is None else ours[name][e] for name in names)
            parts = (
                VIEWS[view](tensor) for (_, view), tensor in zip(row.parts, tensors, strict=True)
            )
            table[hub.format(l=layer, e=e)] = HubTensor(tuple(parts), row.interleaved)

    of_layers = {hub: row for hub, row in rows.items() if "{l}" in hub}
    for hub, row in rows.items():
        if hub not in of_layers:
            place(hub, row, 0)
    for layer in range(model.config.n_layers):
        for hub, row in of_layers.items():
            place(hub, row, layer)
    if set(ours) - placed:
        homeless = listed(sorted(set(ours) - placed))
        raise InputError(f"model_type {model_type!r} has no place for {homeless}")
    return table
