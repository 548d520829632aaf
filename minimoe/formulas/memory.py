"""Bytes of weights, cache and activations, computed from a configuration."""

from minimoe.config import InputError, LatentAttentionConfig, ModelConfig, MoEConfig


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
    """
    if n_tokens < 1:
        raise InputError(f"n_tokens must be at least 1, got {n_tokens}")
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
        routed = 8 * d_model + 12 * n_experts + config.top_k * (20 * d_model + 39 * d_expert)
        sums = d_model * (6 + 14 * config.gate_shared)
    else:
        routed = 2 * d_model + 4 * n_experts + config.top_k * (5 * d_model + 11 * d_expert)
        sums = d_model * (3 + 3 * config.gate_shared)
    shared = swiglu_elements(d_model, width, backward=backward) + sums if width else 0
    return routed + shared
