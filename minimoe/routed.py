"""Where does a model send the bytes of a text? What its routers decide, ready to be shown."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from minimoe.config import InputError
from minimoe.model.moe import MoE
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
from minimoe.show.explorer import Sample


@torch.no_grad()
def routed_sample(model: Transformer, text: bytes, title: str, length: int | None = None) -> Sample:
    """Read a text with a model and keep what its routers decided, for a routing view.

    Args:
        model: with at least one MoE layer.
        text: UTF-8, or any bytes.
        title: of the text.
        length: positions to read at a time; the next window knows nothing of the one before. None:
            the whole text at once.

    Raises:
        InputError: the model is dense, or the text is empty or longer than the model reads.
    """
    if not text:
        raise InputError("the text must hold at least 1 byte, got 0")
    if not model.moe_layers():
        raise InputError("a dense model routes nothing: its 0 MoE layers leave nothing to show")
    tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    read = [model(tokens[None, start:end])[1] for start, end in windows(text, length)]
    layers = list(zip(*read, strict=True))

    def together(of: Callable[[Routing, MoE], Tensor]) -> np.ndarray:
        parts = (
            torch.cat([of(routing, moe) for routing in routings])
            for routings, moe in zip(layers, model.moe_layers(), strict=True)
        )
        return torch.stack(list(parts)).numpy()

    return Sample(
        title,
        text,
        together(lambda routing, _: routing.expert_ids),
        together(lambda routing, _: routing.weights),
        together(lambda routing, _: routing.kept),
        together(lambda routing, moe: margin(routing, moe.router.expert_bias)),
    )


def margin(routing: Routing, expert_bias: Tensor | None = None) -> Float[Tensor, "T"]:
    """How far the last chosen expert stood above the best one not chosen, in units of the scores.

    The selection bias counts, as it did for the choice; infinite where all experts are chosen.
    Scores (1/2, 1/3, 1/6) with K=2 have 1/6.
    """
    ranked = routing.scores if expert_bias is None else routing.scores + expert_bias
    chosen = torch.zeros_like(ranked, dtype=torch.bool).scatter(-1, routing.expert_ids, True)
    last = ranked.masked_fill(~chosen, math.inf).amin(-1)
    return last - ranked.masked_fill(chosen, -math.inf).amax(-1)


def windows(text: bytes, length: int | None) -> list[tuple[int, int]]:
    """Cut a text into ranges of at most `length` bytes, between two characters where it can be.

    `windows("ab中".encode(), 4) == [(0, 2), (2, 5)]`; None: one range.
    """
    cuts, start = [0], 0
    while length is not None and len(text) - start > length:
        end = start + length
        while end > start + max(1, length - 4) and text[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        cuts.append(end)
        start = end
    return list(pairwise([*cuts, len(text)]))
