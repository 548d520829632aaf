"""Latent attention is the same naive and absorbed, and its cache holds latents alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_cases import chunks, inputs, randomize_, rope_fields
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from minimoe import AttentionConfig, LatentAttentionConfig, ModelConfig, RopeConfig
from minimoe.model.cache import KVCache
from minimoe.model.latent_attention import LatentAttention
from minimoe.model.reference import (
    reference_latent_attention,
    reference_norm,
    reference_rotate,
)
from minimoe.model.rotary import rotation_of
from minimoe.model.transformer import make_attention

ways = st.sampled_from(["naive", "absorbed", "auto"])


def random_attention(config: LatentAttentionConfig) -> LatentAttention:
    attention = LatentAttention(config)
    randomize_(attention)
    return attention


def run(attention: LatentAttention, x: torch.Tensor) -> torch.Tensor:
    return attention(x, rotation_of(attention.config, torch.arange(x.shape[1]), x.dtype))


def in_way(attention: LatentAttention, way: Any) -> LatentAttention:
    """The same weights, computed in that way."""
    other = LatentAttention(replace(attention.config, way=way)).double()
    other.load_state_dict(attention.state_dict())
    return other


def new_cache(config: LatentAttentionConfig, x: torch.Tensor) -> KVCache:
    model = ModelConfig(n_layers=3, attention=config, d_ff=1)
    return KVCache(model, len(x), x.shape[1], like=x)


def run_in_chunks(attention: LatentAttention, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """As the second of three layers, so that a layer that reads another's cache is found out."""
    cache, outputs = new_cache(attention.config, x), []
    for chunk in x.split(sizes, dim=1):
        positions = torch.arange(cache.n_read, cache.n_read + chunk.shape[1])
        by = rotation_of(attention.config, positions, x.dtype)
        outputs.append(attention(chunk, by, cache, layer=1))
        cache.n_read += chunk.shape[1]
    return torch.cat(outputs, dim=1)


# Of a LatentAttentionConfig with d_model 5, which the test builds (see `rope_fields`).
latent_fields = st.fixed_dictionaries(
    {
        "n_heads": st.integers(1, 3),
        "kv_rank": st.integers(1, 5),
        "q_rank": st.none() | st.integers(1, 5),
        "d_nope": st.integers(1, 4),
        "d_rope": st.sampled_from([2, 4, 6]),
        "d_value": st.integers(1, 4),
        "rope": rope_fields,
        "bias": st.booleans(),
    }
)


def latent_config(fields: dict[str, Any], way: Any = "auto") -> LatentAttentionConfig:
    rope = RopeConfig(**fields["rope"])
    return LatentAttentionConfig(**{**fields, "d_model": 5, "rope": rope, "way": way})


@given(latent_fields, ways, st.integers(1, 6))
def test_latent_attention_equals_the_reference(
    fields: dict[str, Any], way: str, length: int
) -> None:
    attention, x = random_attention(latent_config(fields, way)), inputs(2, length, 5)
    wanted = torch.stack([reference_latent_attention(attention, sequence) for sequence in x])
    torch.testing.assert_close(run(attention, x), wanted, rtol=1e-10, atol=1e-12)


@given(latent_fields, st.integers(1, 9))
def test_absorbed_equals_naive(fields: dict[str, Any], length: int) -> None:
    naive, x = random_attention(latent_config(fields, "naive")), inputs(2, length, 5)
    absorbed = in_way(naive, "absorbed")
    torch.testing.assert_close(run(absorbed, x), run(naive, x), rtol=1e-12, atol=1e-12)


@given(latent_fields, ways, chunks(8))
def test_latent_attention_with_a_cache_in_any_chunks_is_latent_attention_at_once(
    fields: dict[str, Any], way: str, sizes: list[int]
) -> None:
    naive, x = random_attention(latent_config(fields, "naive")), inputs(2, 8, 5)
    torch.testing.assert_close(
        run_in_chunks(in_way(naive, way), x, sizes), run(naive, x), rtol=1e-12, atol=1e-12
    )


def small(**changes: Any) -> LatentAttentionConfig:
    sizes = {"d_model": 8, "n_heads": 3, "kv_rank": 5, "d_nope": 4, "d_rope": 2, "d_value": 7}
    return LatentAttentionConfig(**{**sizes, **changes})


@pytest.mark.parametrize("way", ["naive", "absorbed"])
def test_scores_are_multiplied_by_yarns_factor(way: str) -> None:
    rope = RopeConfig(
        scaling="yarn", factor=40.0, original_length=4, mscale=1.0, mscale_all_dim=1.0
    )
    attention, x = random_attention(small(way=way, rope=rope)), inputs(1, 9, 8)
    wanted = reference_latent_attention(attention, x[0])
    torch.testing.assert_close(run(attention, x)[0], wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", ["naive", "absorbed"])
def test_a_later_token_changes_no_earlier_output(way: str) -> None:
    attention, x = random_attention(small(way=way)), inputs(1, 9, 8)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = run(attention, x), run(attention, changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] - after[:, 6:]).abs().min() > 0


@pytest.mark.parametrize("way", ["naive", "absorbed"])
def test_one_position_alone_returns_its_value(way: str) -> None:
    attention, x = random_attention(small(way=way)), inputs(2, 1, 8)
    latent = attention.kv_norm(x @ attention.kv_down[:5].T)
    values = (latent @ attention.kv_up.T).unflatten(-1, (3, 4 + 7))[..., 4:].flatten(-2)
    torch.testing.assert_close(run(attention, x), values @ attention.o.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("q_rank", [None, 6])
def test_gradients_are_those_of_the_naive_way_and_reach_every_parameter(q_rank: int | None) -> None:
    naive, x = random_attention(small(q_rank=q_rank, bias=True, way="naive")), inputs(2, 5, 8)
    absorbed = in_way(naive, "absorbed")
    for attention in (naive, absorbed):
        run(attention, x).square().sum().backward()
    wanted = dict(naive.named_parameters())
    assert len(wanted) == (7 if q_rank is None else 10)
    for name, parameter in absorbed.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name
        torch.testing.assert_close(parameter.grad, wanted[name].grad, rtol=1e-10, atol=1e-10)


def test_auto_is_absorbed_once_a_cache_has_been_read(monkeypatch: pytest.MonkeyPatch) -> None:
    attention, x, taken = random_attention(small(way="auto")), inputs(2, 6, 8), []
    for way in ("naive", "absorbed"):
        compute = getattr(attention, way)

        def record(*q_and_kept: torch.Tensor, way: str = way, compute: Any = compute) -> Any:
            taken.append(way)
            return compute(*q_and_kept)

        monkeypatch.setattr(attention, way, record)
    run(attention, x)
    assert taken == ["naive"]
    taken.clear()
    run_in_chunks(attention, x, [3, 2, 1])
    assert taken == ["naive", "absorbed", "absorbed"]


class Largest(TorchDispatchMode):
    """Keeps the number of elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("n_new", [1, 2])
def test_absorbed_never_expands_the_cached_latents(n_new: int) -> None:
    x = inputs(1, 400, 8)
    attention = random_attention(small(way="naive"))
    largest = {}
    for way in ("naive", "absorbed"):
        layer, cache = in_way(attention, way), new_cache(small(), x)
        cache.n_read = 400 - n_new
        by = rotation_of(small(), torch.arange(400 - n_new, 400), x.dtype)
        with torch.no_grad(), Largest() as seen:
            layer(x[:, -n_new:], by, cache)
        largest[way] = seen.elements
    assert largest["naive"] >= 400 * 3 * (4 + 7)  # every head's key and value of every position
    assert largest["absorbed"] <= 400 * max(5 + 2, 3 * n_new)  # the cache, or the scores


def test_a_cache_holds_the_normed_latent_and_the_rotated_key() -> None:
    attention, x = random_attention(small(bias=True)), inputs(2, 4, 8)
    cache = new_cache(attention.config, x)
    attention(x, rotation_of(attention.config, torch.arange(4), x.dtype), cache, layer=2)
    assert not cache.kv[:2].any()
    for b in range(2):
        for position in range(4):
            down = attention.kv_down @ x[b, position] + attention.kv_down_bias
            latent = reference_norm(down[:5], attention.kv_norm.weight, 1e-6)
            key = reference_rotate(down[5:], position, attention.config.rope)
            torch.testing.assert_close(cache.kv[2, b, 0, position], torch.cat((latent, key)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_cache_holds_the_bytes_of_latents_and_rotary_keys(dtype: torch.dtype) -> None:
    model = ModelConfig(n_layers=3, attention=small(), d_ff=1)
    cache = KVCache(model, 4, 9, like=torch.zeros(1, dtype=dtype))
    held = sum(t.numel() * t.element_size() for t in vars(cache).values() if torch.is_tensor(t))
    assert cache.n_bytes == held == (5 + 2) * 3 * 9 * 4 * dtype.itemsize


def test_deepseek_v3_keeps_70272_bytes_a_token() -> None:
    latent = LatentAttentionConfig(
        d_model=7168, n_heads=128, q_rank=1536, kv_rank=512, d_nope=128, d_rope=64, d_value=128
    )
    full = AttentionConfig(d_model=7168, n_heads=128, n_kv_heads=128, d_head=128)
    like = torch.empty(1, dtype=torch.bfloat16, device="meta")
    model = ModelConfig(n_layers=61, attention=latent, d_ff=1)
    assert KVCache(model, 1, 1, like).n_bytes == 70_272  # 61 layers of 512 + 64 elements
    model = replace(model, attention=full)
    assert KVCache(model, 1, 1, like).n_bytes == 3_997_696  # 61 layers of 2 * 128 * 128


def test_shapes_are_as_documented() -> None:
    def shapes(attention: LatentAttention) -> dict[str, tuple[int, ...]]:
        return {name: tuple(p.shape) for name, p in attention.named_parameters()}

    kv = {"kv_down": (7, 8), "kv_norm.weight": (5,), "kv_up": (33, 5), "o": (8, 21)}
    q = {"q_down": (6, 8), "q_norm.weight": (6,), "q_up": (18, 6)}
    biases = {"kv_down_bias": (7,), "o_bias": (8,)}
    assert shapes(LatentAttention(small())) == {"q": (18, 8), **kv}
    assert shapes(LatentAttention(small(q_rank=6))) == {**q, **kv}
    assert shapes(LatentAttention(small(bias=True))) == {"q": (18, 8), **kv, **biases}
    assert shapes(LatentAttention(small(q_rank=6, bias=True))) == {
        **q, **kv, **biases, "q_down_bias": (6,),
    }  # fmt: skip
    model = ModelConfig(n_layers=2, attention=small(), d_ff=1)
    assert isinstance(make_attention(model, 1), LatentAttention)


@pytest.mark.parametrize("way", ["naive", "absorbed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_way_keeps_the_dtype(way: str, dtype: torch.dtype) -> None:
    attention, x = random_attention(small(q_rank=6, bias=True, way=way)), inputs(2, 6, 8)
    wanted = run(attention, x)
    y = run(attention.to(dtype), x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=1e3 * torch.finfo(dtype).eps / 8)
