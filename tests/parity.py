"""The oracle: transformers, made exact.

It computes norms, softmax, routers and rotary angles in float32 whatever the model's dtype, which
would hide every difference below 1e-7. `exact_oracle` makes it compute all of it in float64; an
equality to 1e-10 shows that it does. Our own code never runs inside that block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip(
    "transformers", reason='transformers is not installed: pip install "minimoe[parity]"'
)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

LENGTH = 14  # of every text: longer than every window and trained length
NO_TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}


@contextmanager
def exact_oracle() -> Iterator[None]:
    """Within the block float32 means float64, for the oracle's casts and the tensors it creates.

    A module that is imported inside the block would keep that meaning: run the same thing once
    outside of it first.
    """
    default = torch.get_default_dtype()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(torch, "float", torch.float64)
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def text(vocab_size: int = 31) -> torch.Tensor:
    """Two texts of LENGTH random tokens."""
    generator = torch.Generator().manual_seed(100)
    return torch.randint(0, vocab_size, (2, LENGTH), generator=generator)


def oracle_config(data: dict[str, Any]) -> Any:
    """The oracle's configuration of a config.json."""
    return transformers.AutoConfig.for_model(**data, **NO_TOKENS)


def oracle(data: dict[str, Any], dtype: torch.dtype = torch.float64) -> Any:
    """The oracle's model; to be exact it is built and run inside `exact_oracle`."""
    model = transformers.AutoModelForCausalLM.from_config(oracle_config(data), dtype=dtype, **EAGER)
    randomize_(model)
    return model.eval()


def loaded_oracle(directory: Path) -> tuple[Any, dict[str, Any]]:
    """The oracle's float64 model from a directory, and the weights it missed or did not expect."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float64, output_loading_info=True, **EAGER
    )
    return model.eval(), info


def randomize_(model: torch.nn.Module) -> None:
    """Give every weight a value of a size at which it matters, the biases and norms too."""
    generator = torch.Generator().manual_seed(0)
    buffers = {k: v for k, v in model.named_buffers() if k.endswith("e_score_correction_bias")}
    for name, weight in [*model.named_parameters(), *buffers.items()]:
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            weight.copy_(_value(name, noise))


def _value(name: str, noise: torch.Tensor) -> torch.Tensor:
    """Weights of the wanted size, from standard normal noise."""
    if name.endswith(("norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")):
        return 1 + 0.2 * noise
    if name.endswith(("router.weight", "mlp.gate.weight")):
        return 2.5 * noise * noise.shape[-1] ** -0.5  # far from ties
    if name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight", "sinks")):
        return noise
    if noise.dim() == 1 or name.endswith("_bias"):
        return 0.3 * noise
    return noise * max(noise.shape[-1], 1) ** -0.5


@torch.no_grad()
def oracle_logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    return model(input_ids=tokens, use_cache=False).logits


def oracle_says(model: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits, and what every expert of every MoE layer counts for each token, 0 if not chosen."""
    dense = []

    def keep(_module: Any, _args: Any, output: tuple[torch.Tensor, ...]) -> None:
        logits, weights, expert_ids = output
        dense.append(torch.zeros_like(logits).scatter(-1, expert_ids, weights))

    for module in model.modules():
        if type(module).__name__.lower().endswith("topkrouter"):
            module.register_forward_hook(keep)
    return oracle_logits(model, tokens), dense
