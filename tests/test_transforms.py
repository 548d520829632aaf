"""Traced, transformed and recomputed execution chooses the same experts and gives the same numbers.

torch.compile, torch.export, autocast, torch.func, second derivatives, the meta device, activation
checkpointing.
"""

from collections.abc import Iterator
from typing import Any

import jaxtyping
import pytest
import torch
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from minimoe import MoE, MoEConfig, Transformer, fast
from minimoe.config import preset
from minimoe.data.text import encode

SIZES: dict[str, Any] = {"d_model": 16, "d_expert": 16, "n_routed_experts": 8, "top_k": 2}
LAYERS = {
    "plain": MoEConfig(**SIZES),
    "dropping": MoEConfig(**SIZES, capacity_factor=0.7, n_shared_experts=1),
    "gpt_oss": MoEConfig(**SIZES, activation="clamped_swiglu", biased_experts=True),
    "groups": MoEConfig(
        **SIZES, score_function="sigmoid", use_expert_bias=True, n_expert_groups=4,
        n_limited_groups=2,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def unchecked_shapes() -> Iterator[None]:
    """The shape checks of the tests cannot be traced."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch._dynamo.reset()


def layer_and_tokens(name: str, dtype: torch.dtype = torch.float32) -> tuple[MoE, torch.Tensor]:
    """96 tokens: more than the number from which the fast sort is taken."""
    return MoE(LAYERS[name]).to(dtype), torch.randn(96, 16, dtype=dtype)


def assert_same(got: Any, wanted: Any, close: float = 1e-6) -> None:
    assert torch.equal(got[1].expert_ids, wanted[1].expert_ids)
    assert torch.equal(got[1].kept, wanted[1].kept)
    torch.testing.assert_close(got[0], wanted[0], rtol=close, atol=close)


# The compiler backend "eager" runs what Dynamo traced without generating code: it is the tracing
# that went wrong once, and code generation takes a minute.
# Dynamo itself looks at `.grad` of a tensor that is no leaf when it goes on behind a graph break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiled_layer_is_the_layer() -> None:
    layer, x = layer_and_tokens("dropping")
    compiled = torch.compile(layer, backend="eager")
    assert_same(compiled(x), layer(x))
    (compiled(x)[0].square().sum()).backward()
    got = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    layer(x)[0].square().sum().backward()
    for one, other in zip(got, layer.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-4, atol=1e-6)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["dropping", "gpt_oss", "groups"])
def test_an_exported_layer_is_the_layer_for_other_tokens_too(name: str) -> None:
    layer, x = layer_and_tokens(name)
    exported = torch.export.export(layer, (x,)).module()
    for tokens in (x, torch.randn(96, 16)):
        assert_same(exported(tokens), layer(tokens))


@pytest.mark.parametrize("name", LAYERS)
def test_vmap_over_batches_is_one_batch_after_the_other(name: str) -> None:
    layer, _ = layer_and_tokens(name, torch.float64)
    batches = torch.randn(3, 20, 16, dtype=torch.float64)
    together, _ = torch.func.vmap(layer)(batches)
    alone = torch.stack([layer(batch)[0] for batch in batches])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_the_shapes_of_a_model_on_the_meta_device_are_those_of_the_model() -> None:
    config, tokens = preset("fine_grained"), torch.randint(0, 256, (2, 5))
    with torch.device("meta"):
        model = Transformer(config)
    logits, routings = model(tokens.to("meta"))
    wanted, _ = Transformer(config)(tokens)
    assert logits.is_meta and logits.shape == wanted.shape and len(routings) == 2


def test_autocast_computes_in_16_bits_and_chooses_the_same_experts() -> None:
    layer, x = layer_and_tokens("plain")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, routing = layer(x)
        logits, _ = Transformer(preset("moe"))(torch.randint(0, 256, (1, 70)))
    wanted, same = layer(x)
    assert routing.logits.dtype == torch.float32
    assert torch.equal(routing.expert_ids, same.expert_ids)
    assert 0 < (y - wanted).norm() < 0.02 * wanted.norm()
    assert logits.dtype == torch.bfloat16


def gradients(model: Transformer, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    loss = model(tokens)[0].square().mean()
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by torch.func.jvp itself
@pytest.mark.parametrize("name", ["dense", "moe"])
def test_torch_func_gives_the_gradients_of_autograd(name: str) -> None:
    model, tokens = Transformer(preset(name)).double(), torch.randint(0, 256, (1, 70))
    weights = {key: value.detach() for key, value in model.named_parameters()}

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(model, weights, (tokens,))[0].square().mean()

    got, wanted = torch.func.grad(loss)(weights), gradients(model, tokens)
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value, rtol=1e-9, atol=1e-12)
    # A directional derivative, forward: the same gradients, summed.
    ones = {key: torch.ones_like(value) for key, value in weights.items()}
    _, along = torch.func.jvp(loss, (weights,), (ones,))
    torch.testing.assert_close(along, sum(value.sum() for value in wanted.values()))


@pytest.mark.parametrize("name", ["dense", "moe"])
def test_a_second_derivative_is_that_of_the_plain_path(name: str) -> None:
    tokens = torch.randint(0, 256, (1, 70))

    def second() -> list[torch.Tensor]:
        model = Transformer(preset(name)).double()
        parameters = list(model.parameters())
        loss = model(tokens)[0].square().mean()
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        return list(torch.autograd.grad(sum(g.square().sum() for g in first), parameters))

    got = second()
    with fast.plain():
        wanted = second()
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_activation_checkpointing_recomputes_the_same_noise() -> None:
    config = MoEConfig(**SIZES, router_noise=1.0)
    x = torch.randn(200, 16, dtype=torch.float64)

    def gradient(recompute: bool) -> torch.Tensor:
        layer = MoE(config).double()

        def forward(x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = layer(x, 7)[0]
            return y

        y = checkpoint(forward, x, use_reentrant=False) if recompute else forward(x)
        return torch.autograd.grad(y.square().sum(), layer.experts.down)[0]

    assert torch.equal(gradient(True), gradient(False))


def test_a_model_whose_blocks_are_wrapped_is_the_model() -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self, block: torch.nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, *given: Any) -> Any:
            return checkpoint(self.block, *given, use_reentrant=False)

    model, tokens = Transformer(preset("moe")), torch.randint(0, 256, (1, 70))
    wanted, routings = model(tokens)
    for i, block in enumerate(model.blocks):
        model.blocks[i] = Wrapped(block)
    got, again = model(tokens)
    assert torch.equal(got, wanted)
    assert len(again) == len(model.moe_layers()) == len(routings) == 3


def test_a_generator_counts_as_its_seed_and_keeps_its_state() -> None:
    layer, x = MoE(MoEConfig(**SIZES, router_noise=1.0)), torch.randn(200, 16)
    generator = torch.Generator().manual_seed(7)
    first, again = layer(x, generator)[1].expert_ids, layer(x, generator)[1].expert_ids
    assert torch.equal(first, again) and torch.equal(first, layer(x, 7)[1].expert_ids)
    assert not torch.equal(first, layer(x, 8)[1].expert_ids)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_tokens_may_have_any_integer_dtype(dtype: torch.dtype) -> None:
    model, tokens = Transformer(preset("dense")), encode("abc")[None]
    assert torch.equal(model(tokens.to(dtype))[0], model(tokens.long())[0])
