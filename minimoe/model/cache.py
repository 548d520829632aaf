"""The KV cache."""

from jaxtyping import Float
from torch import Tensor

from minimoe.config import AttentionConfig, ModelConfig


class KVCache:
    """Keys and values, or normed latents and rotated keys, of the positions already read.

    `minimoe.formulas.memory.cache_elements_per_token` counts them. `Transformer.forward` writes to
    its `cache` argument.

    Args:
        config: of the model.
        n_sequences: sequences read side by side (B).
        length: positions that the cache has room for.
        like: a tensor of the wanted dtype and device, for example one of the model's weights.
    """

    def __init__(self, config: ModelConfig, n_sequences: int, length: int, like: Tensor) -> None:
        attention = config.attention
        if isinstance(attention, AttentionConfig):
            vectors, width = 2 * attention.n_kv_heads, attention.d_head
        else:
            vectors, width = 1, attention.kv_rank + attention.d_rope
        self.n_read = 0
        self.room = length
        self.kv = like.new_zeros(config.n_layers, n_sequences, vectors, length, width)

    @property
    def n_bytes(self) -> int:
        """Bytes of memory, allocated for all positions at once."""
        return self.kv.numel() * self.kv.element_size()

    def append(self, layer: int, new: Float[Tensor, "B R L w"]) -> Float[Tensor, "B R S w"]:
        """Write a layer's new vectors, and return all vectors of that layer up to them."""
        end = self.n_read + new.shape[2]
        self.kv[layer, :, :, self.n_read : end] = new
        return self.kv[layer, :, :, :end]
