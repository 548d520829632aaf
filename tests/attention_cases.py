"""Which weights, inputs and rotary settings are attention's tests run with?"""

import torch
from hypothesis import strategies as st
from torch import nn


def randomize_(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill every parameter, biases and norms included, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                parameter.data /= parameter.shape[-1] ** 0.5
    return module


def inputs(n_sequences: int, length: int, d_model: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_sequences, length, d_model, generator=generator, dtype=torch.float64)


_mscales = st.sampled_from([None, 0.0, 0.707, 1.0])

# Fields of a RopeConfig, which the test builds: its types are checked with random samples, and
# hypothesis wants no randomness in a strategy. Every scaling; trained lengths below and above the
# lengths that the tests read.
rope_fields = st.fixed_dictionaries(
    {
        "base": st.sampled_from([3.0, 10_000.0, 500_000.0]),
        "interleaved": st.booleans(),
        "scaling": st.sampled_from(["none", "linear", "llama3", "yarn", "yarn"]),
        "factor": st.sampled_from([1.0, 2.5, 40.0]),
        "original_length": st.sampled_from([3, 40, 4096]),
        "low_freq_factor": st.sampled_from([0.1, 1.0]),
        "high_freq_factor": st.sampled_from([2.0, 4.0]),
        "beta_fast": st.sampled_from([2.0, 32.0]),
        "beta_slow": st.sampled_from([0.25, 1.0]),
        "truncate": st.booleans(),
        "attention_factor": st.sampled_from([None, None, 0.7]),
        "mscale": _mscales,
        "mscale_all_dim": _mscales,
    }
)


def chunks(length: int) -> st.SearchStrategy[list[int]]:
    """Ways to read `length` positions in pieces: all at once, one by one, or unevenly."""
    cuts = st.sets(st.integers(1, length - 1)) if length > 1 else st.just(set())

    def sizes(at: set[int]) -> list[int]:
        ends = [*sorted(at), length]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    return cuts.map(sizes)
