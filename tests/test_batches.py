"""A batch depends only on corpus, seed and step; validation covers the text."""

import pytest
import torch
from texts import the_small_text

from minimoe.data.batches import Batch, training_batch, validation_batches
from minimoe.data.text import Corpus
from minimoe.errors import InputError


def numbered(sizes: tuple[int, ...]) -> Corpus:
    """Tokens 0, 1, 2, ... (mod 256), the first sizes[0] of them in domain a, and so on."""
    n = sum(sizes)
    ids = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    names = tuple("abcdefgh"[: len(sizes)])
    return Corpus((torch.arange(n) % 256).to(torch.uint8), ids.to(torch.uint8), names)


def draw(corpus: Corpus, seed: int = 0, step: int = 0, **sizes: int) -> Batch:
    sizes = {"batch_size": 8, "length": 16, **sizes}
    return training_batch(corpus, seed=seed, step=step, **sizes)


def test_a_seed_and_a_step_give_the_same_batch_on_every_machine() -> None:
    starts = draw(numbered((200, 50)), seed=3, step=7).inputs[:, 0].tolist()
    assert starts == [176, 211, 34, 216, 209, 12, 212, 223]


def test_neighbouring_seeds_and_steps_share_no_batch() -> None:
    drawn = {
        tuple(draw(numbered((5_000,)), seed=seed, step=step).inputs.flatten().tolist())
        for seed in range(4)
        for step in range(4)
    }
    assert len(drawn) == 16


def test_drawing_a_batch_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    draw(numbered((500,)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_targets_are_the_inputs_shifted_by_one() -> None:
    for batch in (
        draw(the_small_text().train),
        next(validation_batches(the_small_text().train, batch_size=8, length=16)),
    ):
        assert batch.inputs.shape == batch.targets.shape == batch.domain_ids.shape == (8, 16)
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        assert batch.targets.is_contiguous()
    counting = draw(numbered((200,)))
    assert torch.equal(counting.targets, counting.inputs + 1)


def test_a_domain_id_belongs_to_the_target() -> None:
    corpus = numbered((100, 100))
    batch = draw(corpus, batch_size=400)
    assert torch.equal(batch.domain_ids, (batch.targets >= 100).long())
    assert (batch.domain_ids[:, 0] != (batch.inputs[:, 0] >= 100).long()).any()


def test_a_small_domain_starts_as_many_windows_as_a_large_one() -> None:
    corpus = numbered((10_000, 50, 1_000))
    first = torch.cat(
        [draw(corpus, step=i, batch_size=100, length=1).domain_ids for i in range(30)]
    )
    share = first.flatten().bincount(minlength=3) / first.numel()
    assert (share - 1 / 3).abs().max() < 0.03


def test_domain_weights_set_the_share_of_each_domain() -> None:
    corpus = numbered((1_000, 1_000, 1_000))
    batch = training_batch(
        corpus, batch_size=2000, length=1, seed=0, step=0, domain_weights=[3.0, 0.0, 1.0]
    )
    share = batch.domain_ids.flatten().bincount(minlength=3) / 2000
    assert share[0].item() == pytest.approx(0.75, abs=0.04)
    assert share[1] <= 0.005  # only as the target after the last byte of the first domain


def test_every_window_of_a_short_text_is_drawn_and_none_reaches_beyond_it() -> None:
    corpus = numbered((20,))
    batch = draw(corpus, batch_size=500)
    assert batch.inputs[:, 0].unique().tolist() == [0, 1, 2, 3]
    assert batch.targets.max() == 19


def test_a_domain_without_text_is_never_drawn() -> None:
    batch = draw(numbered((100, 0, 100)), batch_size=2000, length=1)
    share = batch.domain_ids.flatten().bincount() / 2000
    assert share.tolist() == pytest.approx([0.5, 0.0, 0.5], abs=0.05)


def test_validation_targets_cover_the_text_in_order() -> None:
    batches = list(validation_batches(numbered((10,)), batch_size=2, length=3))
    assert [len(batch.inputs) for batch in batches] == [2, 1]
    assert torch.cat([batch.targets for batch in batches]).flatten().tolist() == list(range(1, 10))
    dropped = list(validation_batches(numbered((12,)), batch_size=9, length=3))
    assert dropped[0].targets.flatten().tolist() == list(range(1, 10))


def test_a_limited_validation_gives_every_domain_its_share() -> None:
    corpus = numbered((10_000, 320, 3_000))
    batches = list(validation_batches(corpus, batch_size=7, length=10, max_bytes=1_500))
    inputs = torch.cat([batch.domain_ids for batch in batches])
    assert inputs.shape == (150, 10)
    windows = torch.cat([batch.domain_ids[:, -1] for batch in batches]).bincount()
    assert windows[1] in (31, 32, 33) and abs(windows[0] - windows[2]) <= 2


def test_a_limited_validation_is_spread_over_the_whole_domain() -> None:
    corpus = Corpus(torch.arange(256).to(torch.uint8), torch.zeros(256, dtype=torch.uint8), ("a",))
    (batch,) = validation_batches(corpus, batch_size=99, length=5, max_bytes=50)
    starts = batch.inputs[:, 0].diff()
    assert len(batch.inputs) == 10 and starts.min() >= 25 and starts.max() <= 30


def test_every_real_domain_is_in_the_smallest_validation() -> None:
    (batch,) = validation_batches(
        the_small_text().validation, batch_size=3, length=256, max_bytes=768
    )
    assert batch.domain_ids.unique().tolist() == [0, 1, 2]


def test_a_limit_above_the_text_changes_nothing() -> None:
    whole = [b.inputs for b in validation_batches(numbered((50, 50)), batch_size=3, length=7)]
    limited = validation_batches(numbered((50, 50)), batch_size=3, length=7, max_bytes=10_000)
    assert all(torch.equal(a, b.inputs) for a, b in zip(whole, limited, strict=True))


def test_a_text_shorter_than_one_window_is_refused_with_both_numbers() -> None:
    message = "16.*17.*16"
    with pytest.raises(InputError, match=message):
        draw(numbered((16,)))
    with pytest.raises(InputError, match=message):
        validation_batches(numbered((16,)), batch_size=1, length=16)
    assert draw(numbered((17,))).inputs[0].tolist() == list(range(16))


def test_nonsense_sizes_and_weights_are_refused_with_both_numbers() -> None:
    corpus = numbered((100, 100, 0))
    with pytest.raises(InputError, match="1.*0"):
        draw(corpus, batch_size=0)
    with pytest.raises(InputError, match="1.*-1"):
        validation_batches(corpus, batch_size=1, length=-1)
    with pytest.raises(InputError, match="20.*10.*2.*9"):
        validation_batches(corpus, batch_size=1, length=10, max_bytes=9)
    for weights, message in (
        ([1.0], "3.*a, b, c.*1"),
        ([1.0, -1.0, 1.0], r"\[1.0, -1.0, 1.0\]"),
        ([0.0, 0.0, 1.0], r"\[0.0, 0.0, 1.0\]"),
    ):
        with pytest.raises(InputError, match=message):
            training_batch(corpus, batch_size=1, length=4, seed=0, step=0, domain_weights=weights)
