"""FLOPs of a model, computed from its configuration."""

from dataclasses import dataclass

from minimoe.config import AttentionConfig, InputError, LatentAttentionConfig, ModelConfig
from minimoe.formulas.parameters import count_parameters


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of the matrix products for one sequence; a multiply-add is two FLOPs.

    Attributes:
        weights: forward products with weights, router and head included.
        attention: forward scores and weighted sums over all L * L pairs of positions. Pairs that
            the causal mask or a sliding window hides are counted too. Some counts leave them
            out; without the pairs that a causal mask hides, attention is about halved.
        rescored: scores that the backward pass computes again instead of storing them.
        length: positions of the sequence (L).
    """

    weights: int
    attention: int
    rescored: int
    length: int

    @property
    def forward(self) -> int:
        """FLOPs of the forward pass of one sequence."""
        return self.weights + self.attention

    @property
    def training(self) -> int:
        """FLOPs of forward and backward; backward costs twice the forward, plus `rescored`."""
        return 3 * (self.weights + self.attention) + self.rescored

    @property
    def forward_per_token(self) -> float:
        """FLOPs of the forward pass for one token of the sequence."""
        return self.forward / self.length

    @property
    def training_per_token(self) -> float:
        """FLOPs of forward and backward for one token of the sequence."""
        return self.training / self.length


def count_flops(config: ModelConfig, length: int) -> FlopCount:
    """Count the FLOPs of reading a whole text, dropless and without a cache.

    Each active parameter that is in a matrix costs 2 FLOPs a token. Input embeddings, norms and
    biases are not multiplied and cost none.

    Args:
        length: positions of the text (L), at least 1.

    Returns:
        FLOPs of one sequence. The absorbed form of latent attention multiplies with the same
        weights as the naive form and attends over wider vectors: in DeepSeek-V3 each pair of
        positions costs 2 * (576 + 512) FLOPs a head instead of 2 * (192 + 128).
    """
    if length < 1:
        raise InputError(f"length must be at least 1 position, got {length}")
    count = count_parameters(config)
    matrices = count.active_without_embeddings - count.norms - count.positions - count.vectors
    head = count.embedding if config.tie_embeddings else count.head
    scores, sums = _per_pair(config.attention)
    sinks = isinstance(config.attention, AttentionConfig) and config.attention.sinks
    n_pairs = config.n_layers * config.attention.n_heads * length * (length + sinks)
    return FlopCount(
        weights=2 * (matrices + head) * length,
        attention=2 * (scores + sums) * n_pairs,
        rescored=2 * scores * n_pairs if scores == sums and not sinks else 0,
        length=length,
    )


def _per_pair(config: AttentionConfig | LatentAttentionConfig) -> tuple[int, int]:
    """Widths of the vectors in one head's scores, and in its weighted sums.

    If they differ, or if there are sinks (one more position), torch's kernel stores the scores
    for the backward pass and does not compute them again.
    """
    if isinstance(config, AttentionConfig):
        return config.d_head, config.d_head
    if config.way == "absorbed":
        return config.kv_rank + config.d_rope, config.kv_rank
    return config.d_nope + config.d_rope, config.d_value
