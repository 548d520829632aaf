"""The same conditions for every test, whatever ran before it."""

import os

import pytest
import torch
from hypothesis import settings

# No minimoe import at the top of this file: its shapes are checked from the first import on.

# The same examples on every run and machine, none stored in the tree, no time limit for one.
settings.register_profile("minimoe", derandomize=True, database=None, deadline=None)
settings.load_profile("minimoe")

if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)  # the test workers share the cores


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """A test draws the same numbers from torch's own generator in any order of tests."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
