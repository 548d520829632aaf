"""The decoder-only transformer: blocks, embeddings, head."""

from typing import cast

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from minimoe.config import InputError, LatentAttentionConfig, ModelConfig
from minimoe.model.attention import Attention
from minimoe.model.cache import KVCache
from minimoe.model.feed_forward import GeluMLP, SwiGLU
from minimoe.model.fixed_shapes import fixed_shapes
from minimoe.model.latent_attention import LatentAttention
from minimoe.model.moe import MoE
from minimoe.model.norm import RMSNorm
from minimoe.model.parameters import initialize_, matrix, shapes
from minimoe.model.rotary import Rotation, rotation_of
from minimoe.model.routing import Routing, RoutingRule
from minimoe.randomness import derived_seed


def make_norm(config: ModelConfig) -> RMSNorm | nn.LayerNorm:
    kind = nn.LayerNorm if config.norm == "layer" else RMSNorm
    return kind(config.d_model, config.norm_eps)


def make_attention(config: ModelConfig, layer: int) -> Attention | LatentAttention:
    """The attention of block `layer` (counted from 0)."""
    if isinstance(config.attention, LatentAttentionConfig):
        return LatentAttention(config.attention)
    return Attention(config.attention, config.norm_eps, config.window_of(layer))


def make_ff(config: ModelConfig, layer: int, rule: RoutingRule | None) -> MoE | SwiGLU | GeluMLP:
    if config.moe is not None and layer not in config.dense_layers:
        return MoE(config.moe, rule=rule)
    assert config.d_ff is not None  # ModelConfig refuses a dense layer without a width
    dense = GeluMLP if config.ff == "gelu" else SwiGLU
    return dense(config.d_model, config.d_ff, config.ff_bias)


class Block(nn.Module):
    """Attention and a feed-forward layer, dense or MoE, each after a norm and with a residual."""

    def __init__(self, config: ModelConfig, layer: int, rule: RoutingRule | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.attention_norm = make_norm(config)
        self.attention = make_attention(config, layer)
        self.ff_norm = make_norm(config)
        self.ff = make_ff(config, layer, rule)

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        by: Rotation | None,
        cache: KVCache | None = None,
        noise_seed: int | torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B L D"], Routing | None]:
        x = x + self.attention(self.attention_norm(x), by, cache, self.layer)
        h = self.ff_norm(x)
        if isinstance(self.ff, MoE):
            y, routing = self.ff(h.flatten(0, 1), noise_seed)
            return x + y.view_as(x), routing
        return x + self.ff(h), None


class Transformer(nn.Module):
    """A decoder-only transformer that returns its logits and every router's decisions.

    Args:
        seed: of the initial weights.
        rule: the rule of every router; None = `minimoe.model.routing.route`.
    """

    def __init__(self, config: ModelConfig, seed: int = 0, rule: RoutingRule | None = None) -> None:
        super().__init__()
        self.config = config
        tied, table = config.tie_embeddings, (config.vocab_size, config.d_model)
        # The matrix that computes logits starts small, so that no token is preferred.
        self.embedding = matrix(*table, spread=0.02 if tied else 0.4)
        self.positions = None
        if config.learned_positions:
            self.positions = matrix(config.max_length, config.d_model, spread=0.02)
        self.blocks = nn.ModuleList(Block(config, layer, rule) for layer in range(config.n_layers))
        self.norm = make_norm(config)
        self.head = None if tied else matrix(*table, spread=0.02)
        initialize_(self, seed, config.n_layers)

    extra_repr = shapes

    def layers(self) -> list[Block]:
        """The blocks in order, wrapped ones (compiled, checkpointed) too."""
        return [cast(Block, block) for block in self.blocks]

    def moe_layers(self) -> list[MoE]:
        """The Mixture-of-Experts layers, in the order of the routings."""
        return [module for module in self.modules() if isinstance(module, MoE)]

    def forward(
        self,
        tokens: Integer[Tensor, "B L"],
        cache: KVCache | None = None,
        noise_seed: int | torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B L V"], tuple[Routing, ...]]:
        """Predict the token after each one.

        Args:
            tokens: in [0, vocab_size), of any integer dtype.
            cache: keys and values of the positions already read; the new ones are added to it.
            noise_seed: of the noise in the routers; None = without noise, as in evaluation. Each
                layer derives its own seed from it. So a layer that is computed again (activation
                checkpointing) has the same noise.

        Returns:
            logits: before softmax, for the next token. In an untrained model they are near 0, so
                the loss is about ln(vocab_size): 5.545 for bytes.
            routings: one for each MoE layer, tokens flattened to T = B * L; empty if dense.

        Raises:
            InputError: there are more positions than the cache or max_length has room for, or a
                token is not in the vocabulary.
        """
        n_read = 0 if cache is None else cache.n_read
        self._check(tokens, n_read, cache)
        tokens = tokens.long()
        x = nn.functional.embedding(tokens, self.embedding)
        positions = torch.arange(n_read, n_read + tokens.shape[1], device=tokens.device)
        if self.positions is not None:
            x = x + nn.functional.embedding(positions, self.positions)
        by = rotation_of(self.config.attention, positions, x.dtype)
        routings, moe = [], self.config.moe
        if moe is None or not moe.router_noise:
            noise_seed = None
        for layer, block in enumerate(self.layers()):
            seed = None if noise_seed is None else derived_seed(noise_seed, layer)
            x, routing = block(x, by, cache, seed)
            if routing is not None:
                routings.append(routing)
        if cache is not None:
            cache.n_read += tokens.shape[1]
        head = self.embedding if self.head is None else self.head
        return nn.functional.linear(self.norm(x), head), tuple(routings)

    def _check(self, tokens: Integer[Tensor, "B L"], n_read: int, cache: KVCache | None) -> None:
        """Refuse more positions than there is room for, and tokens outside the vocabulary."""
        room, length = self.config.max_length, n_read + tokens.shape[1]
        if cache is not None:
            room = min(room, cache.room)
        if length > room:
            raise InputError(
                f"there is room for {room} positions, got {length}; "
                "give a shorter text or a larger max_length"
            )
        if not tokens.numel() or torch.compiler.is_compiling() or fixed_shapes(tokens):
            return
        last = self.config.vocab_size - 1
        low, high = (int(extreme) for extreme in tokens.aminmax())
        if low < 0 or high > last:
            wrong = low if low < 0 else high
            raise InputError(f"a token must lie in [0, vocab_size - 1={last}], got {wrong}")
