"""The tour trains both models on the same text, measures them, and writes a whole report."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from texts import paragraphs, the_small_text

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig
from minimoe.data import Text, folder_text
from minimoe.experiments import tour
from minimoe.experiments.tour import as_json, run_tour, summary
from minimoe.measure.parameters import touched_parameters
from minimoe.model.transformer import Transformer
from minimoe.show.report import Contender, Point, verdicts
from minimoe.training.checkpoint import load_model

ATTENTION = AttentionConfig(d_model=32, n_heads=2, n_kv_heads=1, d_head=16)
LAYER = MoEConfig(d_model=32, d_expert=24, n_routed_experts=4, top_k=2)
DENSE = ModelConfig(n_layers=2, attention=ATTENTION, d_ff=50)
MOE = ModelConfig(n_layers=2, attention=ATTENTION, moe=LAYER)


@pytest.fixture(autouse=True)
def _judged_shortly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two tokens are watched and less text is judged: both take longest in a tour of few steps."""

    def of_two_tokens(model: Transformer, tokens: torch.Tensor) -> torch.Tensor:
        return touched_parameters(model, tokens[:2])

    monkeypatch.setattr(tour, "touched_parameters", of_two_tokens)
    monkeypatch.setattr(tour, "VALIDATION_BYTES", 3 * 8 * 128)
    with mpl.rc_context():  # a tour sets the style of its figures
        yield


def small_tour(
    text: Text, out: Path, minutes: float = 1.0, steps: int | None = None
) -> tuple[Contender, ...]:
    return run_tour(text, out, dense=DENSE, moe=MOE, minutes=minutes, steps=steps)


def test_the_tour_measures_what_its_formulas_say_and_writes_its_report(tmp_path: Path) -> None:
    contenders = small_tour(the_small_text(), tmp_path / "deep" / "out", steps=16)
    dense, moe = contenders
    for contender in contenders:
        assert contender.touched_parameters == contender.active_parameters
        assert contender.measured_flops_per_token == contender.flops_per_token
        assert set(contender.bits_per_byte) == {"english", "chinese", "python", "all"}
        assert contender.bits_per_byte["all"] == contender.curve[-1].bits
        assert contender.curve[0].bits > 7.5 > contender.curve[-1].bits
    assert dense.tokens == moe.tokens == 16 * 8 * 128
    assert moe.total_parameters > 1.5 * moe.active_parameters
    assert [sum(layer) for layer in moe.load] == pytest.approx([1, 1])

    page = (tmp_path / "deep" / "out" / "index.html").read_text()
    assert page.count("<figure>") == 2
    assert "By FLOPs, " in page and "By seconds on this machine, " in page
    assert f"{moe.total_parameters:,}" in page
    assert all(name in page for name in ("english", "chinese", "python"))
    assert json.loads((tmp_path / "deep" / "out" / "tour.json").read_text()) == json.loads(
        as_json(contenders)
    )
    assert load_model(tmp_path / "deep" / "out" / "moe").config == MOE
    assert all(sentence in summary(contenders) for sentence in verdicts(dense, moe))
    assert not list(tmp_path.glob("**/*.partial"))


def test_the_tour_reads_the_users_own_text(tmp_path: Path) -> None:
    for name in ("letters", "recipes"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "a.txt").write_text(paragraphs(name), encoding="utf-8")
    _, moe = small_tour(folder_text(tmp_path / "mine"), tmp_path / "out", steps=2)
    assert set(moe.bits_per_byte) == {"letters", "recipes", "all"}


@pytest.mark.parametrize(
    ("minutes", "message"),
    [(0.0, "0.*0"), (0.0001, r"minutes=0\.0001")],
)
def test_too_little_time_is_refused(tmp_path: Path, minutes: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_tour(the_small_text(), tmp_path, minutes=minutes)


def test_as_many_steps_are_planned_as_fit_with_a_reserve_of_15_percent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tour, "_step_seconds", lambda *_: 0.5)
    models, deadline = {"dense": DENSE, "moe": MOE}, time.perf_counter() + 12.0
    assert tour._steps_that_fit(models, the_small_text().train, 1.0, deadline) == 10


def contender(name: str, curve: list[Point]) -> Contender:
    return Contender(name, 1, 1, 1, 1, 1, {"all": 1.0}, 1.0, 1, [], curve)


def test_the_winner_is_read_at_the_amount_both_have_spent() -> None:
    dense = contender("dense", [Point(0, 0.0, 0.0, 8.0), Point(9, 100.0, 10.0, 4.0)])
    moe = contender("moe", [Point(0, 0.0, 0.0, 8.0), Point(9, 80.0, 30.0, 3.0)])
    by_flops, by_seconds = verdicts(dense, moe)
    # After 80 FLOPs dense stands at 8 - 4 * 0.8 = 4.8; after 10 s MoE stands at 8 - 5 / 3 = 6.333.
    assert by_flops.startswith("By FLOPs, MoE wins: after 80 FLOPs of training each, MoE stands at")
    assert "MoE stands at 3.000" in by_flops and by_flops.endswith("dense at 4.800.")
    assert "dense wins: after 10.0 s" in by_seconds
    assert "MoE stands at 6.333" in by_seconds and by_seconds.endswith("dense at 4.000.")


def test_a_difference_below_a_hundredth_of_a_bit_is_nobodys_win() -> None:
    dense = contender("dense", [Point(0, 0.0, 0.0, 8.0), Point(9, 100.0, 10.0, 4.0)])
    moe = contender("moe", [Point(0, 0.0, 0.0, 8.0), Point(9, 100.0, 10.0, 4.0099)])
    assert all("nobody wins" in sentence for sentence in verdicts(dense, moe))
