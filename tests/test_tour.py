"""The tour trains both models with several seeds, measures them, and writes a whole report."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from texts import paragraphs, the_small_text

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig
from minimoe.data import Text, folder_text
from minimoe.experiments import tour
from minimoe.experiments.tour import as_json, measuring, run_tour, summary
from minimoe.experiments.tour.comparing import compare
from minimoe.experiments.tour.plan import Cost, fitting, plan_of
from minimoe.measure.parameters import touched_parameters
from minimoe.model.transformer import Transformer
from minimoe.show.comparison import Contender, Point, SeedRun, Tour, comparison_rows, verdicts
from minimoe.training.checkpoint import load_model, train_config_in
from minimoe.training.loop import next_batch

ATTENTION = AttentionConfig(d_model=32, n_heads=2, n_kv_heads=1, d_head=16)
LAYER = MoEConfig(d_model=32, d_expert=24, n_routed_experts=4, top_k=2)
DENSE = ModelConfig(n_layers=2, attention=ATTENTION, d_ff=50)
MOE = ModelConfig(n_layers=2, attention=ATTENTION, moe=LAYER)


@pytest.fixture(autouse=True)
def _judged_shortly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two tokens are watched and less text is judged: both take longest in a tour of few steps."""

    def of_two_tokens(model: Transformer, tokens: torch.Tensor) -> torch.Tensor:
        return touched_parameters(model, tokens[:2])

    monkeypatch.setattr(measuring, "touched_parameters", of_two_tokens)
    monkeypatch.setattr(tour, "VALIDATION_BYTES", 3 * 8 * 128)
    with mpl.rc_context():  # a tour sets the style of its figures
        yield


def small_tour(
    text: Text, out: Path, minutes: float = 1.0, steps: int | None = None, n_seeds: int = 2
) -> Tour:
    return run_tour(
        text, out, dense=DENSE, moe=MOE, minutes=minutes, steps=steps, seed=7, n_seeds=n_seeds
    )


def test_the_tour_measures_what_its_formulas_say_and_writes_its_report(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    found = small_tour(the_small_text(), out, steps=16)
    for model in (found.dense, found.moe):
        assert model.touched_parameters == model.active_parameters
        assert model.measured_flops_per_token == model.flops_per_token
        for run in model.runs:
            assert set(run.bits_per_byte) == {"english", "chinese", "python", "all"}
            assert run.bits_per_byte["all"] == run.curve[-1].bits
            assert run.curve[0].bits > 7.5 > run.curve[-1].bits
            assert run.tokens == found.planned_tokens == 16 * 8 * 128
    assert found.moe.total_parameters > 1.5 * found.moe.active_parameters
    for run in found.moe.runs:
        assert [sum(layer) for layer in run.load] == pytest.approx([1, 1])

    page = (out / "index.html").read_text()
    assert page.count("<figure>") == 3
    assert all(sentence in page and sentence in summary(found) for sentence in verdicts(found))
    assert f"{found.moe.total_parameters:,}" in page
    assert all(credit in page for credit in the_small_text().credits)
    assert all(name in page for name in ("english", "chinese", "python"))
    assert json.loads((out / "tour.json").read_text()) == json.loads(as_json(found))
    assert load_model(out / "moe").config == MOE
    assert train_config_in(out / "dense").seed == train_config_in(out / "moe").seed == 7
    assert not list(tmp_path.glob("**/*.partial"))


def test_a_seed_gives_both_models_the_same_batches_and_another_seed_others() -> None:
    runs = tour._start({"dense": DENSE, "moe": MOE}, plan_of(1), (7, 8))
    assert list(runs) == [("dense", 7), ("moe", 7), ("dense", 8), ("moe", 8)]
    text = the_small_text().train
    one, same, other, _ = (next_batch(run, text).inputs for run in runs.values())
    assert torch.equal(one, same) and not torch.equal(one, other)
    weights = [next(iter(run.model.parameters())) for run in runs.values()]
    assert not torch.equal(weights[0], weights[2])


def test_the_tour_reads_the_users_own_text(tmp_path: Path) -> None:
    for name in ("letters", "recipes"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "a.txt").write_text(paragraphs(name), encoding="utf-8")
    found = small_tour(folder_text(tmp_path / "mine"), tmp_path / "out", steps=2, n_seeds=1)
    assert set(found.moe.runs[0].bits_per_byte) == {"letters", "recipes", "all"}
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 2 and "Thin lines are seeds" not in page


@pytest.mark.parametrize(
    ("minutes", "n_seeds", "message"),
    [
        (0.0, 1, "0.*0"),
        (0.0001, 2, r"minutes=0\.0001 leave 0\.0 s .* 4 runs"),
        (1.0, 0, r"\[1, 10\].* 0"),
        (1.0, 11, r"\[1, 10\].* 11"),
    ],
)
def test_too_little_time_and_too_many_seeds_are_refused(
    tmp_path: Path, minutes: float, n_seeds: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        small_tour(the_small_text(), tmp_path, minutes=minutes, n_seeds=n_seeds)


def test_steps_and_evaluations_are_planned_as_fit_with_a_reserve() -> None:
    assert fitting(100.0, Cost(1.0, 2.0)) == (73, 8)  # 0.9 * (100 - 9 * 2) = 73.8
    assert fitting(100.0, Cost(1.0, 3.0)) == (73, 5)  # a fifth of 100 is 6 evaluations of 3
    assert fitting(100.0, Cost(1.0, 10.0)) == (45, 4)  # fewer points would bend the curve
    assert fitting(0.0, Cost(1.0, 2.0)) == (0, 4)
    assert plan_of(16, 2).evaluate_at == {0, 8, 16}


def contender(name: str, *ends: Point, load: tuple[float, ...] = ()) -> Contender:
    """A model whose curves are straight lines from 8 bits, one to each of `ends`."""
    runs = tuple(
        SeedRun(
            seed=seed,
            bits_per_byte={"all": end.bits},
            seconds=end.seconds,
            tokens=int(end.tokens),
            load=[list(load)] if load else [],
            curve=[Point(0.0, 0.0, 0.0, 8.0), end],
        )
        for seed, end in enumerate(ends)
    )
    return Contender(name, 1, 1, 1, 1, 1, runs)


def tour_of(dense: Contender, moe: Contender) -> Tour:
    return Tour(dense, moe, compare(dense, moe, "flops"), compare(dense, moe, "seconds"), 1)


def ends(*bits: float) -> list[Point]:
    return [Point(100.0, 100.0, 10.0, each) for each in bits]


def test_models_are_compared_at_the_amount_that_all_runs_have_used() -> None:
    dense = contender("dense", Point(100.0, 100.0, 10.0, 4.0), Point(100.0, 100.0, 12.0, 4.0))
    moe = contender("moe", Point(100.0, 80.0, 30.0, 3.0), Point(100.0, 80.0, 40.0, 2.0))
    by_flops, by_seconds = (compare(dense, moe, unit) for unit in ("flops", "seconds"))
    assert (by_flops.spent, by_seconds.spent) == (80, 10)
    # After 80 FLOPs dense stands at 8 - 4 * 0.8 = 4.8.
    assert by_flops.dense == (Point(80.0, 80.0, 8.0, 4.8), Point(80.0, 80.0, 9.6, 4.8))
    assert by_flops.differences == pytest.approx([3 - 4.8, 2 - 4.8])
    # After 10 s MoE stands at 8 - 5 / 3 and 8 - 6 / 4, dense at 4 and 8 - 4 * 10 / 12.
    assert by_seconds.differences == pytest.approx([8 - 5 / 3 - 4, 8 - 1.5 - (8 - 10 / 3)])
    assert by_flops.mean == pytest.approx(-2.3)
    assert by_flops.interval == pytest.approx((-2.3 - 12.706 / 2, -2.3 + 12.706 / 2))


def test_a_model_is_better_only_if_the_interval_excludes_0() -> None:
    dense = contender("dense", *ends(4.0, 4.0, 4.0))
    moe = contender("moe", *ends(3.9, 3.8, 3.7))  # -0.2, give or take 4.303 * 0.1 / sqrt(3)
    (by_flops, by_seconds) = verdicts(tour_of(dense, moe))
    assert by_flops == (
        "By FLOPs, these 3 seeds do not decide which model is better. MoE minus dense is −0.200 "
        "bits per byte on average; the 95 % interval, −0.448 to +0.048, includes 0. After 100 "
        "FLOPs of training, MoE has 3.800 bits per byte of validation text (100 bytes read) and "
        "dense 4.000 (100 bytes read)."
    )
    assert by_seconds.startswith("By seconds on this machine, these 3 seeds do not decide")
    assert "After 10.0 s of training" in by_seconds
    dense = contender("dense", *ends(4.1, 4.1, 4.1))
    assert verdicts(tour_of(dense, moe))[0].startswith(
        "By FLOPs, MoE is better by 0.300 bits per byte on average (95 % interval over 3 seeds: "
        "0.052 to 0.548). After"
    )
    dense = contender("dense", *ends(3.5, 3.5, 3.5))
    assert "machine, dense is better by 0.300 bits per byte" in verdicts(tour_of(dense, moe))[1]


def test_one_seed_has_no_interval_and_names_no_winner() -> None:
    load = (0.75, 0.25)
    found = tour_of(contender("dense", *ends(4.0)), contender("moe", *ends(3.0), load=load))
    assert found.by_flops.interval is None and found.by_flops.mean == -1
    for sentence in verdicts(found):
        assert "one seed cannot decide" in sentence and "Give --seeds 3" in sentence
        assert "−1.000" in sentence and "is better by" not in sentence
    assert comparison_rows(found)[0] == ["one seed", "dense", "MoE"]


def test_the_table_shows_means_and_the_spread_of_the_loss() -> None:
    dense, moe = contender("dense", *ends(4.0, 4.1)), contender("moe", *ends(3.9, 3.5))
    runs = tuple(
        replace(run, load=[[busy, 1 - busy]])
        for run, busy in zip(moe.runs, (0.6, 0.8), strict=True)
    )
    headers, rows = comparison_rows(tour_of(dense, replace(moe, runs=runs)))
    cells = {row[0]: row[1:] for row in rows}
    assert headers == ["mean of 2 seeds ± half range", "dense", "MoE"]
    assert cells["bits per byte, all"] == ["4.050 ± 0.050", "3.700 ± 0.200"]
    assert cells["load of the busiest expert"] == [None, "70.0 %"]
    assert cells["load of the idlest expert"] == [None, "30.0 %"]
