"""What the routers of a model decide for the bytes of a text, ready to be shown."""

from itertools import pairwise

import torch

from minimoe.errors import InputError
from minimoe.measure.routes import trace
from minimoe.model.transformer import Transformer
from minimoe.show.explorer import RoutingView, routing_view
from minimoe.show.sample import Sample
from minimoe.trained.models import named_model


def routed_sample(model: Transformer, text: bytes, title: str, length: int | None = None) -> Sample:
    """Read a text with a model and keep what its routers decided, for a routing view.

    It reads `length` positions at a time, each window without the one before; None: all at once.

    Raises:
        InputError: the model is dense, or the text is empty or longer than the model reads.
    """
    if not text:
        raise InputError("the text must hold at least 1 byte, got 0")
    if not model.moe_layers():
        raise InputError("a view needs at least 1 MoE layer, got 0; a dense model has no router")
    tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    read = [trace(model, tokens[None, start:end]) for start, end in windows(text, length)]
    ids, weights, kept, margin = (
        torch.cat([getattr(part, name) for part in read], dim=1).numpy()
        for name in ("expert_ids", "weights", "kept", "margin")
    )
    return Sample(title, text, ids, weights, kept, margin)


def view_of(text: str, *names: str) -> RoutingView:
    """The routing view of a sentence, for the last line of a notebook cell.

    Args:
        text: any language; each byte of its UTF-8 form is a token.
        names: trained models of the package, shown side by side; by default "text_moe_loss".

    Raises:
        InputError: the text is empty, a model is dense or unknown, or the models' sizes differ.
    """
    samples, sizes = {}, set()
    for name in names or ("text_moe_loss",):
        model, length = named_model(name)
        samples[name] = [routed_sample(model, text.encode(errors="replace"), "sentence", length)]
        assert model.config.moe is not None  # routed_sample refuses a dense model
        sizes.add(model.config.moe.n_routed_experts)
    if len(sizes) > 1:
        raise InputError(f"side by side, models need as many experts, got {sorted(sizes)}")
    return routing_view(samples, n_experts=sizes.pop(), title="Routing view")


def windows(text: bytes, length: int | None) -> list[tuple[int, int]]:
    """Cut a text into ranges of at most `length` bytes, between two characters where possible.

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
