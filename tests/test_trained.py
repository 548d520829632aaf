"""Trained models are those of their recipes and cards; a finished run is released as one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from texts import paragraphs, the_small_text

from minimoe import trained
from minimoe.cli.shared import MODEL
from minimoe.config import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.data.batches import Batch
from minimoe.data.folder import folder_text
from minimoe.data.text import Text
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.bits import bits_per_byte
from minimoe.trained import RECIPES, Recipe, models, trained_card
from minimoe.trained import release as releases
from minimoe.trained.models import load_trained, named_model, routing_history
from minimoe.trained.release import SNAPSHOT_BYTES, SNAPSHOT_PART, release, snapshot_loss, snapshots
from minimoe.training.checkpoint import text_digest, train_in_folder
from minimoe.training.loop import StepRecord, start

TINY = Recipe(
    "MoE, tiny",
    ModelConfig(
        n_layers=2,
        attention=AttentionConfig(d_model=16, n_heads=2, n_kv_heads=1, d_head=8),
        moe=MoEConfig(d_model=16, d_expert=8, n_routed_experts=4, top_k=2, use_expert_bias=True),
    ),
    TrainConfig(steps=3, batch_size=2, length=32),
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    folder = tmp_path_factory.mktemp("text")
    for name in ("letters", "recipes", "songs"):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text(paragraphs(name, 150), encoding="utf-8")
    return folder_text(folder)


def only_tiny(patch: pytest.MonkeyPatch, to: Path) -> None:
    """Let there be one recipe, the tiny one, and `to` be where its model comes from."""
    for module in (trained, models, releases):
        patch.setattr(module, "RECIPES", {"tiny": TINY})
    patch.setattr(trained, "HERE", to)
    patch.setattr(releases, "LENGTH", 32)
    patch.setattr(releases, "PROBE_BYTES", 9 * 32)
    patch.setattr(releases, "SNAPSHOT_BYTES", 2**10)
    patch.setattr(releases, "SNAPSHOT_STEPS", (1, 3))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, text: Text) -> Path:
    """A folder with a run of three steps in run/, released to first/ and to second/."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        only_tiny(patch, folder / "first")
        run = folder / "run"
        train_in_folder(TINY.model, TINY.training, text.train, run, hooks=[snapshots(text, run)])
        for name in ("first", "second"):
            (folder / name).mkdir()
            release("tiny", run, text, folder / name)
    return folder


@pytest.fixture
def tiny(released: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, its first release being what comes with the package."""
    only_tiny(monkeypatch, released / "first")
    return released


def test_released_weights_are_float16_and_the_selection_bias_whole(tiny: Path) -> None:
    stored = load((tiny / "first" / "tiny.safetensors").read_bytes())
    kinds = {key: tensor.dtype for key, tensor in stored.items() if "chosen." not in key}
    biases = {key for key in kinds if key.endswith("expert_bias")}
    assert len(biases) == 2 and all(kinds[key] == torch.float32 for key in biases)
    assert {kinds[key] for key in set(kinds) - biases} == {torch.float16}


def test_a_run_is_released_to_the_same_bytes_twice(tiny: Path) -> None:
    for name in ("tiny.safetensors", "tiny.json"):
        first, second = (tiny / to / name for to in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_card_says_all_that_is_needed_to_make_the_model_again(tiny: Path, text: Text) -> None:
    card = trained_card("tiny")
    assert card["command"] == "minimoe train --preset tiny --out runs/tiny"
    assert card["text"]["sha256"] == text_digest(text.train)
    assert set(card["text"]["bytes"]) == {"letters", "recipes", "songs"}
    assert card["parameters"] == sum(p.numel() for p in load_trained("tiny").parameters())
    assert card["tokens"] == 3 * 2 * 32 and card["hours"] >= 0
    assert card["seeds"] == {"weights": 0, "batches": 0}
    assert [point["step"] for point in card["curve"]] == [1, 3]
    assert {"machine", "model_config", "train_config", "stored_as", "what"} <= set(card)
    bits = card["bits_per_byte"]
    assert bits[SNAPSHOT_PART] == snapshot_loss(load_trained("tiny"), text)
    rounded, before = bits["validation"], bits["validation, before rounding to float16"]
    assert rounded["all"] == pytest.approx(before["all"], abs=1e-3)


def test_a_loaded_model_computes_in_float64_and_learns_nothing(tiny: Path) -> None:
    parameters = list(load_trained("tiny").parameters())
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in parameters)
    assert load_trained("tiny", torch.float32).norm.weight.dtype == torch.float32


def test_the_history_holds_the_choices_of_the_probe_at_each_snapshot(tiny: Path) -> None:
    history = routing_history("tiny")
    assert list(history) == [1, 3]
    assert all(chosen.shape == (2, 9 * 32, 2) for chosen in history.values())


def test_a_model_is_named_by_its_recipe_or_its_folder(tiny: Path) -> None:
    model, length = named_model("tiny")
    assert length == 32 and model.config == TINY.model
    model, length = named_model(str(tiny / "run"))
    assert length == 32 and model.config == TINY.model
    with pytest.raises(InputError, match="tiny.*'large'"):
        named_model("large")


def test_what_is_no_finished_run_is_not_released(tiny: Path, text: Text, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tiny.*'large'"):
        release("large", tmp_path, text)
    with pytest.raises(InputError, match="no checkpoint in"):
        release("tiny", tmp_path, text)

    def stop(_first: int, _last: int) -> range:
        return range(2)

    train_in_folder(TINY.model, TINY.training, text.train, tmp_path, progress=stop, save_every=1)
    with pytest.raises(InputError, match="2.*3"):
        release("tiny", tmp_path, text)


def test_an_unknown_model_is_refused_in_one_line() -> None:
    for ask in (load_trained, trained_card, routing_history):
        with pytest.raises(InputError, match="'gpt'.*text_dense"):
            ask("gpt")


def test_the_command_lines_default_model_is_a_recipe() -> None:
    assert MODEL in RECIPES


def test_dense_and_moe_have_equal_active_parameters_to_one_percent() -> None:
    active = {
        name: count_parameters(recipe.model).active_with_embeddings
        for name, recipe in RECIPES.items()
    }
    dense = active.pop("text_dense")
    assert all(abs(n / dense - 1) < 0.01 for n in active.values()), (dense, active)


def test_recipes_differ_only_in_the_layer_and_its_balancing() -> None:
    like = RECIPES["text_moe_loss"].training
    for recipe in RECIPES.values():
        assert replace(recipe.training, balance_weight=like.balance_weight) == like


# The files that come with the package -----------------------------------------------------------


def shipped(name: str) -> dict[str, object]:
    """The card of a model that comes with the package."""
    return json.loads((trained.HERE / f"{name}.json").read_bytes())


def test_all_shipped_models_together_take_at_most_16_MB() -> None:
    sizes = [path.stat().st_size for path in trained.HERE.glob("text_*.*")]
    assert sum(sizes) <= 16_000_000


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_card_is_of_its_recipe_and_of_its_text(name: str) -> None:
    card, recipe = shipped(name), RECIPES[name]
    assert recipe.text == "small"
    assert card["text"]["sha256"] == text_digest(the_small_text().train)
    assert load_trained(name).config == recipe.model
    assert TrainConfig(**cast(card["train_config"])) == recipe.training
    assert card["command"] == f"minimoe train --preset {name} --out runs/{name}"
    assert card["tokens"] == 4000 * 16 * 256


def cast(fields: dict[str, object]) -> dict[str, object]:
    """JSON has lists for tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_model_has_the_loss_that_its_card_says(name: str) -> None:
    """The loss on Python, which takes a third of the time."""
    said = shipped(name)["bits_per_byte"][SNAPSHOT_PART]["python"]
    batches = releases._windows(the_small_text().validation, SNAPSHOT_BYTES)
    windows = [
        Batch(*(tensor[python] for tensor in (batch.inputs, batch.targets, batch.domain_ids)))
        for batch in batches
        if (python := (batch.domain_ids == 2).any(1)).any()
    ]
    domains = the_small_text().validation.domains
    bits = bits_per_byte(load_trained(name), windows, domains)
    assert bits["python"] == pytest.approx(said, abs=1e-9)


def test_steps_that_others_slowed_down_do_not_count_as_undisturbed() -> None:
    run = start(RECIPES["text_dense"].model, RECIPES["text_dense"].training)
    record = StepRecord(1, 1, 1.0, 0.0, 0.0, 1.0, 0.1, 2.0)
    run.history = [replace(record, seconds=seconds) for seconds in (2.0, 3.0, 12.0)]
    assert releases._undisturbed_seconds(run) == 3.0
