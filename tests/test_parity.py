"""The same weights give the same logits and the same routes here and in transformers.

Every family, float64 to 1e-10 and float32 to 1e-5 of the largest logit. Where transformers departs
from the papers stands at the end, pinned to its version.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from hub_cases import CASES, FIRST, PLAIN, name_of, tiny
from parity import (
    LENGTH,
    exact_oracle,
    loaded_oracle,
    oracle,
    oracle_config,
    oracle_logits,
    oracle_says,
    text,
    transformers,
)

import minimoe
from minimoe import MoEConfig, Routing, Transformer
from minimoe.model.cache import KVCache
from minimoe.model.routing import route
from minimoe.zoo.configs import model_config_from_hub

# Without shared experts the oracle still has their matrices, of no elements.
pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")


@dataclass
class Pair:
    """One case, and what the oracle says of it; our own side is loaded when a test asks."""

    tokens: torch.Tensor
    directory: Path
    logits: torch.Tensor
    weights: list[torch.Tensor]

    @cached_property
    def ours(self) -> Transformer:
        return minimoe.load_pretrained(self.directory).requires_grad_(False)

    @cached_property
    def said(self) -> tuple[torch.Tensor, tuple[Routing, ...]]:
        """Our logits and routings."""
        return self.ours(self.tokens)


@pytest.fixture(scope="module", autouse=True)
def _loaded_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the oracle imports must not be imported inside `exact_oracle`."""
    for family in FIRST:
        oracle_logits(oracle(tiny(family)), text())
    directory = tmp_path_factory.mktemp("first")
    oracle(tiny("llama")).save_pretrained(directory)
    loaded_oracle(directory)


@pytest.fixture(scope="module", params=CASES, ids=name_of)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    family, changes = request.param
    directory, tokens = tmp_path_factory.mktemp("oracle"), text()
    with exact_oracle():
        model = oracle(tiny(family, **changes))
        logits, weights = oracle_says(model, tokens)
    model.save_pretrained(directory)
    return Pair(tokens, directory, logits, weights)


def assert_equal(got: torch.Tensor, wanted: torch.Tensor, share: float = 1e-10) -> None:
    """Equal to within this share of the largest wanted value."""
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted, rtol=0, atol=share * float(wanted.abs().max()))


def test_the_same_weights_give_the_same_logits_experts_and_expert_weights(pair: Pair) -> None:
    logits, routings = pair.said
    assert_equal(logits, pair.logits)
    assert len(routings) == len(pair.weights)
    for routing, wanted in zip(routings, pair.weights, strict=True):
        got = torch.zeros_like(wanted).scatter(-1, routing.expert_ids, routing.weights)
        assert torch.equal(got > 0, wanted > 0)
        assert int((got > 0).sum()) == routing.expert_ids.numel()
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pair", PLAIN, ids=name_of, indirect=True)
def test_what_we_write_the_oracle_reads(pair: Pair, tmp_path: Path) -> None:
    minimoe.save_pretrained(pair.ours, tmp_path)
    with exact_oracle():
        model, info = loaded_oracle(tmp_path)
        logits = oracle_logits(model, pair.tokens)
    missed = {n for n in info.pop("missing_keys") if model.state_dict()[n].numel()}
    assert not missed and not any(info.values()), (missed, info)  # unexpected, misshapen, messages
    assert_equal(logits, pair.logits)


@pytest.mark.parametrize("pair", PLAIN, ids=name_of, indirect=True)
def test_reading_with_a_cache_gives_the_oracles_logits(pair: Pair) -> None:
    tokens = pair.tokens
    cache = KVCache(pair.ours.config, len(tokens), LENGTH, like=pair.ours.embedding)
    pieces = tokens.split([5, 1, 1, 7], dim=1)
    logits = torch.cat([pair.ours(piece, cache)[0] for piece in pieces], dim=1)
    assert_equal(logits, pair.logits)


@pytest.mark.parametrize("family", FIRST)
def test_the_same_weights_give_the_same_logits_in_float32(family: str, tmp_path: Path) -> None:
    model = oracle(tiny(family), torch.float32)
    model.save_pretrained(tmp_path)
    ours = minimoe.load_pretrained(tmp_path).requires_grad_(False)
    assert_equal(ours(text())[0], oracle_logits(model, text()), 1e-5)


# --- Where transformers departs from the papers, and where we follow it


def test_the_departures_below_were_read_in_this_version() -> None:
    assert transformers.__version__ == "5.23.0", "look whether the tests below still say the truth"


def test_deepseek_v2_may_choose_outside_of_its_groups_and_we_do_not() -> None:
    """Masked scores are 0 there: as good as an allowed expert's whose score is too small to hold.

    arXiv 2405.04434, section 2.1.2 chooses among the limited groups only.
    """
    limits = dict(topk_method="group_limited_greedy", n_group=3, topk_group=1)
    sizes = dict(hidden_size=6, num_experts_per_tok=2, routed_scaling_factor=1.0)
    data = tiny("deepseek_v2", **limits, **sizes)
    module = transformers.models.deepseek_v2.modeling_deepseek_v2
    router = module.DeepseekV2TopkRouter(oracle_config(data))
    logits = torch.tensor([[-300.0, -300.0, -300.0, -300.0, 0.0, -200.0]])
    with torch.no_grad():
        router.weight.copy_(torch.eye(6))
        _, weights, theirs = router(logits)
    assert logits.softmax(-1).tolist() == [[0, 0, 0, 0, 1, 0]]
    assert sorted(theirs[0].tolist()) != [4, 5]
    assert sorted(weights[0].tolist()) == [0, 1]  # and so the sum is the same
    config = MoEConfig(
        d_model=6,
        d_expert=1,
        n_routed_experts=6,
        top_k=2,
        n_expert_groups=3,
        n_limited_groups=1,
        normalize_weights=False,
    )
    assert route(logits, config).expert_ids.tolist() == [[4, 5]]


def test_deepseek_v2_never_normalizes_and_we_do_if_asked(tmp_path: Path) -> None:
    """norm_topk_prob is not read there; DeepSeek's own code then leaves out the factor as well."""
    model = oracle(tiny("deepseek_v2", norm_topk_prob=True))
    model.save_pretrained(tmp_path)
    _, (weights, *_) = oracle_says(model, text())
    _, (routing, *_) = minimoe.load_pretrained(tmp_path)(text())
    # The first router gets the same input on both sides, and so gives the same scores.
    scores = 2.5 * routing.scores.gather(-1, routing.expert_ids)
    theirs = weights.double().gather(-1, routing.expert_ids)
    torch.testing.assert_close(theirs, scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(routing.weights.sum(-1), torch.ones(2 * LENGTH).double())


def test_deepseek_v3_loses_tiny_weights_to_a_constant_and_we_do_not() -> None:
    """Weights sum to 1 (arXiv 2412.19437, equation 13); 1e-20 is added to the sum there."""
    module = transformers.models.deepseek_v3.modeling_deepseek_v3
    data = tiny("deepseek_v3", hidden_size=8, routed_scaling_factor=1.0)
    router = module.DeepseekV3TopkRouter(oracle_config(data))
    logits = torch.full((1, 8), -60.0)  # of score 9e-27
    with torch.no_grad():
        router.weight.copy_(torch.eye(8))
        _, weights, _ = router(logits)
    assert float(weights.sum()) < 1e-5
    config = MoEConfig(d_model=8, d_expert=1, n_routed_experts=8, top_k=3, score_function="sigmoid")
    assert float(route(logits, config).weights.sum()) == pytest.approx(1)


def test_moe_layer_freq_is_not_read_there_and_is_here() -> None:
    config = oracle_config(tiny("deepseek_v3", moe_layer_freq=2))
    layers = transformers.AutoModelForCausalLM.from_config(config).model.layers
    assert [hasattr(layer.mlp, "gate") for layer in layers] == [False, True, True]
    assert model_config_from_hub(config.to_dict()).dense_layers == (0, 1)
