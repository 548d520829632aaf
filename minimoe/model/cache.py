"""The KV cache."""

from jaxtyping import Float
from torch import Tensor

from minimoe.config import AttentionConfig, ModelConfig


class KVCache:
    """What the layers keep of the positions already read.

    Grouped-query attention keeps its keys and values, 2 * n_kv_heads * d_head elements a token and
    layer; latent attention its normed latent and its rotated key, kv_rank + d_rope elements.
    `Transformer.forward` writes to the cache it is given.

    Args:
        config: the model's.
        n_sequences: sequences read side by side (B).
        length: positions there is room for.
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
        """Bytes of memory held, for all of its room."""
        return self.kv.numel() * self.kv.element_size()

    def append(self, layer: int, new: Float[Tensor, "B R L w"]) -> Float[Tensor, "B R S w"]:
        """Write one layer's new vectors; return all of that layer's so far."""
        end = self.n_read + new.shape[2]
        self.kv[layer, :, :, self.n_read : end] = new
        return self.kv[layer, :, :, :end]
