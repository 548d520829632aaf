"""Text generation with a KV cache, one token after another."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import InputError, ModelConfig
from minimoe.model.cache import KVCache
from minimoe.model.transformer import Transformer


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
    """Generate `n_tokens` tokens after the prompt; each step computes one position.

    Args:
        prompt: at least one token.
        temperature: divides the logits; 1 leaves them unchanged, 0 takes the most likely token.
        top_k: sample from the k most likely tokens only; None = from all.
        top_p: sample from the smallest set of tokens whose probabilities sum to at least p.
        seed: the same seed gives the same text.

    Yields:
        Token numbers. With temperature 0 (or top_k 1) the first is the prompt's argmax.

    Raises:
        InputError: a number is out of range, the prompt is empty, or the text is too long.
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

    Logits (ln 4, ln 2, ln 1, ln 1) give (1/2, 1/4, 1/8, 1/8). With top_k=2 or top_p=0.7 they give
    (2/3, 1/3, 0, 0), and with temperature 0 they give (1, 0, 0, 0).
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
