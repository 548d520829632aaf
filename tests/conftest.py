"""The same conditions for every test, whatever ran before it."""

import os

import pytest
from hypothesis import settings

# No minimoe import at the top of this file: its shapes are checked from the first import on. No
# torch either: the process that only hands out the tests does not need it.

# The same examples on every run and machine, none stored in the tree, no time limit for one.
settings.register_profile(
    "minimoe", max_examples=50, derandomize=True, database=None, deadline=None
)
settings.load_profile("minimoe")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the test workers share the cores


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """A test draws the same numbers from torch's own generator in any order of tests."""
    import torch

    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
