"""Attention is causal, relative, grouped, and the same with a cache as without."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import AttentionConfig
from minimoe.model.attention import Attention, rotate, rotation
from minimoe.model.init import initialize_
from minimoe.model.reference import reference_attention, reference_rotate


def random_attention(config: AttentionConfig) -> Attention:
    attention = Attention(config)
    initialize_(attention, seed=0)
    return attention.double()


def inputs(n_sequences: int, length: int, d_model: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_sequences, length, d_model, generator=generator, dtype=torch.float64)


def run(attention: Attention, x: torch.Tensor) -> torch.Tensor:
    return attention(x, rotation(torch.arange(x.shape[1]), attention.config, x.dtype))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(1, 6))
def test_attention_equals_the_reference(
    n_kv_heads: int, group: int, half: int, qk_norm: bool, length: int
) -> None:
    config = AttentionConfig(
        d_model=5,
        n_heads=n_kv_heads * group,
        n_kv_heads=n_kv_heads,
        d_head=2 * half,
        qk_norm="head" if qk_norm else "none",
    )
    attention, x = random_attention(config), inputs(2, length, 5)
    wanted = torch.stack([reference_attention(attention, sequence) for sequence in x])
    torch.testing.assert_close(run(attention, x), wanted, rtol=1e-12, atol=1e-12)


def small(**changes: int) -> AttentionConfig:
    return AttentionConfig(**{"d_model": 8, "n_heads": 4, "n_kv_heads": 2, "d_head": 4, **changes})


def test_a_later_token_changes_no_earlier_output() -> None:
    attention, x = random_attention(small()), inputs(1, 9, 8)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = run(attention, x), run(attention, changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] - after[:, 6:]).abs().min() > 0


def test_scores_depend_on_the_distance_of_two_positions_alone() -> None:
    config = small()
    q, k = inputs(1, 1, 4), inputs(1, 1, 4) + 1
    products = []
    for m, n in ((3, 1), (103, 101), (7, 1)):
        turned = [
            rotate(vector[None], rotation(torch.tensor([at]), config, torch.float64))
            for vector, at in ((q, m), (k, n))
        ]
        products.append(float((turned[0] * turned[1]).sum()))
    assert products[0] == pytest.approx(products[1], abs=1e-12)
    assert abs(products[0] - products[2]) > 1e-3


def test_rotation_turns_pair_0_by_one_radian_a_position() -> None:
    by = rotation(torch.arange(3), small(), torch.float64)
    assert by.cos[0].tolist() == [1, 1]
    assert by.sin[0].tolist() == [0, 0]
    assert by.sin[2, 0].item() == pytest.approx(0.9092974268, abs=1e-10)  # sin 2
    assert by.sin[2, 1].item() == pytest.approx(0.0199986667, abs=1e-10)  # sin (2 / 100)


def test_rotation_equals_the_reference_far_out() -> None:
    head = inputs(1, 1, 4).flatten()
    by = rotation(torch.tensor([100_003]), small(), torch.float64)
    torch.testing.assert_close(
        rotate(head.view(1, 1, 1, 4), by).flatten(),
        reference_rotate(head, 100_003, 10_000.0),
        rtol=1e-11,
        atol=1e-11,
    )


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
