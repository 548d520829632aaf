"""Finer layers have equal size and, cut without training, equal function; the record is whole."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from texts import the_small_text

from minimoe.config import MoEConfig, TrainConfig, train_config_from
from minimoe.data.batches import validation_batches
from minimoe.data.text import Text
from minimoe.errors import InputError
from minimoe.experiments import granularity
from minimoe.experiments.granularity import (
    JUDGED_STEPS,
    PARTS,
    RECORD,
    SEEDS,
    TRAINING,
    Row,
    by_trial,
    combinations,
    comparisons,
    expert_overlap,
    finer,
    layer_inputs,
    make_record,
    name_of,
    record,
    split_experts,
    train_one,
    trials,
    without_best,
    without_shared,
)
from minimoe.formulas.parameters import count_parameters
from minimoe.model.moe import MoE
from minimoe.model.selection import best
from minimoe.model.transformer import Transformer
from minimoe.training.checkpoint import text_digest

COARSE = MoEConfig(
    d_model=16, d_expert=24, n_routed_experts=4, top_k=2, normalize_weights=False, route_scale=4.0
)


def lively(config: MoEConfig, seed: int = 0) -> MoE:
    """A layer in float64 whose router has an opinion."""
    layer = MoE(config, seed).double().requires_grad_(False)
    torch.nn.init.normal_(layer.router.weight, generator=torch.Generator().manual_seed(seed))
    return layer


def tokens(n: int = 100) -> torch.Tensor:
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_8_experts_of_width_128_in_4_parts_with_one_shared_are_31_of_width_32() -> None:
    coarse = replace(COARSE, d_expert=128, n_routed_experts=8)
    fine = finer(coarse, 4, 1)
    assert (fine.n_routed_experts, fine.top_k, fine.n_shared_experts) == (31, 7, 1)
    assert (fine.d_expert, fine.shared_width, fine.route_scale) == (32, 32, 31)
    assert finer(coarse, 1) == replace(coarse, route_scale=8.0)


@pytest.mark.parametrize("parts, n_shared", [*itertools.product(PARTS, (0, 1))])
def test_granularity_changes_the_router_and_no_other_count(parts: int, n_shared: int) -> None:
    coarse, fine = (trials()[name_of(p, s)] for p, s in ((1, 0), (parts, n_shared)))
    one, other = count_parameters(coarse), count_parameters(fine)
    assert fine.moe is not None
    rows = fine.n_layers * fine.d_model * (8 * parts - n_shared)
    assert other.router == rows and one.router == fine.n_layers * fine.d_model * 8
    assert one.total - one.router == other.total - rows
    assert one.touched - one.router == other.touched - rows
    assert one.touched - one.router == count_parameters(trials()["dense"]).touched


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_a_layer_cut_into_slices_computes_the_same_function(parts: int) -> None:
    layer, x = lively(COARSE), tokens()
    y, routing = layer(x)
    fine = split_experts(layer, parts)
    sliced, fine_routing = fine(x)
    assert (sliced - y).abs().max() < 1e-12 * y.abs().max()
    whole = fine_routing.expert_ids.sort().values.unflatten(1, (2, parts))
    assert torch.equal(whole // parts, routing.expert_ids.sort().values[..., None].expand_as(whole))
    assert sum(p.numel() for p in fine.experts.parameters()) == sum(
        p.numel() for p in layer.experts.parameters()
    )


def test_the_parts_of_an_expert_are_different_slices() -> None:
    layer = lively(COARSE)
    fine = split_experts(layer, 3)
    gate, up = layer.experts.gate_up[2].chunk(2)
    assert torch.equal(fine.experts.gate_up[7], torch.cat([gate[8:16], up[8:16]]))
    assert torch.equal(fine.experts.down[7], layer.experts.down[2][:, 8:16])


@pytest.mark.parametrize(
    "coarse, parts, n_shared, message",
    [
        (COARSE, 5, 0, "parts must divide d_expert=24, got 5"),
        (COARSE, 0, 0, "got 0"),
        (COARSE, 2, 4, r"\[0, parts \* top_k=4\), got 4"),
        (COARSE, 2, -1, "got -1"),
        (
            replace(COARSE, normalize_weights=True),
            2,
            0,
            "normalize_weights must be False .*, got True",
        ),
        (
            replace(COARSE, score_function="sigmoid"),
            2,
            0,
            "score_function must be 'softmax' .*, got 'sigmoid'",
        ),
        (replace(COARSE, n_shared_experts=1), 2, 0, "shared_width must be 0 .*, got 24"),
        (replace(COARSE, n_expert_groups=2), 2, 0, "n_expert_groups must be 1 .*, got 2"),
        (replace(COARSE, use_expert_bias=True), 2, 0, "use_expert_bias must be False .*, got True"),
    ],
)
def test_a_layer_that_cannot_be_cut_is_refused(
    coarse: MoEConfig, parts: int, n_shared: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        finer(coarse, parts, n_shared)


def test_2_of_16_are_120_sets_and_8_of_64_are_4426165368() -> None:
    layer = replace(COARSE, n_routed_experts=16)
    assert combinations(layer) == 120
    assert combinations(replace(layer, n_routed_experts=64, top_k=8)) == 4_426_165_368


@pytest.mark.parametrize("limit, k", [(1, 2), (1, 3), (2, 3), (2, 1), (3, 4)])
def test_sets_under_a_limit_of_groups_are_as_many_as_by_trying_all(limit: int, k: int) -> None:
    layer = replace(COARSE, n_routed_experts=12, top_k=k, n_expert_groups=4, n_limited_groups=limit)
    tried = itertools.combinations(range(12), k)
    assert combinations(layer) == sum(len({e // 3 for e in chosen}) <= limit for chosen in tried)


def test_equal_experts_overlap_by_1_and_independent_ones_by_1_over_d_model() -> None:
    layer = lively(replace(COARSE, n_routed_experts=40, d_expert=64))
    assert expert_overlap(layer, tokens()) == pytest.approx(1 / 16, rel=0.05)
    for weights in layer.experts.parameters():
        weights.copy_(weights[:1].expand_as(weights).clone())
    assert expert_overlap(layer, tokens()) == pytest.approx(1)


def small(n_shared: int = 1) -> Transformer:
    config = trials()[name_of(2, n_shared)]
    return Transformer(config).double().requires_grad_(False)


def test_what_is_removed_adds_nothing_and_the_model_itself_keeps_it() -> None:
    model, x = small(), torch.arange(24).view(1, 24)
    before, (routing, _) = model(x)
    layer = model.moe_layers()[0]
    (entered, _) = layer_inputs(model, next(validation_batches(
        the_small_text().validation, batch_size=1, length=64, max_bytes=2**10)))  # fmt: skip
    whole = layer(entered)[0]
    assert layer.shared is not None
    bare = without_shared(model).moe_layers()[0](entered)[0]
    torch.testing.assert_close(bare, whole - layer.shared(entered))
    routing = layer.router(entered)
    first = torch.stack(
        [
            layer.experts.one(x[None], e)[0]
            for x, e in zip(entered, routing.expert_ids[:, 0].tolist(), strict=True)
        ]
    )
    beheaded = without_best(model).moe_layers()[0](entered)[0]
    torch.testing.assert_close(beheaded, whole - first * routing.weights[:, :1])
    assert torch.equal(model(x)[0], before)


def test_layer_inputs_are_what_the_layers_decided_on() -> None:
    model = small()
    batch = next(validation_batches(the_small_text().validation, batch_size=2, length=32))
    entered = layer_inputs(model, batch)
    decided = model(batch.inputs)[1]
    assert len(entered) == len(decided) == 2
    for layer, x, routing in zip(model.moe_layers(), entered, decided, strict=True):
        assert torch.equal(best(layer.router(x).scores, 3), routing.expert_ids)
    assert not any(layer._forward_pre_hooks for layer in model.moe_layers())


def test_the_comparisons_are_finer_minus_coarse_and_shared_minus_none() -> None:
    bits = {name_of(p, s): [p + 0.1 * s, p + 0.3 * s] for p in PARTS for s in (0, 1)}
    found = comparisons(bits)
    assert list(found)[:4] == [*(f"{p} parts − 1 part" for p in (2, 4, 8)), "1 shared − 0, 1 part"]
    means = [round(comparison.mean, 9) for comparison in found.values()]
    assert means == [1, 3, 7, 0.2, 0.2, 0.2, 0.2]


# --- the record ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text() -> Text:
    return the_small_text()


def test_the_record_holds_every_trial_with_every_seed_of_the_recipe_that_stands_here() -> None:
    stored = json.loads(RECORD.read_text(encoding="utf-8"))
    assert train_config_from(stored["training"]) == TRAINING
    assert stored["text_sha256"] == text_digest(the_small_text().train)
    rows = record()
    assert [(row.seed, row.trial) for row in rows] == list(itertools.product(SEEDS, trials()))
    assert len(SEEDS) >= 3
    assert all(tuple(row.bits_per_byte) == JUDGED_STEPS for row in rows)


@pytest.fixture
def judged_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less validation text than the record is judged on."""
    monkeypatch.setattr(granularity, "JUDGED_BYTES", 2**12)


@pytest.mark.usefixtures("judged_shortly")
def test_the_first_loss_of_the_record_is_that_of_the_recipe(text: Text) -> None:
    """The link from the numbers to the code: same weights, same batch, same rules."""
    for row in record():
        if row.seed == SEEDS[-1] and row.trial in ("1 part, 1 shared", "8 parts, 0 shared"):
            again = train_one(row.trial, trials()[row.trial], row.seed, text, steps(1))
            assert again.first_loss == pytest.approx(row.first_loss, abs=1e-4)


def steps(n: int) -> TrainConfig:
    return replace(TRAINING, steps=n)


@pytest.mark.usefixtures("judged_shortly")
def test_a_row_says_what_there_is_to_remove(text: Text) -> None:
    dense, plain, shared = (
        train_one(name, trials()[name], 0, text, steps(1))
        for name in ("dense", "2 parts, 0 shared", "2 parts, 1 shared")
    )
    assert (dense.overlap, dense.without_shared, dense.without_best) == (None, None, None)
    assert plain.overlap and plain.without_best and plain.without_shared is None
    assert shared.overlap and shared.without_best and shared.without_shared
    assert list(shared.bits_per_byte) == [1]
    assert len({shared.bits_per_byte[1], shared.without_shared, shared.without_best}) == 3


def test_rows_come_back_from_the_file_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Row("dense", 7, 5.5, {100: 4.0, 200: 3.0}, None, None, None)
    monkeypatch.setattr(granularity, "SEEDS", (7,))
    monkeypatch.setattr(granularity, "trials", lambda: {"dense": trials()["dense"]})
    monkeypatch.setattr(granularity, "train_one", lambda *_: made)
    make_record(tmp_path / "rows.json")
    assert record(tmp_path / "rows.json") == [made]
    other = replace(made, seed=6, bits_per_byte={200: 2.0}, overlap=0.5)
    assert by_trial([made, other]) == {"dense": [2.0, 3.0]}
    assert by_trial([made, other], "overlap") == {"dense": [0.5]}
    assert "7 dense" in capsys.readouterr().out


def test_the_record_s_mean_overlap_lies_between_that_of_independent_and_of_equal_experts() -> None:
    assert 1 / 64 < mean(row.overlap for row in record() if row.overlap) < 1
