"""A training step does what it says, and a model learns what there is to learn, and no more."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.data.batches import Batch, training_batch, validation_batches
from minimoe.data.languages import markov_language, mixture_floor_bits, mixture_text
from minimoe.data.text import Corpus
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.routes import expert_load, max_violation
from minimoe.randomness import derived_seed
from minimoe.training import loop
from minimoe.training.balance import load_balancing_loss, router_z_loss
from minimoe.training.loop import (
    Run,
    cross_entropy,
    deferred_interrupt,
    learning_rate,
    mean_over_layers,
    next_batch,
    start,
    train,
    train_step,
)
from minimoe.training.reading import times_read


def model_config(vocab_size: int = 8, **layer: Any) -> ModelConfig:
    """A model small enough to be trained inside a test."""
    moe = MoEConfig(**{"d_model": 16, "d_expert": 16, "n_routed_experts": 4, "top_k": 2, **layer})
    attention = AttentionConfig(d_model=16, n_heads=2, n_kv_heads=1, d_head=8)
    return ModelConfig(n_layers=2, attention=attention, moe=moe, vocab_size=vocab_size)


def training(**changes: Any) -> TrainConfig:
    numbers = {"steps": 100, "batch_size": 4, "length": 12, "dtype": "float64", **changes}
    return TrainConfig(**numbers)


def noise(n: int = 500, n_symbols: int = 8) -> Corpus:
    """Text without any structure, in two domains."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, n_symbols, (n,), generator=generator).to(torch.uint8)
    return Corpus(tokens, (torch.arange(n) >= n // 3).to(torch.uint8), ("first", "second"))


def batch_of(corpus: Corpus, config: TrainConfig, step: int = 0) -> Batch:
    return training_batch(
        corpus,
        batch_size=config.batch_size,
        length=config.length,
        seed=config.seed,
        step=step,
    )


def numbers_of(run: Run) -> list[dict[str, float]]:
    """The history without the clock."""
    return [{k: v for k, v in asdict(r).items() if k != "seconds"} for r in run.history]


def test_the_learning_rate_has_its_documented_values() -> None:
    config = TrainConfig(steps=1000, learning_rate=0.003, warmup_share=0.05, final_lr_share=0.1)
    rates = [learning_rate(config, step) for step in (1, 25, 50, 1000)]
    assert rates == pytest.approx([0.003 / 50, 0.0015, 0.003, 0.0003], rel=1e-12)
    middle = learning_rate(config, 525)  # half of the cosine: half-way between the ends
    assert middle == pytest.approx((0.003 + 0.0003) / 2, rel=1e-12)


def test_a_plateau_and_a_line_have_their_documented_rates() -> None:
    config = TrainConfig(steps=1000, learning_rate=0.003, warmup_share=0.05, decay_share=0.2)
    rates = [learning_rate(config, step) for step in (25, 50, 800, 900, 1000)]
    assert rates == pytest.approx([0.0015, 0.003, 0.003, 0.00165, 0.0003])
    assert config.decay_begins == 800


def test_the_learning_rate_rises_to_its_peak_and_then_falls_to_the_end() -> None:
    config = TrainConfig(steps=200, warmup_share=0.1)
    rates = [learning_rate(config, step) for step in range(1, 201)]
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert max(rates) == rates[19] == config.learning_rate


@pytest.mark.parametrize("warmup_share", [0.0, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_learning_rate_is_never_zero_nor_above_its_peak(
    steps: int, warmup_share: float
) -> None:
    config = TrainConfig(steps=steps, warmup_share=warmup_share)
    rates = [learning_rate(config, step) for step in range(1, steps + 1)]
    assert all(0 < rate <= config.learning_rate for rate in rates)


def test_the_cross_entropy_has_its_documented_values() -> None:
    targets = torch.tensor([[0, 255]])
    losses = cross_entropy(torch.zeros(1, 2, 256).double(), targets)
    assert losses.flatten().tolist() == pytest.approx([math.log(256)] * 2, abs=1e-14)
    assert round(losses[0, 0].item(), 3) == 5.545
    logits = torch.tensor([[[3.0, 1.0], [1.0, 3.0]]]).double().log()
    got = cross_entropy(logits, torch.tensor([[0, 0]]))
    assert got.flatten().tolist() == pytest.approx([math.log(4 / 3), math.log(4)], abs=1e-14)


def test_a_router_loss_is_the_mean_over_layers_and_zero_for_a_dense_model() -> None:
    like = torch.zeros(()).double()
    run = start(model_config(), training())
    routings = run.model(torch.arange(8)[None])[1]
    each = [router_z_loss(routing).item() for routing in routings]
    got = mean_over_layers(router_z_loss, routings, None, like).item()
    assert len(each) == 2 and got == pytest.approx(sum(each) / 2, rel=1e-14)
    assert mean_over_layers(load_balancing_loss, (), None, like).item() == 0


def test_weight_decay_pulls_on_matrices_and_not_on_gains_biases_or_sinks() -> None:
    config = model_config(biased_experts=True, router_bias=True)
    config = replace(config, attention=replace(config.attention, sinks=True, qkv_bias=True))
    run = start(config, training(weight_decay=0.3))
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    groups = run.optimizer.param_groups
    decay = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert decay.keys() == set(names.values())
    free = {name for name in decay if name.endswith(("norm.weight", "bias", "sinks"))}
    assert {"blocks.0.ff.experts.down_bias", "blocks.1.attention.sinks", "norm.weight"} < free
    assert {name: 0.0 if name in free else 0.3 for name in decay} == decay


def test_a_run_starts_from_the_weights_of_its_seed_in_its_dtype() -> None:
    one, same, other = (
        start(model_config(), training(), seed=seed).model.embedding for seed in (3, 3, 4)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.dtype == torch.float64
    assert start(model_config(), training(dtype="float32")).model.embedding.dtype == torch.float32


def test_a_text_longer_than_the_model_reads_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match="8.*9"):
        start(replace(model_config(), max_length=8), training(length=9))


def test_one_step_is_adam_on_the_clipped_gradient_of_the_three_losses() -> None:
    """The step written out a second time; with beta1 = beta2 = 0 Adam moves by the sign alone."""
    config = training(
        balance_weight=0.7, z_weight=0.3, clip_norm=1e-3, beta1=0.0, beta2=0.0, weight_decay=0.1
    )
    run, twin = (start(model_config(), config) for _ in range(2))
    batch = batch_of(noise(), config)
    record, _routings = train_step(run, batch)

    logits, routings = twin.model(batch.inputs)
    language = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    balance = sum(load_balancing_loss(r) for r in routings) / 2
    z = sum(router_z_loss(r) for r in routings) / 2
    parameters = list(twin.model.parameters())
    gradients = torch.autograd.grad(language + 0.7 * balance + 0.3 * z, parameters)
    norm = sum(g.square().sum() for g in gradients).sqrt()
    rate = learning_rate(config, 1)
    for moved, p, g in zip(run.model.parameters(), parameters, gradients, strict=True):
        clipped = g * (1e-3 / (norm + 1e-6)).clamp(max=1)
        wanted = p * (1 - rate * (0.1 if p.dim() > 1 else 0)) - rate * clipped / (
            clipped.abs() + 1e-8
        )
        torch.testing.assert_close(moved, wanted, rtol=1e-9, atol=1e-11)
    assert record.cross_entropy == pytest.approx(language.item(), rel=1e-12)
    assert record.load_balancing_loss == pytest.approx(balance.item(), rel=1e-12)
    assert record.router_z_loss == pytest.approx(z.item(), rel=1e-12)
    assert record.gradient_norm == pytest.approx(norm.item(), rel=1e-12)
    assert (record.step, record.tokens, record.learning_rate) == (1, 48, rate)


def test_gradients_of_one_step_do_not_leak_into_the_next() -> None:
    config = training(learning_rate=1e-12)
    run, corpus = start(model_config(), config), noise()
    first = [train_step(run, batch_of(corpus, config))[0].gradient_norm for _ in range(3)]
    assert first == pytest.approx([first[0]] * 3, rel=1e-6)


@pytest.mark.parametrize("weight", ["balance_weight", "z_weight"])
def test_the_reported_cross_entropy_holds_no_auxiliary_loss(weight: str) -> None:
    losses = []
    for value in (0.0, 100.0):
        config = training(learning_rate=1e-12, **{weight: value})
        losses.append(train(start(model_config(), config), noise(), steps=2).history[-1])
    assert losses[0].cross_entropy == pytest.approx(losses[1].cross_entropy, abs=1e-7)
    assert losses[0].gradient_norm < losses[1].gradient_norm


def test_the_same_seed_gives_the_same_run_bit_for_bit_and_another_does_not() -> None:
    runs = []
    for seed in (5, 5, 6):
        torch.manual_seed(len(runs))  # what was drawn elsewhere does not matter
        runs.append(train(start(model_config(), training(seed=seed)), noise(), steps=6))
    assert numbers_of(runs[0]) == numbers_of(runs[1]) != numbers_of(runs[2])
    states = [run.model.state_dict() for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_run_reads_each_domain_as_often_as_it_is_told() -> None:
    run = start(model_config(), training(domain_weights=(0.0, 1.0)))
    assert (next_batch(run, noise()).domain_ids == 1).all()


def test_a_step_returns_its_record_and_what_each_router_decided_for_its_batch() -> None:
    run, corpus = start(model_config(), training()), noise()
    batch = next_batch(run, corpus)
    expected = run.model(batch.inputs)[1]
    record, routings = train_step(run, batch)
    assert record is run.history[-1]
    for got, wanted in zip(routings, expected, strict=True):
        assert torch.equal(got.expert_ids, wanted.expert_ids)


def test_the_history_counts_steps_tokens_and_time() -> None:
    seen = []
    run = train(
        start(model_config(), training(steps=4)),
        noise(),
        hooks=[lambda r, _: seen.append(r.step)],
    )
    assert [r.step for r in run.history] == seen == [1, 2, 3, 4]
    assert [r.tokens for r in run.history] == [48, 96, 144, 192]
    seconds = [r.seconds for r in run.history]
    assert 0 < seconds[0] and seconds == sorted(seconds)


def test_a_run_reads_another_batch_at_every_step() -> None:
    run, corpus, seen = start(model_config(), training()), noise(), []
    for _ in range(4):
        seen.append(next_batch(run, corpus).inputs)
        assert torch.equal(seen[-1], batch_of(corpus, run.config, step=run.step).inputs)
        train(run, corpus, steps=run.step + 1)
    assert len({tuple(inputs.flatten().tolist()) for inputs in seen}) == 4


def test_a_run_goes_on_where_it_stopped() -> None:
    whole = train(start(model_config(), training()), noise(), steps=6)
    parts = train(start(model_config(), training()), noise(), steps=2)
    parts = train(parts, noise(), steps=6)
    assert numbers_of(parts) == numbers_of(whole)


def test_a_gradient_that_is_not_finite_stops_the_run_and_leaves_the_weights() -> None:
    run, config = start(model_config(), training()), training()
    with torch.no_grad():
        run.model.head[0, 0] = math.inf
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    with pytest.raises(FloatingPointError) as stopped:
        train_step(run, batch_of(noise(), config))
    assert str(stopped.value) == (
        "the gradient of step 1 is not finite; lower learning_rate=0.004 or clip_norm=1.0"
    )
    assert all(torch.equal(before[name], t) for name, t in run.model.state_dict().items())
    assert run.step == 0


def test_a_small_model_learns_a_markov_language_to_its_entropy_and_never_below() -> None:
    """Within 0.05 bits of the floor on 30,000 tokens, where it can be 0.015 below it by chance."""
    language = markov_language(n_symbols=8, n_successors=2, seed=1)
    text = mixture_text(
        [language], segment_length=250, n_train_segments=200, n_validation_segments=120, seed=1
    )
    config = training(steps=120, batch_size=8, length=24, learning_rate=0.02, warmup_share=0.1)
    run, floor = start(model_config(), config), mixture_floor_bits([language], 250)
    validation = list(validation_batches(text.validation, batch_size=256, length=50))

    def measure(batches: list[Batch]) -> float:
        return bits_per_byte(run.model, batches, text.validation.domains)["all"]

    assert measure(validation[:1]) == pytest.approx(3, abs=0.05)  # 8 symbols, nothing known
    train(run, text.train)
    assert floor - 0.015 < measure(validation) < floor + 0.05


@pytest.mark.parametrize("rate", [0.0, 0.02])
def test_the_selection_bias_balances_a_layer_that_stays_unbalanced_without_it(
    rate: float,
) -> None:
    """A router that starts with a liking for expert 0, no balance loss, 50 steps or 5.

    The maximal violation is 3 if one of 4 experts gets everything and 0 at perfect balance.
    """
    config = training(
        balance_weight=0.0, z_weight=0.0, expert_bias_rate=rate, learning_rate=1e-4, batch_size=8
    )
    layer = {"top_k": 1, "normalize_weights": False, "use_expert_bias": True}
    run, corpus = start(model_config(64, **layer), config), noise(2000, 64)
    router = run.model.moe_layers()[0].router
    with torch.no_grad():
        run.model.embedding += 0.4  # every token has something in common
        router.weight.mul_(5)
        router.weight[0] += 0.1
    train(run, corpus, steps=50 if rate else 5)
    tokens = batch_of(corpus, config, step=999).inputs
    violation = max_violation(expert_load(run.model(tokens)[1][0]))
    assert violation > 2.5 if rate == 0 else violation < 1
    assert (router.expert_bias != 0).any() == (rate > 0)


def test_every_layer_gets_its_own_bias_update() -> None:
    config = training(expert_bias_rate=0.5)
    run, batch = start(model_config(use_expert_bias=True), config), batch_of(noise(), config)
    _, routings = run.model(batch.inputs)
    train_step(run, batch)
    for layer, routing in zip(run.model.moe_layers(), routings, strict=True):
        counts = routing.assigned_per_expert.double()
        wanted = 0.5 * (counts.mean() - counts).sign()
        assert torch.equal(layer.router.expert_bias, wanted)


def test_the_noise_of_a_step_comes_from_seed_and_step_and_every_layer_draws_its_own() -> None:
    config = training(seed=5)
    run, batch = start(model_config(router_noise=0.5), config), batch_of(noise(), config)
    for step in range(2):
        wanted = run.model(batch.inputs, noise_seed=derived_seed(5, step, "router noise"))[1]
        clean = run.model(batch.inputs)[1]
        _, routings = train_step(run, batch)
        for got, same, other in zip(routings, wanted, clean, strict=True):
            assert torch.equal(got.expert_ids, same.expert_ids)
            assert not torch.equal(got.expert_ids, other.expert_ids)
    with torch.no_grad():
        for layer in run.model.moe_layers():
            layer.router.weight.zero_()  # the noise alone decides
    first, second = run.model(batch.inputs, noise_seed=0)[1]
    assert not torch.equal(first.expert_ids, second.expert_ids)


# Bits per byte ----------------------------------------------------------------------------------


def test_an_untrained_model_has_about_8_bits_a_byte() -> None:
    run = start(model_config(vocab_size=256), training())
    corpus = noise(2000, 256)
    batches = validation_batches(corpus, batch_size=8, length=20)
    assert bits_per_byte(run.model, batches, corpus.domains)["all"] == pytest.approx(8, abs=0.05)


def test_the_bits_of_the_domains_weigh_to_all() -> None:
    run, corpus = train(start(model_config(), training()), noise(), steps=20), noise()
    batches = list(validation_batches(corpus, batch_size=3, length=7))
    bits = bits_per_byte(run.model, batches, corpus.domains)
    n = torch.cat([batch.domain_ids.flatten() for batch in batches]).bincount().tolist()
    weighed = (n[0] * bits["first"] + n[1] * bits["second"]) / sum(n)
    assert list(bits) == ["first", "second", "all"]
    assert bits["all"] == pytest.approx(weighed, rel=1e-12)
    assert abs(bits["first"] - bits["second"]) > 1e-4


def test_bits_are_the_mean_negative_log2_of_the_targets_probability() -> None:
    run, corpus = start(model_config(), training()), noise(50)
    (batch,) = validation_batches(corpus, batch_size=9, length=7)
    p = run.model(batch.inputs)[0].softmax(-1).gather(-1, batch.targets[..., None]).squeeze(-1)
    first = batch.domain_ids == 0
    bits = bits_per_byte(run.model, [batch], corpus.domains)
    assert bits["all"] == pytest.approx(-p.log2().mean().item(), rel=1e-12)
    assert bits["first"] == pytest.approx(-p[first].log2().mean().item(), rel=1e-12)


def test_a_domain_without_text_has_no_bits() -> None:
    corpus = replace(noise(100), domain_ids=torch.ones(100, dtype=torch.uint8))
    run = start(model_config(), training())
    batches = validation_batches(corpus, batch_size=4, length=9)
    bits = bits_per_byte(run.model, batches, corpus.domains)
    assert list(bits) == ["second", "all"]
    assert bits["second"] == bits["all"]


def test_no_validation_text_is_refused() -> None:
    with pytest.raises(InputError, match="1.*0"):
        bits_per_byte(start(model_config(), training()).model, [], ("first",))


# Ctrl-C -----------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """Ctrl-C as in a terminal; a test run in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_the_first_ctrl_c_waits_for_the_step_and_the_second_does_not() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("end of the step")
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("not reached")
    assert reached == ["end of the step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_ends_a_training_when_every_run_has_done_the_step() -> None:
    runs = [start(model_config(), training(steps=5, seed=seed)) for seed in (0, 1)]

    def ctrl_c(run: Run, _: object) -> None:
        if run is runs[0] and run.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(runs, noise(), hooks=[ctrl_c])
    assert [run.step for run in runs] == [2, 2]


def test_training_runs_outside_the_main_thread() -> None:
    run = start(model_config(), training(steps=2))
    thread = threading.Thread(target=train, args=(run, noise()))
    thread.start()
    thread.join()
    assert run.step == 2


def test_a_step_that_fails_in_its_bias_update_has_changed_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step and its record are one: what interrupts the step leaves neither."""
    run = start(model_config(use_expert_bias=True), training(steps=2))

    def ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "update_expert_bias_", ctrl_c)
        train(run, noise())
    assert run.step == 0 and not run.optimizer.state
    train(run, noise())
    assert {int(state["step"]) for state in run.optimizer.state.values()} == {2}


def test_runs_in_turn_are_the_runs_one_by_one() -> None:
    def fresh() -> list[Run]:
        return [start(model_config(), training(steps=3, seed=seed), seed) for seed in (0, 1)]

    together, alone = train(fresh(), noise()), [train(run, noise()) for run in fresh()]
    for one, other in zip(together, alone, strict=True):
        assert [r.cross_entropy for r in one.history] == [r.cross_entropy for r in other.history]


def test_padding_counts_in_no_loss_and_in_no_load() -> None:
    config = training(steps=1, batch_size=2, expert_bias_rate=0.5)

    def step(padding: int, mask: bool = True) -> Run:
        run = start(model_config(use_expert_bias=True), config)
        batch = next_batch(run, noise())
        is_text = torch.arange(12) < torch.tensor([[12], [5]])
        inputs = batch.inputs.where(is_text, padding)
        batch = replace(batch, inputs=inputs, mask=is_text if mask else None)
        train_step(run, batch)
        return run

    def told(run: Run) -> tuple[object, ...]:
        biases = [layer.router.expert_bias.tolist() for layer in run.model.moe_layers()]
        record = run.history[0]
        losses = (record.cross_entropy, record.load_balancing_loss, record.router_z_loss)
        return (*losses, biases)

    assert told(step(0)) == told(step(7)) != told(step(7, mask=False))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_a_batch_without_text_or_with_a_mask_of_numbers_is_refused(dtype: torch.dtype) -> None:
    run = start(model_config(), training(batch_size=2))
    hidden = torch.zeros(2, 12, dtype=torch.bool)
    batch = replace(next_batch(run, noise()), mask=hidden)
    object.__setattr__(batch, "mask", hidden.to(dtype) + (dtype != torch.bool))
    with pytest.raises(InputError, match=f"got {0 if dtype == torch.bool else 24} tokens"):
        train_step(run, batch)
    assert run.step == 0 and not run.optimizer.state


def test_how_often_a_domain_is_read_counts_every_target() -> None:
    tokens = torch.zeros(300, dtype=torch.uint8)
    domain_ids = torch.tensor([0] * 200 + [1] * 100, dtype=torch.uint8)
    corpus = Corpus(tokens, domain_ids, ("one", "two"))
    config = TrainConfig(steps=50, batch_size=4, length=16, domain_weights=(1.0, 0.0))
    passes = times_read(config, corpus)
    assert passes["all"] == pytest.approx(50 * 4 * 16 / 300)
    assert 200 * passes["one"] + 100 * passes["two"] == pytest.approx(50 * 4 * 16)
    assert passes["one"] > 10 * passes["two"] > 0  # a window may run on into the other domain
