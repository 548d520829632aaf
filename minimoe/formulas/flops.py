"""Floating-point operations of a model, from its configuration."""

from dataclasses import dataclass

from minimoe.config import AttentionConfig, InputError, LatentAttentionConfig, ModelConfig
from minimoe.formulas.parameters import count_parameters


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one sequence's forward pass, matrix products only, 2 per multiply-add.

    Attributes:
        weights: products with weights, router and head included.
        attention: scores and weighted sums over all L * L pairs of positions: what the causal mask
            or a sliding window hides is not discounted, as is usual, though a kernel may skip it.
        rescored: scores that the backward pass computes once more instead of keeping them.
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
        """FLOPs of forward and backward.

        Backward costs twice the forward, and computes the scores of plain attention again, which
        makes it 2.5 times the forward there.
        """
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
    """Count FLOPs by formula, dropless, for a text read at once, without a cache.

    Returns:
        FLOPs of a sequence. Weights cost 2 FLOPs for each active parameter that is in a matrix:
        without the input embeddings (look-ups), the norms and the biases. In latent attention the
        absorbed way multiplies with the same weights as the naive one, and attends over wider
        vectors: for DeepSeek-V3 2 * (576 + 512) FLOPs a pair of positions and head, against
        2 * (192 + 128).

    Raises:
        InputError: length is below 1.
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
    """Widths of the vectors that scores compare, and that the weighted sums add, for one head.

    Where they differ, or sinks take part (as one more position), torch has no kernel that
    computes the scores anew in backward: it keeps them.
    """
    if isinstance(config, AttentionConfig):
        return config.d_head, config.d_head
    if config.way == "absorbed":
        return config.kv_rank + config.d_rope, config.kv_rank
    return config.d_nope + config.d_rope, config.d_value
