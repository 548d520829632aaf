"""A derived seed depends on all of its parts and is the same on every machine."""

import torch

from minimoe.randomness import derived_seed, generator_of


def test_the_seed_of_0_and_0_has_its_documented_value() -> None:
    assert derived_seed(0, 0) == generator_of(0, 0).initial_seed() == 5303414058334976765


def test_other_parts_or_another_order_give_another_seed() -> None:
    parts = [(1, 2), (2, 1), (1, 11), (11, 1), (1, 2, "noise"), (1, 2, "noise", 0), (1, 2, "other")]
    assert len({derived_seed(*each) for each in parts}) == len(parts)


def test_a_generator_of_the_same_parts_draws_the_same_numbers() -> None:
    first, second = (torch.rand(5, generator=generator_of(3, "noise")) for _ in range(2))
    assert torch.equal(first, second)
