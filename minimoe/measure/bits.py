"""Loss in bits per byte."""

import math
from collections.abc import Iterable

import torch

from minimoe.config import InputError
from minimoe.data.batches import Batch
from minimoe.model.transformer import Transformer
from minimoe.training.loop import cross_entropy


@torch.no_grad()
def bits_per_byte(
    model: Transformer, batches: Iterable[Batch], domains: tuple[str, ...]
) -> dict[str, float]:
    """Mean -log2 p of the targets, in bits a token (a byte), for each domain and over "all".

    Padding does not count. A model that knows nothing has 8 bits a byte.

    Raises:
        InputError: there is no batch.
    """
    sums = torch.zeros(len(domains), dtype=torch.float64)
    counts = torch.zeros(len(domains), dtype=torch.int64)
    for batch in batches:
        losses = cross_entropy(model(batch.inputs)[0], batch.targets).double() / math.log(2)
        ids = batch.domain_ids
        if batch.mask is not None:
            losses, ids = losses[batch.mask], ids[batch.mask]
        sums += torch.bincount(ids.flatten(), losses.flatten(), len(domains))
        counts += torch.bincount(ids.flatten(), minlength=len(domains))
    if not counts.sum():
        raise InputError("at least 1 batch of validation text is needed, got 0")
    bits = (sums / counts).tolist()
    known = {name: b for name, b, n in zip(domains, bits, counts, strict=True) if n}
    return {**known, "all": float(sums.sum() / counts.sum())}
