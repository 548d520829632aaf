"""A view shows what the routers decided, in windows that cut no character."""

import numpy as np
import pytest
import torch

from minimoe.config import dense, moe
from minimoe.errors import InputError
from minimoe.experiments.routed import routed_sample, windows
from minimoe.measure.routes import trace
from minimoe.model.transformer import Transformer

TEXT = "ab中 route 路由器!".encode()


def test_a_sample_holds_what_each_window_decides() -> None:
    model = Transformer(moe()).double()
    sample = routed_sample(model, TEXT, "t", 8)
    cuts = windows(TEXT, 8)
    assert len(cuts) > 2
    for start, end in cuts:
        expected = trace(model, torch.tensor(list(TEXT[start:end]))[None])
        for name in ("expert_ids", "weights", "kept", "margin"):
            found = np.asarray(getattr(sample, name))[:, start:end]
            assert np.array_equal(found, getattr(expected, name)), name


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


def test_what_cannot_be_routed_is_refused() -> None:
    with pytest.raises(InputError, match="1.*0"):
        routed_sample(Transformer(moe()), b"", "t")
    with pytest.raises(InputError, match="1.*0"):
        routed_sample(Transformer(dense()), b"a", "t")
