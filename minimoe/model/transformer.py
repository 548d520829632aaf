"""What is the whole model, and how does it write text?"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import InputError, ModelConfig
from minimoe.model.attention import KVCache, Rotation, make_attention, rotation_of
from minimoe.model.experts import GeluMLP, SwiGLU
from minimoe.model.init import initialize_, parameter_if
from minimoe.model.moe import MoE
from minimoe.model.norm import RMSNorm
from minimoe.model.routing import Routing


def make_norm(config: ModelConfig) -> RMSNorm | nn.LayerNorm:
    """The norm that stands before every layer and before the head."""
    if config.norm == "layer":
        return nn.LayerNorm(config.d_model, config.norm_eps)
    return RMSNorm(config.d_model, config.norm_eps)


def make_ff(config: ModelConfig, layer: int) -> MoE | SwiGLU | GeluMLP:
    """The feed-forward layer of block `layer` (counted from 0)."""
    if config.moe is not None and config.is_moe_layer(layer):
        return MoE(config.moe)
    assert config.d_ff is not None  # ModelConfig refuses a dense layer without a width
    dense = GeluMLP if config.ff == "gelu" else SwiGLU
    return dense(config.d_model, config.d_ff, config.ff_bias)


class Block(nn.Module):
    """Attention and a feed-forward layer, dense or MoE, each after a norm and with a residual."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.attention_norm = make_norm(config)
        self.attention = make_attention(config, layer)
        self.ff_norm = make_norm(config)
        self.ff = make_ff(config, layer)

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        by: Rotation | None,
        cache: KVCache | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B L D"], Routing | None]:
        x = x + self.attention(self.attention_norm(x), by, cache, self.layer)
        h = self.ff_norm(x)
        if isinstance(self.ff, MoE):
            y, routing = self.ff(h.flatten(0, 1), generator)
            return x + y.view_as(x), routing
        return x + self.ff(h), None


class Transformer(nn.Module):
    """A decoder-only transformer that returns its logits and what every router decided.

    Args:
        config: sizes and rules.
        seed: of the initial weights.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.d_model))
        n_positions = config.max_length
        self.positions = parameter_if(config.learned_positions, n_positions, config.d_model)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = make_norm(config)
        self.head = parameter_if(not config.tie_embeddings, config.vocab_size, config.d_model)
        initialize_(self, seed, config.n_layers)

    def layers(self) -> list[Block]:
        """The blocks, in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def moe_layers(self) -> list[MoE]:
        """The Mixture-of-Experts layers, in the order of the routings."""
        return [block.ff for block in self.layers() if isinstance(block.ff, MoE)]

    def forward(
        self,
        tokens: Int[Tensor, "B L"],
        cache: KVCache | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "B L V"], tuple[Routing, ...]]:
        """Predict the token after each one.

        Args:
            tokens: in [0, vocab_size).
            cache: keys and values of the positions already read; the new ones are added to it.
            generator: of the noise in the routers, drawn layer after layer; None, as in
                evaluation, adds none. Only a model with `router_noise` draws from it.

        Returns:
            logits: before softmax, for the next token. An untrained model's are near 0: a loss of
                about ln(vocab_size), 5.545 for bytes.
            routings: one for each MoE layer, tokens flattened to T = B * L; empty if dense.

        Raises:
            InputError: more positions than the cache or max_length has room for, or a token that is
                not in the vocabulary.
        """
        n_read = 0 if cache is None else cache.n_read
        room = self.config.max_length
        if cache is not None:
            room = min(room, cache.room)
        if n_read + tokens.shape[1] > room:
            raise InputError(
                f"{n_read + tokens.shape[1]} positions exceed the {room} there is room for; "
                "give a shorter text or a larger max_length"
            )
        self._check_tokens(tokens)
        x = nn.functional.embedding(tokens, self.embedding)
        positions = torch.arange(n_read, n_read + tokens.shape[1], device=tokens.device)
        if self.positions is not None:
            x = x + nn.functional.embedding(positions, self.positions)
        by = rotation_of(self.config.attention, positions, x.dtype)
        routings = []
        for block in self.layers():
            x, routing = block(x, by, cache, generator)
            if routing is not None:
                routings.append(routing)
        if cache is not None:
            cache.n_read += tokens.shape[1]
        head = self.embedding if self.head is None else self.head
        return nn.functional.linear(self.norm(x), head), tuple(routings)

    def _check_tokens(self, tokens: Int[Tensor, "B L"]) -> None:
        if not tokens.numel():
            return
        last = self.config.vocab_size - 1
        low, high = (int(extreme) for extreme in tokens.aminmax())
        if low < 0 or high > last:
            wrong = low if low < 0 else high
            raise InputError(f"a token must lie in [0, vocab_size - 1={last}], got {wrong}")


@torch.no_grad()
def generate(
    model: Transformer,
    prompt: Int[Tensor, "P"],
    n_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Write `n_tokens` tokens after the prompt, one by one, each in the time of one position.

    Args:
        prompt: at least one token.
        n_tokens: how many to write.
        temperature: divides the logits; 0 takes the most likely token, 1 samples as trained.
        top_k: sample from the k most likely tokens only.
        top_p: sample from the smallest set of tokens whose probabilities sum to at least p.
        seed: the same seed gives the same text.

    Yields:
        Token numbers. With temperature 0 (or top_k 1) the first is the prompt's argmax.

    Raises:
        InputError: a number out of range, an empty prompt, or no room for the text.
    """
    _check_sampling(model.config, len(prompt), n_tokens, temperature, top_k, top_p)
    generator = torch.Generator(device=prompt.device).manual_seed(seed)
    length = len(prompt) + n_tokens
    cache = KVCache(model.config, 1, length, like=model.embedding)
    tokens = prompt.view(1, -1)
    for _ in range(n_tokens):
        logits, _routings = model(tokens, cache)
        probabilities = next_token_probabilities(logits[0, -1], temperature, top_k, top_p)
        tokens = torch.multinomial(probabilities, 1, generator=generator).view(1, 1)
        yield int(tokens)


def next_token_probabilities(
    logits: Float[Tensor, "V"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "V"]:
    """Probabilities after temperature, then top-k, then top-p.

    Logits (ln 4, ln 2, ln 1, ln 1) are (1/2, 1/4, 1/8, 1/8); top_k=2 makes them (2/3, 1/3, 0, 0);
    top_p=0.7 does the same; temperature 0 makes them (1, 0, 0, 0).
    """
    if temperature == 0:
        return nn.functional.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    ranked, order = (logits / temperature).softmax(-1).sort(descending=True, stable=True)
    if top_k is not None:
        ranked[top_k:] = 0
    ranked /= ranked.sum()
    if top_p is not None:
        before = ranked.cumsum(0) - ranked
        ranked[before >= top_p] = 0
    probabilities = torch.zeros_like(ranked).scatter(0, order, ranked)
    return probabilities / probabilities.sum()


def _check_sampling(
    config: ModelConfig,
    n_prompt: int,
    n_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> None:
    if n_prompt == 0:
        raise InputError("the prompt must hold at least 1 token, got 0")
    if n_tokens < 0:
        raise InputError(f"n_tokens must be at least 0, got {n_tokens}")
    if n_prompt + n_tokens > config.max_length:
        raise InputError(
            f"a prompt of {n_prompt} and {n_tokens} new tokens exceed "
            f"max_length={config.max_length}; shorten one of them"
        )
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature must be at least 0 and finite, got {temperature}")
    if top_k is not None and not 1 <= top_k <= config.vocab_size:
        raise InputError(f"top_k must lie in [1, vocab_size={config.vocab_size}], got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p must lie in (0, 1], got {top_p}")
