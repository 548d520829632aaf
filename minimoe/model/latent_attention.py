"""Multi-head latent attention (MLA)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import LatentAttentionConfig
from minimoe.model.attention import attend, causal_attention, visible
from minimoe.model.cache import KVCache
from minimoe.model.norm import RMSNorm
from minimoe.model.parameters import matrix, shapes, zeros
from minimoe.model.rotary import Rotation, rope_score_factor, rotate


class LatentAttention(nn.Module):
    """Multi-head latent attention, MLA (arXiv 2405.04434, section 2.1).

    A token's normed latent is c; its keys and values are kv_up @ c. Each head's query and key end
    in a rotary part, and all heads share the rotary key. Scores are divided by
    sqrt(d_nope + d_rope) and multiplied by `rope_score_factor`.

    The absorbed way uses (kv_up c) . q = c . (kv_up^T q). It multiplies the new queries by the
    matrix, instead of all keys. The latents then act as the keys and values of a single head.
    """

    def __init__(self, config: LatentAttentionConfig) -> None:
        super().__init__()
        self.config = config
        q_width = config.n_heads * (config.d_nope + config.d_rope)
        kv_width = config.n_heads * (config.d_nope + config.d_value)
        rank = config.q_rank
        self.q = matrix(q_width, config.d_model) if rank is None else None
        self.q_down = matrix(rank, config.d_model) if rank is not None else None
        self.q_norm = RMSNorm(rank, config.norm_eps) if rank is not None else None
        self.q_up = matrix(q_width, rank) if rank is not None else None
        self.kv_down = matrix(config.kv_rank + config.d_rope, config.d_model)
        self.kv_norm = RMSNorm(config.kv_rank, config.norm_eps)
        self.kv_up = matrix(kv_width, config.kv_rank)
        self.o = matrix(config.d_model, config.n_heads * config.d_value, to_residual=True)
        self.q_down_bias = zeros(rank) if config.bias and rank is not None else None
        self.kv_down_bias = zeros(config.kv_rank + config.d_rope) if config.bias else None
        self.o_bias = zeros(config.d_model) if config.bias else None
        self.scale = (config.d_nope + config.d_rope) ** -0.5 * rope_score_factor(config.rope)

    extra_repr = shapes

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        by: Rotation | None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B L D"]:
        assert by is not None
        q_nope, q_rope = self.queries(x, by)
        kept = self.latents(x, by)
        way = self.config.way
        if way == "auto":
            way = "naive" if cache is None or not cache.n_read else "absorbed"
        if cache is not None:
            kept = cache.append(layer, kept)
        y = (self.absorbed if way == "absorbed" else self.naive)(q_nope, q_rope, kept)
        return nn.functional.linear(y.transpose(1, 2).flatten(2), self.o, self.o_bias)

    def queries(
        self, x: Float[Tensor, "B L D"], by: Rotation
    ) -> tuple[Float[Tensor, "B H L nope"], Float[Tensor, "B H L rope"]]:
        """Every head's query: the part without position, and the rotated part."""
        if self.q is not None:
            q = nn.functional.linear(x, self.q)
        else:
            assert self.q_down is not None and self.q_norm is not None and self.q_up is not None
            latent = self.q_norm(nn.functional.linear(x, self.q_down, self.q_down_bias))
            q = nn.functional.linear(latent, self.q_up)
        heads = q.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)
        nope, rope = heads.split((self.config.d_nope, self.config.d_rope), dim=-1)
        return nope, rotate(rope, by, self.config.rope.interleaved)

    def latents(self, x: Float[Tensor, "B L D"], by: Rotation) -> Float[Tensor, "B 1 L kept"]:
        """The cached vector of a token: its normed latent, then the rotary key of all heads."""
        down = nn.functional.linear(x, self.kv_down, self.kv_down_bias)[:, None]
        latent, key = down.split((self.config.kv_rank, self.config.d_rope), dim=-1)
        key = rotate(key, by, self.config.rope.interleaved)
        return torch.cat((self.kv_norm(latent), key), dim=-1)

    def naive(
        self,
        q_nope: Float[Tensor, "B H L nope"],
        q_rope: Float[Tensor, "B H L rope"],
        kept: Float[Tensor, "B 1 S kept"],
    ) -> Float[Tensor, "B H L value"]:
        """Compute keys and values from the latents, and attend over them."""
        config = self.config
        latent, k_rope = kept.split((config.kv_rank, config.d_rope), dim=-1)
        kv = nn.functional.linear(latent[:, 0], self.kv_up).unflatten(-1, (config.n_heads, -1))
        k_nope, v = kv.transpose(1, 2).split((config.d_nope, config.d_value), dim=-1)
        k = torch.cat((k_nope, k_rope.expand(-1, config.n_heads, -1, -1)), dim=-1)
        return causal_attention(torch.cat((q_nope, q_rope), dim=-1), k, v, scale=self.scale)

    def absorbed(
        self,
        q_nope: Float[Tensor, "B H L nope"],
        q_rope: Float[Tensor, "B H L rope"],
        kept: Float[Tensor, "B 1 S kept"],
    ) -> Float[Tensor, "B H L value"]:
        """Attend over the latents; the result equals `naive`."""
        config = self.config
        kv_up = self.kv_up.unflatten(0, (config.n_heads, -1))
        key_up, value_up = kv_up.split((config.d_nope, config.d_value), dim=1)
        q = torch.cat((q_nope @ key_up, q_rope), dim=-1)
        n_new, mask = q.shape[2], None
        if n_new > 1:
            mask = visible(n_new, kept.shape[2], None, q.device).repeat(config.n_heads, 1)
        # All heads read the same latents. One head with H * L queries copies nothing.
        q, latents = q.flatten(1, 2)[:, None], kept[..., : config.kv_rank]
        y = attend(q, kept, latents, mask, scale=self.scale)
        return y[:, 0].unflatten(1, (config.n_heads, n_new)) @ value_up.mT
