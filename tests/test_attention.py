"""Attention is causal, relative, grouped, and the same with a cache as without."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_cases import chunks, inputs, randomize_, rope_fields
from hypothesis import given
from hypothesis import strategies as st

from minimoe import AttentionConfig, LatentAttentionConfig, ModelConfig, RopeConfig, fast
from minimoe.model.attention import Attention, causal_attention, visible
from minimoe.model.cache import KVCache
from minimoe.model.reference import reference_attention, reference_rotate
from minimoe.model.rotary import rope_score_factor, rotate, rotation, rotation_of
from minimoe.model.transformer import make_attention


def random_attention(config: AttentionConfig, window: int | None = None) -> Attention:
    attention = Attention(config, window=window)
    randomize_(attention)
    return attention


def run(attention: Attention, x: torch.Tensor) -> torch.Tensor:
    return attention(x, rotation_of(attention.config, torch.arange(x.shape[1]), x.dtype))


def run_in_chunks(attention: Attention, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """As the second of three layers, so that a layer that reads another's cache is found out."""
    model = ModelConfig(n_layers=3, attention=attention.config, d_ff=1)
    cache = KVCache(model, len(x), x.shape[1], like=x)
    outputs = []
    for chunk in x.split(sizes, dim=1):
        positions = torch.arange(cache.n_read, cache.n_read + chunk.shape[1])
        by = rotation_of(attention.config, positions, x.dtype)
        outputs.append(attention(chunk, by, cache, layer=1))
        cache.n_read += chunk.shape[1]
    return torch.cat(outputs, dim=1)


@st.composite
def attention_fields(draw: st.DrawFn) -> dict[str, Any]:
    n_kv_heads = draw(st.integers(1, 3))
    rope, half = draw(st.none() | rope_fields), draw(st.integers(1, 4))
    return {
        "d_model": 5,
        "n_heads": n_kv_heads * draw(st.integers(1, 3)),
        "n_kv_heads": n_kv_heads,
        "d_head": 2 * half - 1 if rope is None else 2 * half,
        "rope": rope,
        "qk_norm": draw(st.sampled_from(["none", "head", "all_heads"])),
        "qkv_bias": draw(st.booleans()),
        "o_bias": draw(st.booleans()),
        "sinks": draw(st.booleans()),
        "clip_qkv": draw(st.none() | st.just(0.5)),
    }


def attention_config(fields: dict[str, Any]) -> AttentionConfig:
    rope = None if fields["rope"] is None else RopeConfig(**fields["rope"])
    return AttentionConfig(**{**fields, "rope": rope})


windows = st.none() | st.integers(1, 8)


@given(attention_fields(), windows, st.integers(1, 6))
def test_attention_equals_the_reference(
    fields: dict[str, Any], window: int | None, length: int
) -> None:
    attention = random_attention(attention_config(fields), window)
    x = inputs(2, length, 5)
    wanted = torch.stack([reference_attention(attention, sequence) for sequence in x])
    torch.testing.assert_close(run(attention, x), wanted, rtol=1e-10, atol=1e-12)


@given(attention_fields(), windows, chunks(8))
def test_attention_with_a_cache_in_any_chunks_is_attention_at_once(
    fields: dict[str, Any], window: int | None, sizes: list[int]
) -> None:
    attention = random_attention(attention_config(fields), window)
    x = inputs(2, 8, 5)
    torch.testing.assert_close(
        run_in_chunks(attention, x, sizes), run(attention, x), rtol=1e-10, atol=1e-12
    )


def small(**changes: Any) -> AttentionConfig:
    return AttentionConfig(**{"d_model": 8, "n_heads": 4, "n_kv_heads": 2, "d_head": 4, **changes})


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("sinks", [False, True])
def test_a_later_token_changes_no_earlier_output(window: int | None, sinks: bool) -> None:
    attention, x = random_attention(small(sinks=sinks), window), inputs(1, 9, 8)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = run(attention, x), run(attention, changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] - after[:, 6:]).abs().min() > 0


@pytest.mark.parametrize("sinks", [False, True])
def test_a_token_before_the_window_changes_nothing(sinks: bool) -> None:
    attention, x = random_attention(small(sinks=sinks), 3), inputs(1, 9, 8)
    changed = x.clone()
    changed[:, 2] += 1
    before, after = run(attention, x), run(attention, changed)
    assert torch.equal(before[:, 5:], after[:, 5:])
    assert (before[:, 2:5] - after[:, 2:5]).abs().amin() > 0  # the window holds its own position


def test_a_window_as_long_as_the_text_changes_nothing() -> None:
    x = inputs(2, 7, 8)
    whole = run(random_attention(small()), x)
    assert torch.equal(run(random_attention(small(), 7), x), whole)
    assert not torch.equal(run(random_attention(small(), 6), x), whole)


def test_a_window_of_one_position_returns_the_clipped_values() -> None:
    attention, x = random_attention(small(n_kv_heads=4, clip_qkv=0.25), 1), inputs(2, 5, 8)
    values = (x @ attention.v.T).clamp(-0.25, 0.25)
    assert (values.abs() == 0.25).any()
    torch.testing.assert_close(run(attention, x), values @ attention.o.T, rtol=1e-12, atol=1e-12)


def test_visible_positions_are_the_latest_up_to_the_own() -> None:
    assert visible(3, 3, None).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert visible(2, 3, 2).int().tolist() == [[1, 1, 0], [0, 1, 1]]
    assert visible(1, 4, 3).int().tolist() == [[0, 1, 1, 1]]
    assert visible(2, 4, 9).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_a_sink_of_logit_0_beside_one_score_of_0_takes_half() -> None:
    attention, x = random_attention(small(n_kv_heads=4, sinks=True)), inputs(1, 1, 8)
    values = x @ attention.v.T @ attention.o.T
    with torch.no_grad():
        attention.q.zero_()
        for logit, share in ((0.0, 1 / 2), (math.log(3), 1 / 4), (-1e4, 1.0)):
            attention.sinks.fill_(logit)
            torch.testing.assert_close(run(attention, x), share * values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("n_kv_heads", "window", "n_read"), [(1, None, 0), (2, 2, 0), (1, 2, 2)])
def test_gradients_through_sinks_and_windows_are_exact(
    n_kv_heads: int, window: int | None, n_read: int
) -> None:
    generator = torch.Generator().manual_seed(2)

    def leaf(*shape: int) -> torch.Tensor:
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        return drawn.requires_grad_()

    n_seen = 3 + n_read
    q, k, v = leaf(1, 2, 3, 3), leaf(1, n_kv_heads, n_seen, 3), leaf(1, n_kv_heads, n_seen, 2)
    assert torch.autograd.gradcheck(
        lambda q, k, v, sinks: causal_attention(q, k, v, window, sinks), (q, k, v, leaf(2))
    )


def test_gradients_reach_every_parameter() -> None:
    config = small(qkv_bias=True, o_bias=True, sinks=True, qk_norm="all_heads")
    attention, x = random_attention(config, 3), inputs(2, 6, 8)
    run(attention, x).square().sum().backward()
    assert len(list(attention.parameters())) == 11
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-6, name


class Recorder:
    """Stands before torch's attention and keeps what it was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[int, bool, bool]] = []
        engine = fast.attention

        def record(q: Any, k: Any, v: Any, attn_mask: Any = None, **options: Any) -> Any:
            causal = options.get("is_causal", False)
            self.calls.append((k.shape[2], attn_mask is not None, causal))
            return engine(q, k, v, attn_mask, **options)

        monkeypatch.setattr(fast, "attention", record)


def test_a_mask_is_built_only_where_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, x = Recorder(monkeypatch), inputs(1, 6, 8)
    run(random_attention(small()), x)
    run(random_attention(small(), 6), x)
    assert recorder.calls == [(6, False, True)] * 2
    recorder.calls.clear()
    run(random_attention(small(), 5), x)
    assert recorder.calls == [(6, True, False)]
    recorder.calls.clear()
    run_in_chunks(random_attention(small()), x, [3, 2, 1])
    assert recorder.calls == [(3, False, True), (5, True, False), (6, False, False)]


def test_a_new_token_reads_no_key_before_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, x = Recorder(monkeypatch), inputs(1, 6, 8)
    run_in_chunks(random_attention(small(), 3), x, [4, 1, 1])
    assert recorder.calls == [(4, True, False), (3, False, False), (3, False, False)]


def test_scores_depend_on_the_distance_of_two_positions_alone() -> None:
    rope = RopeConfig()
    q, k = inputs(1, 1, 4), inputs(1, 1, 4) + 1
    products = []
    for m, n in ((3, 1), (103, 101), (7, 1)):
        turned = [
            rotate(vector[None], rotation(torch.tensor([at]), rope, 4, torch.float64))
            for vector, at in ((q, m), (k, n))
        ]
        products.append(float((turned[0] * turned[1]).sum()))
    assert products[0] == pytest.approx(products[1], abs=1e-12)
    assert abs(products[0] - products[2]) > 1e-3


def test_rotation_turns_pair_0_by_one_radian_a_position() -> None:
    by = rotation(torch.arange(3), RopeConfig(), 4, torch.float64)
    assert by.cos[0].tolist() == [1, 1]
    assert by.sin[0].tolist() == [0, 0]
    assert by.sin[2, 0].item() == pytest.approx(0.9092974268, abs=1e-10)  # sin 2
    assert by.sin[2, 1].item() == pytest.approx(0.0199986667, abs=1e-10)  # sin (2 / 100)


@given(rope_fields, st.integers(1, 20), st.integers(0, 300_000))
def test_rotation_equals_the_reference_near_and_far(
    fields: dict[str, Any], half: int, position: int
) -> None:
    rope = RopeConfig(**fields)
    head = inputs(1, 1, 2 * half).flatten()
    by = rotation(torch.tensor([position]), rope, 2 * half, torch.float64)
    torch.testing.assert_close(
        rotate(head.view(1, 1, 1, -1), by, rope.interleaved).flatten(),
        reference_rotate(head, position, rope),
        rtol=1e-9,
        atol=1e-9,
    )


def angles(rope: RopeConfig, position: int, width: int = 64) -> torch.Tensor:
    """Of all pairs, for positions that turn none by more than half a circle."""
    by = rotation(torch.tensor([position]), rope, width, torch.float64)
    return torch.atan2(by.sin, by.cos)[0]


def test_linear_scaling_by_2_puts_position_2p_where_p_was() -> None:
    linear = rotation(
        2 * torch.arange(50), RopeConfig(scaling="linear", factor=2.0), 8, torch.double
    )
    none = rotation(torch.arange(50), RopeConfig(), 8, torch.double)
    assert torch.equal(linear.cos, none.cos) and torch.equal(linear.sin, none.sin)


@pytest.mark.parametrize("scaling", ["linear", "llama3", "yarn"])
def test_a_factor_of_1_scales_nothing(scaling: Any) -> None:
    rope = RopeConfig(scaling=scaling, original_length=64, mscale=0.5, mscale_all_dim=2.0)
    scaled = rotation(torch.arange(200), rope, 16, torch.float64)
    none = rotation(torch.arange(200), RopeConfig(), 16, torch.float64)
    torch.testing.assert_close(scaled.cos, none.cos, rtol=0, atol=1e-13)
    torch.testing.assert_close(scaled.sin, none.sin, rtol=0, atol=1e-13)
    assert rope_score_factor(rope) == 1


def test_llama3_keeps_fast_pairs_and_divides_slow_ones() -> None:
    # Llama 3.1: pairs of more than 4 turns over 8192 positions stay, of less than 1 are divided.
    rope = RopeConfig(base=500_000.0, scaling="llama3", factor=8.0, original_length=8192)
    ratio = angles(rope, 1, 128) / angles(RopeConfig(base=500_000.0), 1, 128)
    turns = 8192 * angles(RopeConfig(base=500_000.0), 1, 128) / (2 * math.pi)
    torch.testing.assert_close(ratio[turns > 4], torch.ones(29, dtype=torch.double))
    torch.testing.assert_close(ratio[turns < 1], torch.full((29,), 1 / 8, dtype=torch.double))
    between = ratio[(turns > 1) & (turns < 4)]
    assert len(between) == 6 and between.diff().max() < 0


def test_yarn_keeps_the_pairs_before_its_range_and_divides_those_after() -> None:
    # DeepSeek-V3: of 32 pairs, those that turn 32 times and once over 4096 positions are numbers
    # 10.47 and 22.51.
    rope = RopeConfig(scaling="yarn", factor=40.0, original_length=4096)
    ratio = angles(rope, 1) / angles(RopeConfig(), 1)
    torch.testing.assert_close(ratio[:11], torch.ones(11, dtype=torch.double))
    torch.testing.assert_close(ratio[23:], torch.full((9,), 1 / 40, dtype=torch.double))
    halfway = 1 - 6 / 13 * (1 - 1 / 40)  # pair 16 of the range from 10 to 23
    assert ratio[16].item() == pytest.approx(halfway, abs=1e-12)
    exact = angles(replace(rope, truncate=False), 1) / angles(RopeConfig(), 1)
    share = (16 - 10.4722) / (22.5134 - 10.4722)
    assert exact[16].item() == pytest.approx(1 - share * (1 - 1 / 40), abs=1e-5)


@pytest.mark.parametrize(
    ("fields", "factor", "score_factor"),
    [
        ({}, 1.3689, 1.0),  # m(1) = 1 + 0.1 ln 40
        ({"mscale": 1.0, "mscale_all_dim": 1.0}, 1.0, 1.8739),  # DeepSeek-V3: m(1)^2
        ({"mscale": 0.707, "mscale_all_dim": 0.707}, 1.0, 1.5896),  # DeepSeek-V2: m(0.707)^2
        ({"mscale": 0.707, "mscale_all_dim": 1.0}, 0.9210, 1.8739),
        ({"mscale": 2.0}, 1.3689, 1.0),  # mscale counts only beside mscale_all_dim
        ({"mscale": 2.0, "mscale_all_dim": 0.0}, 1.3689, 1.0),
        ({"mscale_all_dim": 1.0}, 1.3689, 1.8739),
        ({"attention_factor": 1.25, "mscale": 1.0, "mscale_all_dim": 2.0}, 1.25, 3.0199),
    ],
)
def test_yarn_multiplies_position_0_by_the_attention_factor(
    fields: dict[str, float], factor: float, score_factor: float
) -> None:
    rope = RopeConfig(scaling="yarn", factor=40.0, original_length=4096, **fields)
    by = rotation(torch.arange(1), rope, 8, torch.float64)
    assert by.cos[0].tolist() == pytest.approx([factor] * 4, abs=1e-4)
    assert by.sin[0].tolist() == [0] * 4
    assert rope_score_factor(rope) == pytest.approx(score_factor, abs=1e-4)
    assert rope_score_factor(replace(rope, scaling="linear")) == 1


def test_interleaved_pairs_are_neighbours() -> None:
    by = rotation(torch.tensor([3]), RopeConfig(), 4, torch.float64)
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).view(1, 1, 1, 4)
    halves = rotate(x[..., [0, 2, 1, 3]], by)
    assert torch.equal(rotate(x, by, interleaved=True)[..., [0, 2, 1, 3]], halves)
    assert not torch.equal(rotate(x, by), rotate(x, by, interleaved=True))


def test_a_rotation_has_the_width_of_what_it_turns() -> None:
    latent = LatentAttentionConfig(d_model=8, n_heads=2, kv_rank=4, d_nope=6, d_rope=2, d_value=3)
    positions = torch.arange(5)
    assert rotation_of(small(), positions, torch.float64).cos.shape == (5, 2)
    assert rotation_of(latent, positions, torch.float64).cos.shape == (5, 1)
    assert rotation_of(small(rope=None), positions, torch.float64) is None


def test_only_the_sliding_layers_have_a_window() -> None:
    model = ModelConfig(
        n_layers=3,
        attention=small(sliding_window=2, qk_norm="head"),
        sliding_layers=(0, 2),
        d_ff=1,
        norm_eps=0.25,
    )
    layers = [make_attention(model, layer) for layer in range(3)]
    assert [layer.window for layer in layers] == [2, None, 2]
    assert layers[0].q_norm.eps == layers[0].k_norm.eps == 0.25


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_cache_holds_the_bytes_of_keys_and_values(dtype: torch.dtype) -> None:
    model = ModelConfig(n_layers=3, attention=small(sliding_window=2), d_ff=1)
    cache = KVCache(model, 5, 7, like=torch.zeros(1, dtype=dtype))
    held = sum(t.numel() * t.element_size() for t in vars(cache).values() if torch.is_tensor(t))
    assert cache.n_bytes == held == 3 * 5 * 7 * (2 * 2 * 4) * dtype.itemsize


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_option_keeps_the_dtype(dtype: torch.dtype) -> None:
    config = small(
        qkv_bias=True,
        o_bias=True,
        sinks=True,
        qk_norm="head",
        clip_qkv=2.0,
        rope=RopeConfig(scaling="yarn", factor=4.0, original_length=8),
    )
    attention, x = random_attention(config, 3), inputs(2, 6, 8)
    wanted = run(attention, x)
    y = run(attention.to(dtype), x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=1e3 * torch.finfo(dtype).eps / 8)


def test_multi_query_attention_is_multi_head_attention_with_copied_keys() -> None:
    one = random_attention(small(n_kv_heads=1))
    many = random_attention(small(n_kv_heads=4))
    with torch.no_grad():
        many.q.copy_(one.q)
        many.o.copy_(one.o)
        many.k.copy_(one.k.repeat(4, 1))
        many.v.copy_(one.v.repeat(4, 1))
    x = inputs(2, 7, 8)
    torch.testing.assert_close(run(one, x), run(many, x), rtol=1e-12, atol=1e-12)
