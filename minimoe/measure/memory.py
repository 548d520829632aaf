"""How much memory do the weights and the cache of the positions already read take?"""

from minimoe.config import InputError, LatentAttentionConfig, ModelConfig


def cache_elements_per_token(config: ModelConfig) -> int:
    """Numbers that all layers together keep of one token while a text is read on.

    Grouped-query attention keeps 2 * n_kv_heads * d_head a layer, latent attention (arXiv
    2405.04434, section 2.1.2) kv_rank + d_rope. Every layer is taken to keep the whole context: a
    sliding window bounds the number of tokens that are kept, not what one of them takes.

    Returns:
        Elements, not bytes. DeepSeek-V3, 61 layers of 512 + 64: 35,136. Mixtral 8x7B, 32 layers of
        2 * 8 * 128: 65,536.
    """
    attention = config.attention
    if isinstance(attention, LatentAttentionConfig):
        return config.n_layers * (attention.kv_rank + attention.d_rope)
    return config.n_layers * 2 * attention.n_kv_heads * attention.d_head


def weight_bytes(n_parameters: int, bits: int | float) -> int:
    """Bytes that so many weights take at so many bits each, rounded up to whole bytes.

    Args:
        n_parameters: how many weights, at least 0.
        bits: of one weight, above 0: 16 for bfloat16; 4.25 for 4 bits and a scale of 8 bits that
            32 weights share.

    Returns:
        Bytes. Mixtral 8x7B's 46,702,792,704 weights take 93,405,585,408 at 16 bits; 3 weights of 4
        bits take 2.

    Raises:
        InputError: an argument is out of its range.
    """
    if n_parameters < 0:
        raise InputError(f"n_parameters must be at least 0, got {n_parameters}")
    if not 0 < bits < float("inf"):
        raise InputError(f"bits must be above 0 and finite, got {bits}")
    numerator, denominator = bits.as_integer_ratio()
    return -(-n_parameters * numerator // (8 * denominator))
