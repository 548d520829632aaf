"""Bytes of weights, cache and activations, computed from a configuration."""

from dataclasses import dataclass

from minimoe.config import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
)
from minimoe.formulas.parameters import count_parameters


def cache_elements_per_token(config: ModelConfig) -> int:
    """Count the numbers that the KV cache holds for one token, over all layers.

    A layer of grouped-query attention holds 2 * n_kv_heads * d_head of them. A layer of latent
    attention (arXiv 2405.04434, section 2.1.2) holds kv_rank + d_rope. A sliding window changes
    how many tokens are held, not how much one token takes.

    Returns:
        Elements, not bytes. DeepSeek-V3 has 61 layers of 512 + 64: 35,136. Mixtral 8x7B has 32
        layers of 2 * 8 * 128: 65,536.
    """
    attention = config.attention
    if isinstance(attention, LatentAttentionConfig):
        return config.n_layers * (attention.kv_rank + attention.d_rope)
    return config.n_layers * 2 * attention.n_kv_heads * attention.d_head


def weight_bytes(n_parameters: int, bits: int | float) -> int:
    """Compute the bytes of a number of weights, rounded up to whole bytes.

    Args:
        n_parameters: number of weights, at least 0.
        bits: bits of one weight, above 0: 16 for bfloat16, or 4.25 for 4 bits plus an 8-bit scale
            that 32 weights share.

    Returns:
        Bytes. Mixtral 8x7B's 46,702,792,704 weights take 93,405,585,408 bytes at 16 bits. Three
        weights of 4 bits take 2 bytes.

    Raises:
        InputError: an argument is out of its range.
    """
    if n_parameters < 0:
        raise InputError(f"n_parameters must be at least 0, got {n_parameters}")
    if not 0 < bits < float("inf"):
        raise InputError(f"bits must be above 0 and finite, got {bits}")
    numerator, denominator = bits.as_integer_ratio()
    return -(-n_parameters * numerator // (8 * denominator))


def expected_experts(n_experts: int, top_k: int, n_tokens: int) -> float:
    """Compute how many different experts a batch is expected to reach.

    Tokens are assumed to choose independently and evenly. One token misses an expert with
    probability 1 - K / E, and all T tokens miss it with probability (1 - K / E)^T.

    Returns:
        E * (1 - (1 - K / E)^T). One token reaches exactly K. With DeepSeek-V3's E = 256 and K = 8,
        32 tokens reach 163.3 experts.

    Raises:
        InputError: an argument is out of its range.
    """
    _at_least("n_tokens", n_tokens, 1)
    if not 1 <= top_k <= n_experts:
        raise InputError(f"top_k must lie in [1, n_experts={n_experts}], got {top_k}")
    idle = n_experts - top_k
    return n_experts - idle * (idle / n_experts) ** (n_tokens - 1)


def swiglu_elements(d_model: int, d_ff: int, *, backward: bool = False) -> int:
    """Count the activations that the operations of a SwiGLU read and write for one row.

    The first product reads D and writes 2F. silu reads F and writes F. The multiplication reads
    2F and writes F. The second product reads F and writes D. The backward pass adds 4D + 19F.

    Returns:
        Elements: 2D + 8F, with backward 6D + 27F. For D=64 and F=32 they are 384 and 1,248.
    """
    return 6 * d_model + 27 * d_ff if backward else 2 * d_model + 8 * d_ff


def moe_elements(config: MoEConfig, *, backward: bool = False) -> int:
    """Count the activations that a dropless MoE layer reads and writes for one token.

    This describes the fast path on a CPU, with its hand-written gradient. The router takes
    D + 4E. Each of the K rows is copied (2D) and goes through its expert: `swiglu_elements`, and
    3F more because silu is computed as gate times sigmoid. The sum reads each row (D) and writes
    one (D). Backward adds 15D + 28F a row. Shared experts add their SwiGLU, a sum of 3D, and 3D
    if they are gated. Arrays of size K (the choice, the order) are left out.

    Returns:
        Elements. For D=64, F=32, E=8 and K=2: 64 + 32 + 2 * (5 * 64 + 11 * 32) + 64 = 1,504, and
        5,664 with backward.
    """
    d_model, width = config.d_model, config.shared_width
    n_experts, d_expert = config.n_routed_experts, config.d_expert
    if backward:
        router, row, summed = 3 * d_model + 12 * n_experts, 20 * d_model + 39 * d_expert, 5
        sums = d_model * (6 + 14 * config.gate_shared)
    else:
        router, row, summed = d_model + 4 * n_experts, 5 * d_model + 11 * d_expert, 1
        sums = d_model * (3 + 3 * config.gate_shared)
    routed = router + config.top_k * row + summed * d_model
    if not width:
        return routed
    return routed + swiglu_elements(d_model, width, backward=backward) + sums


@dataclass(frozen=True)
class BytesMoved:
    """Bytes that a forward pass reads and writes, as `bytes_moved` counts them.

    Attributes:
        weights: read once for the whole batch.
        cache: entries of earlier tokens are read, entries of new tokens are written.
        activations: operands and results of the operations.
    """

    weights: int | float
    cache: int
    activations: int

    @property
    def total(self) -> int | float:
        """The sum of the three; `BytesMoved(1, 2, 3).total == 6`."""
        return self.weights + self.cache + self.activations


def bytes_moved(
    config: ModelConfig,
    n_tokens: int,
    context: int = 0,
    itemsize: int = 2,
    *,
    n_sequences: int = 1,
) -> BytesMoved:
    """Compute the bytes that one dropless forward pass moves, by a simple model.

    * Weights are read once for the whole batch: all dense ones, and as many routed experts as
      `expected_experts` gives. Each token reads one row of an untied embedding, and one row of
      learned positions.
    * The cache of each sequence is read once, and each new token is written to it. A layer with a
      sliding window reads only the part that the first new token sees.
    * Activations are the operands and results of products, attention, feed-forward layers
      (`moe_elements`), norms and residual sums. Attention scores stay inside the kernel. Latent
      attention expands the latents of new tokens only.

    A real pass moves less if a CPU cache still holds a result, and more if a step takes several
    operations. For 200 tokens through the presets it moves 1.3 to 1.5 times as much.

    Args:
        config: the model's.
        n_tokens: new tokens of all sequences together, at least 1.
        context: positions of each sequence that are already in the cache.
        itemsize: bytes of one number: 2 for bfloat16, 4 for float32.
        n_sequences: sequences that share the new tokens evenly.

    Returns:
        Bytes; for several tokens the weights are an expectation. For one token at 16 bits,
        DeepSeek-V3 reads 2 * `count_parameters(config).touched` = 73,251,221,504 bytes of weights.
        With a cache of 4,096 positions it moves 2 * 35,136 * 4,097 = 287,904,384 bytes of cache.

    Raises:
        InputError: an argument is out of its range.
    """
    for name, value in (("n_tokens", n_tokens), ("itemsize", itemsize)):
        _at_least(name, value, 1)
    _at_least("context", context, 0)
    if n_sequences < 1 or n_tokens % n_sequences:
        raise InputError(f"n_sequences must divide n_tokens={n_tokens}, got {n_sequences}")
    return BytesMoved(
        weights=itemsize * _weights_read(config, n_tokens),
        cache=itemsize * _cache_moved(config, n_tokens, context, n_sequences),
        activations=itemsize * n_tokens * _elements_per_token(config),
    )


def _weights_read(config: ModelConfig, n_tokens: int) -> int | float:
    count = count_parameters(config)
    rows = count.embedding_row + count.position_row
    read = count.touched + (n_tokens - 1) * rows
    if config.moe is None:
        return read
    n_experts, top_k = config.moe.n_routed_experts, config.moe.top_k
    more = expected_experts(n_experts, top_k, n_tokens) - top_k
    return read + count.routed_experts // n_experts * more


def _cache_moved(config: ModelConfig, n_tokens: int, context: int, n_sequences: int) -> int:
    windows = [config.window_of(layer) for layer in range(config.n_layers)]
    read = sum(context if window is None else min(context, window - 1) for window in windows)
    per_layer = cache_elements_per_token(config) // config.n_layers
    return per_layer * (n_sequences * read + n_tokens * config.n_layers)


def _elements_per_token(config: ModelConfig) -> int:
    """Embedding, blocks, last norm and head. A norm takes 2D, a residual sum 3D."""
    d_model, n_moe = config.d_model, config.n_moe_layers
    around = 2 * (2 * d_model + 3 * d_model)
    ff = (config.n_layers - n_moe) * _dense_elements(config)
    ff += n_moe * moe_elements(config.moe) if config.moe is not None else 0
    blocks = config.n_layers * (around + _attention_elements(config.attention)) + ff
    positions = 3 * d_model if config.learned_positions else 0
    return d_model + positions + blocks + 2 * d_model + d_model + config.vocab_size


def _dense_elements(config: ModelConfig) -> int:
    d_model, d_ff = config.d_model, config.d_ff or 0
    if config.ff == "swiglu":
        return swiglu_elements(d_model, d_ff)
    return 2 * d_model + 4 * d_ff


def _attention_elements(config: AttentionConfig | LatentAttentionConfig) -> int:
    """Elements of the projections, the rotation and attention itself."""
    d_model, n_heads = config.d_model, config.n_heads
    if isinstance(config, AttentionConfig):
        q, k = n_heads * config.d_head, config.n_kv_heads * config.d_head
        rotation = 2 * (q + k) if config.rope is not None else 0
        projections = 3 * d_model + q + 2 * k
        return projections + rotation + (q + 2 * k) + q + (q + d_model)
    q, out = n_heads * (config.d_nope + config.d_rope), n_heads * config.d_value
    kept = config.kv_rank + config.d_rope
    queries = d_model + q if config.q_rank is None else d_model + 4 * config.q_rank + q
    latents = d_model + kept + 2 * config.kv_rank  # the product, then the norm
    rotation = 2 * (n_heads + 1) * config.d_rope
    expanded = n_heads * (config.d_nope + config.d_value)
    attention = config.kv_rank + expanded + (q + config.d_rope + expanded) + out
    return queries + latents + rotation + attention + (out + d_model)


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise InputError(f"{name} must be at least {low}, got {value}")
