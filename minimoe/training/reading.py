"""How often a training run reads its text."""

import torch

from minimoe.config import TrainConfig
from minimoe.data.batches import training_batch
from minimoe.data.text import Corpus


def times_read(config: TrainConfig, corpus: Corpus) -> dict[str, float]:
    """How often a run reads each domain, and "all": targets read, divided by the domain's bytes.

    The batches are drawn again, so the figure is exact. 2 means two passes on average: some bytes
    are read more often and some never.

    Returns:
        Passes by domain; a domain without text is left out.
    """
    counts = torch.zeros(len(corpus.domains), dtype=torch.int64)
    for step in range(config.steps):
        batch = training_batch(
            corpus,
            batch_size=config.batch_size,
            length=config.length,
            seed=config.seed,
            step=step,
            domain_weights=config.domain_weights,
        )
        counts += torch.bincount(batch.domain_ids.flatten(), minlength=len(corpus.domains))
    sizes = corpus.bytes_per_domain
    passes = {
        name: int(n) / int(size)
        for name, n, size in zip(corpus.domains, counts, sizes, strict=True)
        if size
    }
    return {**passes, "all": int(counts.sum()) / int(sizes.sum())}
