"""A run that was killed goes on bit for bit, and a damaged checkpoint is refused in one line."""

import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.data.text import Corpus
from minimoe.model.routing import Routing, route
from minimoe.training.checkpoint import (
    latest_checkpoint,
    load_model,
    resume,
    save_checkpoint,
    text_digest,
    train_in_folder,
)
from minimoe.training.loop import Run, start, train

LAYER = MoEConfig(d_model=8, d_expert=4, n_routed_experts=4, top_k=2, use_expert_bias=True)
MODEL = ModelConfig(
    n_layers=2,
    attention=AttentionConfig(d_model=8, n_heads=2, n_kv_heads=1, d_head=4, qk_norm="head"),
    d_ff=6,
    moe=LAYER,
    dense_layers=(0,),
    vocab_size=16,
)
TRAINING = TrainConfig(steps=12, batch_size=3, length=5, dtype="float64", expert_bias_rate=0.01)
FILES = ("model.safetensors", "optimizer.safetensors", "state.json")


def corpus() -> Corpus:
    tokens = torch.randint(0, 16, (300,), generator=torch.Generator().manual_seed(7))
    return Corpus(tokens.to(torch.uint8), (torch.arange(300) >= 100).to(torch.uint8), ("a", "b"))


TEXT = text_digest(corpus())


def trained(steps: int) -> Run:
    return train(start(MODEL, TRAINING), corpus(), steps=steps)


def everything(run: Run) -> dict[str, Any]:
    """All that a run is, without the clock: weights, optimizer state, history."""
    found: dict[str, Any] = dict(run.model.state_dict())
    for name, parameter in run.model.named_parameters():
        for part, tensor in run.optimizer.state[parameter].items():
            found[f"{name}.{part}"] = tensor
    found["history"] = [replace(record, seconds=0.0) for record in run.history]
    found["groups"] = [
        {k: v for k, v in group.items() if k not in ("params", "lr")}
        for group in run.optimizer.param_groups
    ]  # the learning rate is set anew in each step
    return found


def same(one: Run, other: Run) -> bool:
    """Equal bit for bit."""
    a, b = everything(one), everything(other)
    return set(a) == set(b) and all(
        torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key]
        for key in a
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(act: Callable[[], object]) -> str:
    """The message with which `act` is refused: always one line."""
    with pytest.raises(InputError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def uninterrupted() -> Run:
    torch.set_num_threads(1)
    return trained(TRAINING.steps)


def test_a_run_resumed_before_every_step_equals_the_uninterrupted_one(
    tmp_path: Path, uninterrupted: Run
) -> None:
    save_checkpoint(start(MODEL, TRAINING), tmp_path, TEXT)
    for step in range(1, TRAINING.steps + 1):
        run = train(resume(tmp_path, MODEL, TRAINING, TEXT), corpus(), steps=step)
        save_checkpoint(run, tmp_path, TEXT)
    assert same(run, uninterrupted)
    assert [run.history[0].seconds < r.seconds for r in run.history[1:]] == [True] * 11


def in_a_child(work: Callable[[], object], kill_after: float | None = None) -> bool:
    """Fork; the child works and exits, unless SIGKILL comes first. Did it come?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner has threads
        pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_run_killed_at_random_moments_goes_on_bit_for_bit(
    tmp_path: Path, uninterrupted: Run
) -> None:
    """A checkpoint after every step, so that many kills fall into the writing of one."""
    moments, steps_seen = random.Random(0), []
    for _ in range(12):
        in_a_child(
            lambda: train_in_folder(MODEL, TRAINING, corpus(), tmp_path, save_every=1),
            kill_after=moments.uniform(0.005, 0.1),
        )
        found = latest_checkpoint(tmp_path)
        steps_seen.append(resume(tmp_path, MODEL, TRAINING, TEXT).step if found else 0)
    assert steps_seen == sorted(steps_seen)
    run = train_in_folder(MODEL, TRAINING, corpus(), tmp_path, save_every=1)
    assert same(run, uninterrupted)
    assert same(resume(tmp_path, MODEL, TRAINING, TEXT), uninterrupted)


def test_a_run_with_domain_weights_goes_on_and_is_seen_after_each_step(tmp_path: Path) -> None:
    config, seen = replace(TRAINING, domain_weights=(0.0, 1.0)), []

    def look(run: Run, routings: tuple[Routing, ...]) -> None:
        saved = latest_checkpoint(tmp_path)
        seen.append((run.step, None if saved is None else saved.name, len(routings)))

    train_in_folder(MODEL, config, corpus(), tmp_path, save_every=6, hooks=[look])
    first = "step-0000006"
    assert seen == [(n, first if n > 6 else None, MODEL.n_moe_layers) for n in range(1, 13)]
    assert resume(tmp_path, MODEL, config, TEXT).config == config
    with pytest.raises(InputError, match=r"domain_weights=\(0.0, 1.0\).*None"):
        resume(tmp_path, MODEL, TRAINING, TEXT)


def test_a_kill_at_each_call_to_the_disk_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """The child dies at the n-th call that opens, makes, renames or removes, for every n."""
    older, newer = trained(2), trained(3)
    for n in range(100):
        folder = tmp_path / str(n)
        save_checkpoint(older, folder, TEXT)
        if not in_a_child(lambda n=n, folder=folder: die_at(n, newer, folder)):
            break
        found = resume(folder, MODEL, TRAINING, TEXT)
        assert same(found, newer if found.step == 3 else older)
        save_checkpoint(train(found, corpus(), steps=4), folder, TEXT)
        assert names(folder) == ["step-0000004"]  # what the dead process left behind is gone
        assert names(folder / "step-0000004") == sorted(FILES)
    assert n > 8  # one folder and three files made, one renamed, one folder and its files removed


def die_at(n: int, run: Run, folder: Path) -> None:
    """Save, but let SIGKILL come just before the n-th call to the disk."""
    calls = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            calls += 1
            if calls > n:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    save_checkpoint(run, folder, TEXT)


def test_ctrl_c_saves_the_step_it_came_in_and_the_run_goes_on_bit_for_bit(
    tmp_path: Path, uninterrupted: Run
) -> None:
    def pressed_in_step_5(run: Run, _routings: object) -> None:
        if run.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    arguments = (MODEL, TRAINING, corpus(), tmp_path)
    assert train_in_folder(*arguments, hooks=[pressed_in_step_5]).step == 5
    assert names(tmp_path) == ["step-0000005"]
    assert same(train_in_folder(*arguments), uninterrupted)
    assert names(tmp_path) == ["step-0000012"]


def test_a_checkpoint_is_written_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    there = []

    def look(first: int, end: int) -> Iterator[int]:
        for step in range(first, end):
            there.append((latest_checkpoint(tmp_path) or Path("none")).name[-2:])
            yield step

    train_in_folder(MODEL, TRAINING, corpus(), tmp_path, save_every=5, progress=look)
    assert there == ["ne"] * 5 + ["05"] * 5 + ["10"] * 2
    assert names(tmp_path) == ["step-0000012"]
    with pytest.raises(InputError, match="1.*0"):
        train_in_folder(MODEL, TRAINING, corpus(), tmp_path, save_every=0)


def test_the_same_run_is_written_in_the_same_bytes(tmp_path: Path) -> None:
    run = trained(3)
    one, two = (save_checkpoint(run, tmp_path / name, TEXT) for name in ("one", "two"))
    assert contents(one) == contents(two)
    again = resume(tmp_path / "one", MODEL, TRAINING, TEXT)
    assert contents(save_checkpoint(again, tmp_path / "three", TEXT)) == contents(one)


def test_older_checkpoints_and_half_written_ones_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".step-0000009.partial").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    run = start(MODEL, TRAINING)
    for steps in (1, 2, 4):
        path = save_checkpoint(train(run, corpus(), steps=steps), tmp_path, TEXT)
        assert path == tmp_path / f"step-{steps:07d}"
        assert names(tmp_path) == ["notes.txt", path.name]
        assert names(path) == sorted(FILES)
        assert latest_checkpoint(tmp_path) == latest_checkpoint(path) == path


@pytest.mark.parametrize("steps_of_the_other", [1, 2, 5])
def test_the_run_saved_last_is_the_one_that_is_loaded(
    tmp_path: Path, steps_of_the_other: int
) -> None:
    save_checkpoint(trained(steps_of_the_other), tmp_path, TEXT)
    run = train(start(MODEL, TRAINING, seed=7), corpus(), steps=2)
    save_checkpoint(run, tmp_path, TEXT)
    assert names(tmp_path) == ["step-0000002"]
    assert torch.equal(load_model(tmp_path).embedding, run.model.embedding)


def test_a_half_written_checkpoint_is_never_taken_for_one(tmp_path: Path) -> None:
    save_checkpoint(trained(1), tmp_path, TEXT)
    shutil.copytree(tmp_path / "step-0000001", tmp_path / ".step-0000002.partial")
    assert latest_checkpoint(tmp_path) == tmp_path / "step-0000001"
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_a_loaded_model_has_the_same_logits(tmp_path: Path) -> None:
    run = trained(5)
    path = save_checkpoint(run, tmp_path, TEXT)
    tokens = corpus().tokens[:20].long()[None]
    for folder in (tmp_path, path):
        model = load_model(folder)
        assert model.config == MODEL
        assert torch.equal(model(tokens)[0], run.model(tokens)[0])
    assert any(bias.any() for name, bias in model.named_buffers() if "expert_bias" in name)


# Damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "damage"),
    [*((file, kind) for file in FILES for kind in ("cut", "missing")), ("state.json", "garbage")],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, file: str, damage: str) -> None:
    path = save_checkpoint(trained(1), tmp_path, TEXT) / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\xff\n\x00" * 99)
    message = refusal(lambda: resume(tmp_path, MODEL, TRAINING, TEXT))
    assert message.startswith(f"{path.parent} is damaged: {file}: ")
    assert message.endswith("; delete that folder")
    if file != "optimizer.safetensors":
        assert refusal(lambda: load_model(tmp_path)) == message


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("history"),
        lambda state: state.update(history=[{"step": 1}]),
        lambda state: state.update(history=5),
        lambda state: state.update(model_config=None),
        lambda state: state.update(train_config=[1]),
        lambda state: state["model_config"]["moe"].update(top_k=99),
    ],
    ids=["no history", "half a record", "no list", "no model", "no training", "nonsense"],
)
def test_a_state_that_is_json_but_no_state_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = save_checkpoint(trained(1), tmp_path, TEXT)
    state = json.loads((path / "state.json").read_text())
    change(state)
    (path / "state.json").write_text(json.dumps(state))
    jaxtyping.config.update("jaxtyping_disable", True)  # users' types are not checked
    try:
        message = refusal(lambda: resume(tmp_path, MODEL, TRAINING, TEXT))
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert message.startswith(f"{path} is damaged: state.json: ")


def test_a_folder_without_a_checkpoint_is_refused_with_the_command_that_makes_one(
    tmp_path: Path,
) -> None:
    for read in (lambda: load_model(tmp_path), lambda: resume(tmp_path, MODEL, TRAINING, TEXT)):
        assert f"`minimoe train --out {tmp_path}`" in refusal(read)


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    path = save_checkpoint(trained(1), tmp_path, TEXT)
    other_model = replace(MODEL, moe=replace(LAYER, top_k=3))
    message = refusal(lambda: resume(tmp_path, other_model, TRAINING, TEXT))
    assert re.search(rf"{re.escape(str(path))} .*moe\.top_k=2\b.*\b3\b", message)
    other_training = replace(TRAINING, seed=4, learning_rate=0.5)
    message = refusal(lambda: resume(tmp_path, MODEL, other_training, TEXT))
    assert re.search(r"learning_rate=0\.004\b.*\b0\.5\b.*seed=0\b.*\b4\b", message)
    message = refusal(lambda: resume(tmp_path, MODEL, TRAINING, "abc"))
    assert TEXT in message and "abc" in message
    dense = replace(MODEL, moe=None, dense_layers=())
    assert "moe.top_k=2" in refusal(lambda: resume(tmp_path, dense, TRAINING, TEXT))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
def test_tensors_of_another_model_are_refused(tmp_path: Path, file: str) -> None:
    path = save_checkpoint(trained(1), tmp_path / "one", TEXT)
    other = replace(MODEL, n_layers=3)
    run = train(start(other, TRAINING), corpus(), steps=1)
    shutil.copy(save_checkpoint(run, tmp_path / "other", TEXT) / file, path / file)
    message = refusal(lambda: resume(tmp_path / "one", MODEL, TRAINING, TEXT))
    assert message.startswith(str(path)) and "another model" in message


def test_optimizer_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    run = trained(2)
    state = run.optimizer.state[run.model.embedding]
    state["exp_avg"] = state["exp_avg"][:3]
    save_checkpoint(run, tmp_path, TEXT)
    assert "optimizer state" in refusal(lambda: resume(tmp_path, MODEL, TRAINING, TEXT))


def test_a_second_ctrl_c_in_the_middle_of_a_step_saves_nothing_half_done(
    tmp_path: Path, uninterrupted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (MODEL, TRAINING, corpus(), tmp_path)
    right = torch.optim.AdamW.step

    def interrupted_step(optimizer: torch.optim.AdamW) -> None:
        right(optimizer)
        if max(int(state["step"]) for state in optimizer.state.values()) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted_step)
        train_in_folder(*arguments, save_every=3)
    assert names(tmp_path) == ["step-0000003"]
    assert same(train_in_folder(*arguments), uninterrupted)


def test_a_resumed_run_keeps_its_routing_rule(tmp_path: Path) -> None:
    asked = []

    def rule(logits: Any, config: Any, expert_bias: Any, noise: Any) -> Routing:
        asked.append(len(logits))
        return route(logits, config, expert_bias, noise)

    save_checkpoint(trained(11), tmp_path, TEXT)
    train_in_folder(MODEL, TRAINING, corpus(), tmp_path, rule=rule)
    assert asked == [15]


def test_a_run_with_a_frozen_parameter_goes_on_and_keeps_it_frozen(tmp_path: Path) -> None:
    run = start(MODEL, TRAINING)
    run.model.embedding.requires_grad_(False)
    before = run.model.embedding.clone()
    save_checkpoint(train(run, corpus(), steps=2), tmp_path, TEXT)
    again = train(resume(tmp_path, MODEL, TRAINING, TEXT), corpus(), steps=4)
    assert torch.equal(again.model.embedding, before)
    assert not again.model.embedding.requires_grad and again.model.head.requires_grad


def test_a_compiled_model_is_saved_under_the_names_of_the_model(tmp_path: Path) -> None:
    run = start(MODEL, TRAINING)
    save_checkpoint(run, tmp_path / "plain", TEXT)
    run.model = torch.compile(run.model, backend="eager")
    save_checkpoint(run, tmp_path / "compiled", TEXT)
    plain, compiled = (latest_checkpoint(tmp_path / name) for name in ("plain", "compiled"))
    assert contents(plain) == contents(compiled)


def test_the_digest_of_a_text_sees_every_token_and_every_domain() -> None:
    one = corpus()
    tokens, domain_ids = one.tokens.clone(), one.domain_ids.clone()
    tokens[150] ^= 1
    domain_ids[150] ^= 1
    others = [replace(one, tokens=tokens), replace(one, domain_ids=domain_ids)]
    assert len({TEXT, *map(text_digest, others)}) == 3
    assert text_digest(corpus()) == TEXT and len(TEXT) == 64


# A full disk ------------------------------------------------------------------------------------


def check_that_a_failed_save_changes_nothing(folder: Path, code: int) -> None:
    before = contents(folder / "step-0000001")
    with pytest.raises(OSError) as failed:
        save_checkpoint(trained(2), folder, TEXT)
    assert failed.value.errno == code
    assert [name for name in names(folder) if name != "filler"] == ["step-0000001"]
    assert contents(folder / "step-0000001") == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_leaves_the_older_checkpoint(small_disk: Path) -> None:
    save_checkpoint(trained(1), small_disk, TEXT)
    with open(small_disk / "filler", "wb", buffering=0) as filler:
        for _ in range(128):
            if shutil.disk_usage(small_disk).free < 16_384:
                break
            filler.write(bytes(4096))
    check_that_a_failed_save_changes_nothing(small_disk, errno.ENOSPC)
    (small_disk / "filler").unlink()
    assert resume(small_disk, MODEL, TRAINING, TEXT).step == 1
    save_checkpoint(trained(2), small_disk, TEXT)
    assert names(small_disk) == ["step-0000002"]


@pytest.mark.parametrize("limit", [100, 9_000, 20_000])
def test_a_file_that_cannot_be_finished_leaves_the_older_checkpoint(
    tmp_path: Path, limit: int
) -> None:
    save_checkpoint(trained(1), tmp_path, TEXT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        check_that_a_failed_save_changes_nothing(tmp_path, errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert resume(tmp_path, MODEL, TRAINING, TEXT).step == 1
