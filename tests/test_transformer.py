"""The whole model equals its reference, reads with a cache what it reads without, and writes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from minimoe import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
    Transformer,
    generate,
)
from minimoe.config import PRESETS, preset
from minimoe.model.cache import KVCache
from minimoe.model.generation import next_token_probabilities
from minimoe.model.reference import reference_transformer


def gpt2() -> ModelConfig:
    """LayerNorm, biases everywhere, learned positions, GELU, tied embeddings."""
    attention = AttentionConfig(
        d_model=12, n_heads=3, n_kv_heads=3, d_head=4, rope=None, qkv_bias=True, o_bias=True
    )
    return ModelConfig(
        n_layers=2, attention=attention, d_ff=10, ff="gelu", ff_bias=True, vocab_size=40,
        max_length=12, learned_positions=True, tie_embeddings=True, norm="layer", norm_eps=0.01,
    )  # fmt: skip


def gpt_oss() -> ModelConfig:
    """Sinks, a window in every other layer, yarn, biased clamped experts, a router bias."""
    rope = RopeConfig(scaling="yarn", factor=4.0, original_length=4, truncate=False)
    attention = AttentionConfig(
        d_model=12, n_heads=4, n_kv_heads=2, d_head=4, rope=rope, qkv_bias=True, o_bias=True,
        sinks=True, sliding_window=3,
    )  # fmt: skip
    layer = MoEConfig(
        d_model=12, d_expert=5, n_routed_experts=6, top_k=2, router_bias=True,
        activation="clamped_swiglu", activation_limit=0.5, biased_experts=True,
    )  # fmt: skip
    return ModelConfig(
        n_layers=4, attention=attention, moe=layer, sliding_layers=(0, 2), vocab_size=40
    )


def deepseek() -> ModelConfig:
    """Latent attention, group-limited routing with a selection bias, a dense layer in between."""
    rope = RopeConfig(
        interleaved=True, scaling="yarn", factor=4.0, original_length=4, mscale=1.0,
        mscale_all_dim=0.7,
    )  # fmt: skip
    attention = LatentAttentionConfig(
        d_model=12, n_heads=3, kv_rank=7, q_rank=5, d_nope=6, d_rope=4, d_value=5, rope=rope
    )
    layer = MoEConfig(
        d_model=12, d_expert=5, n_routed_experts=8, top_k=3, n_shared_experts=2,
        score_function="sigmoid", route_scale=2.5, use_expert_bias=True, n_expert_groups=4,
        n_limited_groups=2, n_group_scores=2,
    )  # fmt: skip
    return ModelConfig(
        n_layers=3, attention=attention, d_ff=10, moe=layer, dense_layers=(1,), vocab_size=40
    )


def qwen2_moe() -> ModelConfig:
    """A gated shared expert of its own width, biased queries, keys and values."""
    attention = AttentionConfig(d_model=12, n_heads=4, n_kv_heads=4, d_head=4, qkv_bias=True)
    layer = MoEConfig(
        d_model=12, d_expert=5, n_routed_experts=6, top_k=2, n_shared_experts=1, d_shared=9,
        gate_shared=True, normalize_weights=False,
    )  # fmt: skip
    return ModelConfig(n_layers=2, attention=attention, moe=layer, vocab_size=40)


def plain_latent() -> ModelConfig:
    """DeepSeek-V2-Lite's attention: queries straight from the input; biased dense SwiGLU."""
    attention = LatentAttentionConfig(
        d_model=12, n_heads=2, kv_rank=6, d_nope=4, d_rope=2, d_value=4, bias=True
    )
    return ModelConfig(n_layers=2, attention=attention, d_ff=10, ff_bias=True, vocab_size=40)


LIKE: dict[str, Callable[[], ModelConfig]] = {
    f"{config.__name__} like": config
    for config in (gpt2, gpt_oss, deepseek, qwen2_moe, plain_latent)
}


def small(name: str, **changes: object) -> ModelConfig:
    """A preset with small widths: what is not a size stays as it is. Or a small real model."""
    if name in LIKE:
        return replace(LIKE[name](), **changes)
    config = preset(name)
    attention = replace(config.attention, d_model=12, d_head=4)
    layer = config.moe and replace(config.moe, d_model=12, d_expert=5)
    d_ff = config.d_ff and 10
    return replace(config, attention=attention, moe=layer, d_ff=d_ff, vocab_size=40, **changes)


def model(name: str, **changes: object) -> Transformer:
    """A small float64 model with numbers large enough that every part matters."""
    built = Transformer(small(name, **changes), seed=3).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for path, tensor in (*built.named_parameters(), *built.named_buffers()):
            if tensor.dim() == 1 or path.endswith("bias"):  # gains of about 1, the others of 0
                tensor += torch.randn(tensor.shape, generator=generator) / 2
            elif tensor.std() < 0.03:  # router, shared gate, positions and head
                tensor.mul_(50)
    return built


def text(n_sequences: int, length: int) -> torch.Tensor:
    return torch.randint(0, 40, (n_sequences, length), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", [*PRESETS, *LIKE])
def test_the_model_equals_the_reference(name: str) -> None:
    changes = {"n_layers": 2, "tie_embeddings": name == "moe"} if name in PRESETS else {}
    built, tokens = model(name, **changes), text(2, 5)
    logits, _ = built(tokens)
    wanted = torch.stack([reference_transformer(built, sequence) for sequence in tokens])
    torch.testing.assert_close(logits, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*PRESETS, *LIKE])
def test_reading_with_a_cache_equals_the_full_forward(name: str) -> None:
    built, tokens = model(name), text(2, 12)
    wanted, routings = built(tokens)
    cache = KVCache(built.config, 2, 12, like=built.embedding)
    with torch.no_grad():
        parts = [built(piece, cache) for piece in tokens.split([5, 1, 1, 3, 2], dim=1)]
    got = torch.cat([logits for logits, _ in parts], dim=1)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
    for layer, routing in enumerate(routings):
        chosen = [r[layer].expert_ids.unflatten(0, (2, -1)) for _, r in parts]
        assert torch.equal(torch.cat(chosen, dim=1).flatten(0, 1), routing.expert_ids)


def test_the_cache_holds_the_elements_that_its_formula_says() -> None:
    config = small("moe")
    cache = KVCache(config, 1, 100, like=torch.zeros(1))
    per_token = 2 * config.n_layers * config.attention.n_kv_heads * config.attention.d_head
    assert cache.kv.numel() == 100 * per_token


def test_a_later_token_changes_no_earlier_logit() -> None:
    built, tokens = model("moe"), text(1, 10)
    changed = tokens.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 40
    torch.testing.assert_close(
        built(tokens)[0][:, :7], built(changed)[0][:, :7], rtol=1e-12, atol=1e-12
    )


def test_a_sequence_does_not_depend_on_the_others_in_its_batch() -> None:
    built, tokens = model("fine_grained"), text(4, 10)
    torch.testing.assert_close(built(tokens)[0][2:3], built(tokens[2:3])[0], rtol=1e-11, atol=1e-11)


def test_an_untrained_model_knows_nothing() -> None:
    built = Transformer(preset("moe"))
    tokens = torch.randint(0, 256, (2, 64), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(built(tokens)[0].flatten(0, 1), tokens.flatten())
    assert abs(loss.item() - 5.545) < 0.1


def test_there_is_one_routing_for_each_moe_layer() -> None:
    assert len(model("fine_grained")(text(1, 3))[1]) == 2
    assert model("dense")(text(1, 3))[1] == ()


def test_a_block_holds_what_its_configuration_asks_for() -> None:
    def parts(name: str, layer: int) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, _ in model(name).blocks[layer].named_parameters():
            part, _, rest = path.partition(".")
            found.setdefault(part, set()).add(rest)
        return found

    gelu = {"up", "up_bias", "down", "down_bias"}
    swiglu = {"gate_up", "down"}
    assert parts("gpt2 like", 0)["ff"] == gelu
    assert parts("gpt2 like", 0)["ff_norm"] == {"weight", "bias"}
    assert parts("dense", 0)["ff"] == swiglu
    assert parts("dense", 0)["ff_norm"] == {"weight"}
    assert parts("plain_latent like", 0)["ff"] == swiglu | {"gate_up_bias", "down_bias"}
    assert parts("deepseek like", 1)["ff"] == swiglu  # the dense layer between two others
    assert "router.weight" in parts("deepseek like", 0)["ff"] & parts("deepseek like", 2)["ff"]


def test_the_seed_decides_the_weights_and_nothing_else_does() -> None:
    torch.manual_seed(1)
    one = Transformer(small("moe"), seed=5).state_dict()
    torch.manual_seed(2)
    two = Transformer(small("moe"), seed=5).state_dict()
    other = Transformer(small("moe"), seed=6).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embedding"], other["embedding"])


def test_more_positions_than_there_is_room_for_are_refused() -> None:
    built = model("dense", max_length=8)
    with pytest.raises(InputError, match=r"\b8\b.*\b9\b"):
        built(text(1, 9))
    cache = KVCache(built.config, 1, 4, like=built.embedding)
    with pytest.raises(InputError, match=r"\b4\b.*\b5\b"):
        built(text(1, 5), cache)


def test_a_model_with_learned_positions_reads_no_further_than_they_go() -> None:
    built = model("gpt2 like", max_length=8)
    cache = KVCache(built.config, 1, 20, like=built.embedding)
    built(text(1, 8), cache)
    with pytest.raises(InputError, match=r"\b8\b.*\b9\b"):
        built(text(1, 1), cache)


@pytest.mark.parametrize("wrong", [-1, 40])
def test_a_token_outside_the_vocabulary_is_refused_with_both_numbers(wrong: int) -> None:
    tokens = text(2, 5)
    tokens[1, 3] = wrong
    with pytest.raises(InputError, match=rf"\b39\b.*{wrong}$"):
        model("dense")(tokens)


def test_no_tokens_have_no_logits() -> None:
    assert model("gpt2 like")(text(2, 0))[0].shape == (2, 0, 40)


@pytest.mark.parametrize("name", LIKE)
def test_gains_start_at_one_biases_and_sinks_at_zero_and_matrices_at_random(name: str) -> None:
    for path, parameter in Transformer(small(name)).named_parameters():
        if path.endswith(("bias", "sinks")):
            assert not parameter.any(), path
        elif parameter.dim() == 1:
            assert path.endswith("norm.weight") and (parameter == 1).all(), path
        else:
            assert len(parameter.unique()) == parameter.numel(), path


@pytest.mark.parametrize("name", ["positions", "shared_gate"])
def test_positions_and_the_shared_gate_start_small(name: str) -> None:
    config = small("gpt2 like" if name == "positions" else "qwen2_moe like", n_layers=9)
    of_that_name = [p for n, p in Transformer(config).named_parameters() if n.endswith(name)]
    assert 0.015 < torch.cat([p.flatten() for p in of_that_name]).std() < 0.025


def probabilities(**how: float) -> list[float]:
    logits = torch.tensor([4.0, 2.0, 1.0, 1.0]).double().log()
    return [round(p, 12) for p in next_token_probabilities(logits, **how).tolist()]


def test_sampling_probabilities_have_the_documented_values() -> None:
    two_thirds = [round(2 / 3, 12), round(1 / 3, 12), 0, 0]
    assert probabilities() == [0.5, 0.25, 0.125, 0.125]
    assert probabilities(top_k=2) == two_thirds
    assert probabilities(top_p=0.7) == two_thirds
    assert probabilities(top_p=0.5) == [1, 0, 0, 0]
    assert probabilities(temperature=0.0) == [1, 0, 0, 0]
    assert probabilities(temperature=0.5) == [round(x / 22, 12) for x in (16, 4, 1, 1)]


def test_generation_repeats_with_its_seed_and_equals_the_cache_free_choice() -> None:
    built, prompt = model("moe"), text(1, 4)[0]
    greedy = list(generate(built, prompt, 6, temperature=0.0))
    tokens = prompt
    for token in greedy:
        assert int(built(tokens[None])[0][0, -1].argmax()) == token
        tokens = torch.cat([tokens, torch.tensor([token])])
    assert list(generate(built, prompt, 6, top_k=1)) == greedy
    sampled = [list(generate(built, prompt, 20, temperature=3.0, seed=s)) for s in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1.0}, "0.*-1.0"),
        ({"top_k": 41}, "vocab_size=40.*41"),
        ({"top_p": 0.0}, "0, 1.*0.0"),
        ({"n_tokens": -1}, "0.*-1"),
        ({"n_tokens": 2000}, "4.*2000.*max_length=1024"),
    ],
)
def test_nonsense_sampling_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(generate(model("dense"), text(1, 4)[0], **{"n_tokens": 1, **wrong}))
