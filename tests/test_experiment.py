"""An experiment's rows are those of its plan: none lost, none twice, none of another version."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe.config import TrainConfig
from minimoe.data import Batch, small_text, training_batch
from minimoe.errors import InputError
from minimoe.experiments import runner
from minimoe.experiments.costs import measure_costs
from minimoe.experiments.matched_start import FIRST_STD, match_start_
from minimoe.experiments.plan import RULES, Entry
from minimoe.experiments.rows import append_row, key_of, read_rows, stored_rows
from minimoe.experiments.runner import run_plan, train_entry
from minimoe.experiments.runs import (
    StoredRun,
    _noise,
    error,
    gains,
    interval,
    made_up,
    multiplier,
    other_forms,
    redrawn,
    stored_runs,
    straight_line,
)
from minimoe.experiments.sparse_pays import (
    BASE,
    FITTED,
    FORECAST,
    LONG,
    PLAN,
    PREDICTED,
    RATE_OF_WIDTH,
    SEEDS,
    TUNED_RATES,
    dense,
    moe,
    training,
)
from minimoe.experiments.without_shared import shared_replaced
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.law import Point, fit_law
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.transformer import Transformer
from minimoe.training.loop import Run, next_batch, start, train, train_step

TIMES = ("step_seconds", "machine")
WIDE = replace(dense(32, width=32), n_layers=1)


def small_entry(**changes: Any) -> Entry:
    """Two budgets of a small model on the small text."""
    recipe = TrainConfig(
        steps=24, batch_size=2, length=16, warmup_share=4 / 24, decay_share=0.25, dtype="float64"
    )
    model = replace(moe(4, 32), n_layers=1)
    fields = {"name": "small", "model": model, "training": recipe, "budgets": (12, 24)}
    return Entry(**{**fields, "seeds": (3,), "text": "small", **changes})


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in TIMES} for row in rows]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "JUDGED_BYTES", 2**11)


@cache
def undisturbed() -> list[dict[str, Any]]:
    """The rows of the small entry, trained at once."""
    return train_entry(small_entry())


def test_a_row_of_a_budget_is_a_run_of_its_own_length() -> None:
    entry = small_entry()
    row = undisturbed()[0]
    run = start(entry.model, entry.run_of(12, 3), 3)
    match_start_(run.model, next_batch(run, small_text().train))
    train(run, small_text().train)
    assert run.history[-1].learning_rate == pytest.approx(0.1 * entry.training.learning_rate)
    again = runner._row(entry, run, small_text())
    assert row["steps"] == 12 and row["bits"] == again["bits"]


@pytest.mark.parametrize("at", [5, 9, 10, 17, 23])
def test_a_killed_entry_goes_on_to_the_same_rows(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, whole = small_entry(), undisturbed()
    real = train_step

    def killed(run: Run, batch: Any) -> Any:
        if run.step == at:
            raise KeyboardInterrupt
        return real(run, batch)

    monkeypatch.setattr("minimoe.training.loop.train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_entry(entry, tmp_path, save_seconds=0.0)
    monkeypatch.setattr("minimoe.training.loop.train_step", real)
    assert timeless(train_entry(entry, tmp_path)) == timeless(whole)
    assert list(tmp_path.iterdir()) == []


# What three processes import again: no more than the plan.
SCRIPT = """
import pickle, sys
from pathlib import Path
if __name__ == "__main__":
    from minimoe.experiments.runner import run_plan
    entries, file = pickle.load(sys.stdin.buffer)
    run_plan(entries, file, workers=2, save_seconds=0.0)
"""


def test_a_plan_killed_in_its_processes_has_each_row_once_when_it_ran_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    script = tmp_path / "plan.py"
    script.write_text(SCRIPT)
    entries = [small_entry(name=name, seeds=(0, 1)) for name in ("one", "two")]
    first = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, start_new_session=True
    )
    first.stdin.write(pickle.dumps((entries, file)))
    first.stdin.close()
    deadline = time.monotonic() + 300  # a busy machine takes a minute to start three processes
    while not file.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)  # its workers notice
    first.wait()
    assert file.exists()
    run_plan(entries, file, workers=1, save_seconds=0.0)
    keys = [key_of(row) for row in read_rows(file)]
    wanted = {
        (name, seed, steps) for name in ("one", "two") for seed in (0, 1) for steps in (12, 24)
    }
    assert len(keys) == len(wanted) and set(keys) == wanted
    assert not file.with_suffix(".unfinished").exists()


def test_finished_rows_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, file = small_entry(), tmp_path / "rows.jsonl"
    for steps in entry.budgets:
        append_row(file, {"name": "small", "seed": 3, "steps": steps, "config": entry.digest})
    monkeypatch.setattr(runner, "train_entry", None)
    assert [row["steps"] for row in run_plan([entry], file, workers=1)] == [12, 24]


def test_a_row_of_another_version_of_the_plan_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    append_row(file, {"name": "small", "seed": 3, "steps": 12, "config": "01234567"})
    with pytest.raises(
        InputError, match=r"config 01234567, the plan has [0-9a-f]{8}; name another"
    ):
        run_plan([small_entry()], file, workers=1)


def test_the_digest_of_an_entry_is_of_what_is_trained_and_not_of_how_long() -> None:
    entry = small_entry()
    longer = replace(entry.training, steps=48, warmup_share=4 / 48)
    assert entry.digest == replace(entry, seeds=(7,), budgets=(48,), training=longer).digest
    faster = replace(entry, training=replace(entry.training, learning_rate=0.01))
    other_start = replace(entry, training=replace(entry.training, warmup_share=0.5))
    digests = {e.digest for e in (entry, faster, other_start, replace(entry, rule="dead"))}
    assert len(digests) == 4


@given(cut=st.integers(min_value=1, max_value=30))
def test_a_line_that_a_kill_cut_off_is_dropped(cut: int, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [{"name": "a", "seed": seed, "steps": 8} for seed in range(3)]
    append_row(file, rows[0])
    append_row(file, rows[1])
    file.write_bytes(file.read_bytes()[:-cut])
    assert read_rows(file) == rows[:1]
    append_row(file, rows[2])
    assert read_rows(file) == [rows[0], rows[2]]


def test_a_row_that_stands_twice_or_is_no_row_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    line = json.dumps({"name": "a", "seed": 0, "steps": 8}) + "\n"
    file.write_text(line + line)
    with pytest.raises(InputError, match=r"second row of \('a', 0, 8\) in line 2"):
        read_rows(file)
    file.write_text(line + "[]\n")
    with pytest.raises(InputError, match="line 2 of .* is not a row"):
        read_rows(file)


def first_outputs(model: Transformer, batch: Batch) -> list[float]:
    """Standard deviation of each feed-forward layer's output."""
    found: list[float] = []

    def measure(_layer: Any, _inputs: Any, output: Any) -> None:
        found.append(float((output[0] if isinstance(output, tuple) else output).std()))

    for block in model.layers():
        block.ff.register_forward_hook(measure)
    with torch.no_grad():
        model(batch.inputs)
    return found


def test_every_design_starts_with_outputs_of_one_size() -> None:
    batch = training_batch(small_text().train, batch_size=4, length=64, seed=0, step=0)
    changed = (entry.model for entry in PLAN.parts["one-change"])
    designs = [dense(), dense(width=8), *dict.fromkeys(changed)]
    for config in designs:
        model = Transformer(config, 0)
        match_start_(model, batch)
        assert first_outputs(model, batch) == pytest.approx([FIRST_STD / 6**0.5] * 3, rel=1e-3)


@pytest.mark.parametrize("rule", ["dead", "frozen"])
def test_a_wrong_router_never_learns(rule: str) -> None:
    config = replace(moe(8, 32), n_layers=1)
    run = start(config, TrainConfig(steps=4, length=32), rule=RULES[rule])
    before = run.model.moe_layers()[0].router.weight.clone()
    _, routings = train_step(run, next_batch(run, small_text().train))
    weight = run.model.moe_layers()[0].router.weight
    assert (weight / before).std() < 1e-6  # weight decay at most
    n_used = len(routings[0].expert_ids.unique())
    assert n_used == 2 if rule == "dead" else n_used > 2


def test_shared_experts_are_removed_and_routed_ones_put_in_their_place() -> None:
    model = Transformer(moe(7, 32, n_shared_experts=1), 0)
    tokens = torch.arange(32)[None]
    fewer, instead = shared_replaced(model, 0), shared_replaced(model, 1)
    assert fewer(tokens)[1][0].expert_ids.shape == (32, 2)
    chosen = instead(tokens)[1][0].expert_ids
    assert chosen.shape == (32, 3)
    assert torch.equal(chosen[:, :2], model(tokens)[1][0].expert_ids)
    with pytest.raises(InputError, match="got 0$"):
        shared_replaced(fewer, 0)


def test_models_compared_at_equal_active_parameters_are_equal_but_for_their_router() -> None:
    base = count_parameters(dense()).active_without_embeddings
    for entry in PLAN.parts["equal-active"][1:]:
        count, layer = count_parameters(entry.model), entry.model.moe
        assert layer is not None
        assert count.active_without_embeddings - count.router == base
        assert count.router == 3 * 64 * layer.n_routed_experts


def test_dense_models_compared_at_equal_total_have_it_to_a_hundredth() -> None:
    for entry in PLAN.parts["equal-total"]:
        n = int(entry.name.rpartition("-")[2])
        total = count_parameters(entry.model).total
        assert total == pytest.approx(count_parameters(moe(n)).total, rel=0.01)


def test_the_predicted_models_take_eight_times_the_flops_of_the_largest_fitted() -> None:
    fitted = max(
        count_flops(entry.model, 128).training_per_token * steps
        for part in ("equal-active", "longer", "law")
        for entry in PLAN.parts[part]
        for steps in entry.budgets
        if steps <= FITTED
    )
    for entry in PLAN.parts["predicted"]:
        steps = entry.budgets[-1]
        assert count_flops(entry.model, 128).training_per_token * steps >= 8 * fitted


def test_stored_rows_are_of_the_plan_as_it_is() -> None:
    digests: dict[str, str] = {}
    for entry in PLAN.entries:
        assert digests.setdefault(entry.name, entry.digest) == entry.digest, entry.name
    rows = stored_rows(PLAN.name)
    assert rows and all(row["config"] == digests[row["name"]] for row in rows)


@pytest.mark.parametrize("kind", ["dense", "moe-16"])
def test_the_plan_trains_with_the_best_tuned_rate_of_its_batch(kind: str) -> None:
    config = training(kind.partition("-")[0], LONG)
    beginning = f"tuning {kind}, batch {config.batch_size}, rate "
    bits: dict[str, list[float]] = {}
    for row in stored_rows(PLAN.name):
        if row["name"].startswith(beginning):
            bits.setdefault(row["name"].removeprefix(beginning), []).append(row["bits"]["all"])
    assert len(bits) == len(TUNED_RATES[config.batch_size])
    best = min(bits, key=lambda rate: mean(bits[rate]))
    assert best == f"{config.learning_rate:g}"


@pytest.mark.parametrize("width", [32, 128])
@pytest.mark.parametrize("kind", ["dense", "moe-16"])
def test_another_width_trains_with_its_best_rate_which_is_inside_its_grid(
    kind: str, width: int
) -> None:
    beginning = f"tuning {kind}, d_model {width}, rate "
    bits = {
        float(row["name"].removeprefix(beginning)): row["bits"]["all"]
        for row in stored_rows(PLAN.name)
        if row["name"].startswith(beginning)
    }
    best = min(bits, key=lambda rate: bits[rate])
    assert best == RATE_OF_WIDTH[width][kind.partition("-")[0]]
    assert min(bits) < best < max(bits)


def test_a_stored_run_has_the_sizes_of_its_model_and_the_losses_of_the_asked_seeds() -> None:
    runs = stored_runs(PLAN, ("equal-active",), seeds=(3, 1))
    run = runs["moe-16", 1024]
    assert list(runs) == [(e.name, s) for e in PLAN.parts["equal-active"] for s in e.budgets]
    assert (run.name, run.steps, run.d_model, run.sparsity) == ("moe-16", 1024, 64, 0.875)
    assert runs["dense", 1024].sparsity == 0
    assert run.point((3, 3)) == Point(
        count_parameters(moe(16)).active_without_embeddings, 0.875, 1024 * 512, (run.losses[3],) * 2
    )
    assert run.flops == count_flops(moe(16), 128).training_per_token * 1024 * 512
    bits = {
        row["seed"]: row["bits"]
        for row in stored_rows(PLAN.name)
        if (row["name"], row["steps"]) == ("moe-16", 1024)
    }
    assert list(run.losses.items()) == [(seed, bits[seed]["all"]) for seed in (1, 3)]
    assert run.loss() == mean(run.losses.values()) and run.loss((0, 1)) == run.losses[1]
    chinese = stored_runs(PLAN, ("equal-active",), (3,), "chinese")["moe-16", 1024]
    assert chinese.losses == {3: bits[3]["chinese"]}


@pytest.fixture(scope="module")
def of_the_law() -> dict[tuple[str, int], StoredRun]:
    return stored_runs(PLAN, ("equal-active", "longer", "law", "predicted"), SEEDS)


@pytest.fixture(scope="module")
def fitted(of_the_law: dict[tuple[str, int], StoredRun]) -> list[StoredRun]:
    return [run for run in of_the_law.values() if BASE <= run.steps <= FITTED]


def test_the_law_of_today_says_what_was_stored_before_the_wide_models(
    of_the_law: dict[tuple[str, int], StoredRun], fitted: list[StoredRun]
) -> None:
    law = fit_law([run.point() for run in fitted])
    wide = [of_the_law[f"{name}, d_model 128", PREDICTED] for name in ("dense", "moe-16")]
    said = [law.loss(run.parameters, run.sparsity, run.tokens) for run in wide]
    assert [FORECAST[k][0] for k in ("dense", "moe-16")] == pytest.approx(said, abs=6e-4)
    assert FORECAST["gain"][0] == pytest.approx(said[0] - said[1], abs=6e-4)
    assert all(low < middle < high for middle, low, high in FORECAST.values())


def made_run(
    steps: int, *losses: float, parameters: int = 100_000, sparsity: float = 0.0
) -> StoredRun:
    return StoredRun(
        "made", steps, 64, parameters, sparsity, steps * 1000, steps, dict(enumerate(losses))
    )


def test_gains_are_paired_and_an_interval_is_the_middle() -> None:
    assert gains(made_run(1, 3.0, 2.0, 9.0), made_run(1, 2.5, 1.0)) == {0: 0.5, 1: 1.0}
    assert interval([float(n) for n in range(41)]) == (1, 39) and interval([3.0, 1.0]) == (1.0, 3.0)


def test_redrawn_seeds_serve_every_run() -> None:
    runs = [made_run(1, *[1.0] * 5), made_run(1, 1.0, 1.0)]
    draws = redrawn(runs, 50)
    assert draws == redrawn(runs, 50) != redrawn(runs, 50, seed=1)
    assert all(len(drawn) == 5 and set(drawn) & {0, 1} for drawn in draws)


def test_made_up_experiments_have_an_f_near_one(fitted: list[StoredRun]) -> None:
    found = made_up(fitted, "without experts", 30)
    assert found == sorted(found) and len(found) == 30
    assert 0.5 < found[15] < 1.3


def test_noise_is_split_into_a_shared_part_and_the_rest() -> None:
    assert _noise([made_run(1, 1.0, 2.0, 3.0), made_run(2, 5.0, 6.0, 7.0)]) == (1.0, 0.0)
    assert _noise([made_run(1, 1.0, 3.0), made_run(2, 3.0, 1.0)]) == (0.0, 2**0.5)


def test_a_straight_line_is_found_again(fitted: list[StoredRun]) -> None:
    runs = [
        made_run(steps, 3 * steps**-0.2 * n**-0.1 * 0.9**s, parameters=n, sparsity=s)
        for steps in (1, 3) for n in (10**5, 10**6) for s in (0.0, 0.5)
    ]  # fmt: skip
    rule = straight_line(runs)
    assert error(rule, runs) < 1e-12
    far = made_run(50, 1.0, parameters=10**7, sparsity=0.9)
    assert rule(far) == pytest.approx(3 * 50**-0.2 * 10**-0.7 * 0.9**0.9)
    assert all(error(other, fitted) < 0.015 for other in other_forms(fitted).values())


def test_a_multiplier_is_the_cost_of_dense_over_that_of_the_run() -> None:
    dense = [made_run(1, 3.0, 4.0), made_run(4, 2.0, 3.0)]
    assert multiplier(made_run(1, 2.5, 3.5), dense, lambda run: run.flops) == 2
    assert multiplier(made_run(1, 3.0, 3.0), dense, lambda run: run.flops, (1, 1)) == 4
    assert multiplier(made_run(1, 1.0), dense, lambda run: run.flops) == float("inf")


def test_the_costs_of_a_step_hold_its_parameters_and_what_it_keeps() -> None:
    entries = [replace(small_entry(), name="small"), small_entry(name="wide", model=WIDE)]
    costs = measure_costs(entries, rounds=2, warm_up=1)["steps"]
    for entry in entries:
        assert costs[entry.name]["parameter_bytes"] == 16 * count_parameters(entry.model).total
        assert len(costs[entry.name]["seconds"]) == 2
    kept = {name: cost["activation_bytes"] for name, cost in costs.items()}
    assert 1.2 * kept["small"] < kept["wide"] < 10 * kept["small"]


def test_a_dead_router_with_weights_that_sum_to_k_is_a_dense_layer() -> None:
    entry = next(e for e in PLAN.parts["wrong"] if e.rule == "dead")
    model = Transformer(replace(entry.model, n_layers=1), 0, RULES["dead"]).double()
    layer, x = model.moe_layers()[0], torch.randn(40, 64, dtype=torch.float64)
    dense_layer = SwiGLU(64, 128).double()
    gates, ups = zip(*(layer.experts.gate_up[e].chunk(2) for e in (0, 1)), strict=True)
    with torch.no_grad():
        dense_layer.gate_up.copy_(torch.cat([*gates, *ups]))
        dense_layer.down.copy_(torch.cat([layer.experts.down[e] for e in (0, 1)], dim=1))
    assert torch.allclose(layer(x)[0], dense_layer(x), atol=1e-12)


def test_the_stated_test_has_seeds_that_no_other_part_trains() -> None:
    others = {
        s for name, part in PLAN.parts.items() if name != "test" for e in part for s in e.seeds
    }
    assert not others & {s for e in PLAN.parts["test"] for s in e.seeds}
