"""Is what a view shows what the routers decided, in windows that cut no character?"""

import math

import numpy as np
import pytest
import torch

from minimoe.config import InputError, MoEConfig, dense, moe
from minimoe.model.routing import route
from minimoe.model.transformer import Transformer
from minimoe.routed import margin, routed_sample, windows

TEXT = "ab中 route 路由器!".encode()


def test_a_sample_holds_what_each_window_decides() -> None:
    model = Transformer(moe()).double()
    sample = routed_sample(model, TEXT, "t", 8)
    cuts = windows(TEXT, 8)
    assert len(cuts) > 2
    for start, end in cuts:
        tokens = torch.tensor(list(TEXT[start:end]))[None]
        routings = model(tokens)[1]
        for layer, (routing, one) in enumerate(zip(routings, model.moe_layers(), strict=True)):
            for found, expected in (
                (sample.expert_ids, routing.expert_ids),
                (sample.weights, routing.weights.detach()),
                (sample.kept, routing.kept),
                (sample.margin, margin(routing, one.router.expert_bias).detach()),
            ):
                assert np.array_equal(np.asarray(found)[layer, start:end], expected)


def test_a_text_that_fits_is_read_whole() -> None:
    assert windows(TEXT, len(TEXT)) == windows(TEXT, None) == [(0, len(TEXT))]


def test_windows_end_between_characters() -> None:
    assert windows("ab中".encode(), 4) == [(0, 2), (2, 5)]
    for length in range(4, 12):
        parts = [TEXT[start:end] for start, end in windows(TEXT, length)]
        assert b"".join(parts) == TEXT and max(map(len, parts)) <= length
        assert all(part.decode() for part in parts)


def test_bytes_that_are_no_text_are_cut_too() -> None:
    for length in (1, 2, 3, 5):
        parts = windows(b"\x80" * 9, length)
        assert parts[-1][1] == 9 and all(0 < end - start <= length for start, end in parts)


def test_the_margin_is_the_step_from_the_last_chosen_to_the_next() -> None:
    config = MoEConfig(d_model=4, d_expert=4, n_routed_experts=3, top_k=2)
    logits = torch.tensor([[3.0, 2.0, 1.0]]).log()
    assert margin(route(logits, config)).item() == pytest.approx(1 / 6)
    bias = torch.tensor([0.0, 0.0, 0.2])  # 1/2, 1/3, 1/6 + 0.2: the last is chosen now
    assert margin(route(logits, config, bias), bias).item() == pytest.approx(1 / 6 + 0.2 - 1 / 3)
    every = MoEConfig(d_model=4, d_expert=4, n_routed_experts=3, top_k=3)
    assert margin(route(logits, every)).item() == math.inf


def test_what_cannot_be_routed_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 byte, got 0"):
        routed_sample(Transformer(moe()), b"", "t")
    with pytest.raises(InputError, match="a dense model routes nothing"):
        routed_sample(Transformer(dense()), b"a", "t")
