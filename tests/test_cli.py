"""Every command works, and every bad input gets one line and the right exit code."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from texts import paragraphs

from minimoe import cli
from minimoe import trained as trained_models
from minimoe.cli import main
from minimoe.config import preset
from minimoe.measure.parameters import count_parameters
from minimoe.trained import release as releases

TRAIN = ["train", "--preset", "moe", "--steps", "2", "--batch-size", "2", "--length", "32"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line that a refused command prints."""
    try:
        got = main(arguments)
    except SystemExit as stopped:  # argparse
        got = int(stopped.code or 0)
    printed = capsys.readouterr()
    assert (got, printed.out) == (status, "")
    assert printed.err.count("\n") == 1
    return printed.err.strip()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a text that is quick to read."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "a.txt").write_text(paragraphs("a"), encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A checkpoint folder of a run of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "moe"
    assert main([*TRAIN, "--text", text, "--out", str(folder)]) == 0
    return folder


def test_count_prints_the_counts_of_the_formula(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "moe", "dense", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    count = count_parameters(preset("moe"))
    assert result["moe"]["total_parameters"] == count.total
    assert result["moe"]["active_parameters"] == {
        "with_embeddings": count.active_with_embeddings,
        "without_input_embedding": count.active_without_input_embedding,
        "without_embeddings": count.active_without_embeddings,
    }
    assert main(["count", "moe"]) == 0
    assert f"{count.total:,}" in capsys.readouterr().out


def test_training_goes_on_where_it_stopped(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = [*TRAIN, "--text", text, "--out", str(out), "--save-every", "1", "--json"]
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    before = sorted(path.name for path in out.iterdir())
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert before == ["step-0000002"] == sorted(path.name for path in out.iterdir())
    assert first["steps"] == 2 and first["tokens"] == 128
    assert set(first["bits_per_byte"]) == {Path(text).name, "all"}


def test_generate_repeats_with_its_seed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", "--model", str(trained), "--prompt", "路", "--tokens", "8"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
    assert first.startswith("路")


def test_route_prints_every_byte_and_writes_the_view(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = tmp_path / "view.html"
    arguments = ["route", "a路b", "--model", str(trained), "--out", str(view)]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [len(layer) for layer in result["expert_ids"]] == [5] * 3
    assert "路" in view.read_text(encoding="utf-8")
    assert main(arguments) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + 5 and table[3].startswith("\\xe8")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_route_colours_a_terminal_one_layer_or_all(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["route", "a路b", "--model", str(trained), "--out", str(tmp_path / "view.html")]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = {}
    for layer in ([], ["--layer", "2"]):
        monkeypatch.setattr(sys, "stdout", Terminal())
        assert main([*arguments, *layer]) == 0
        shown[len(layer)] = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert [line for line in shown[0].split("\n") if "layer" in line] == [
        f"layer {layer} of 3: the expert with the largest weight" for layer in (1, 2, 3)
    ]
    assert shown[2].count("layer") == 1 and shown[2].strip() in shown[0]
    assert "\x1b[" in shown[2] and "路" in shown[2]
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main([*arguments, "--layer", "2"]) == 0
    plain = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in plain and plain.startswith("byte  layer 2")


def test_route_reads_a_file_in_windows_and_says_so(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("路 and more text. " * 5, encoding="utf-8")
    arguments = ["route", "--file", str(tmp_path / "notes.txt"), "--model", str(trained)]
    assert main([*arguments, "--out", str(tmp_path / "view.html"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "reads 95 bytes in 3 windows of at most 32, the length it was trained on" in printed.err
    assert [len(layer) for layer in json.loads(printed.out)["expert_ids"]] == [95] * 3
    assert "notes.txt" in (tmp_path / "view.html").read_text(encoding="utf-8")


def test_route_sets_models_side_by_side(
    trained: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert main([*TRAIN, "--text", text, "--out", str(other), "--seed", "1"]) == 0
    capsys.readouterr()
    view = tmp_path / "view.html"
    arguments = ["route", "ab", "--model", str(trained), "--model", str(other), "--out", str(view)]
    assert main([*arguments, "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert list(models) == [str(trained), str(other)]
    assert models[str(trained)] != models[str(other)]
    assert view.read_text(encoding="utf-8").count('class="pane"') == 2
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("layer 1") == 2
    fine = tmp_path / "fine"
    assert main([*TRAIN, "--text", text, "--out", str(fine), "--preset", "fine_grained"]) == 0
    capsys.readouterr()
    line = refusal(capsys, "route", "ab", "--model", str(trained), "--model", str(fine))
    assert "side by side, models need as many MoE layers and experts" in line


def test_route_refuses_what_it_cannot_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(trained), "--out", str(tmp_path / "view.html")]
    empty, latin, long = (tmp_path / name for name in ("empty.txt", "latin.txt", "long.txt"))
    empty.write_bytes(b"")
    latin.write_bytes(b"caf\xe9")
    long.write_bytes(b"a" * 65_537)
    for arguments, message in (
        ([], "give either a text in quotes or --file PATH"),
        (["a", "--file", str(long)], "give either a text in quotes or --file PATH"),
        (["--file", str(tmp_path / "none")], "must be a file of UTF-8 text, got"),
        (["--file", str(tmp_path)], "must be a file of UTF-8 text, got"),
        (["--file", str(empty)], "must hold 1 to 65,536 bytes, got 0"),
        (["--file", str(long)], "must hold 1 to 65,536 bytes, got 65,537"),
        (["--file", str(latin)], "byte 4 is 0xE9"),
        (["a", "--layer", "4"], "layer must lie in [1, n_layers=3], got 4"),
        (["a", "--layer", "0"], "layer must lie in [1, n_layers=3], got 0"),
        ([""], "must hold at least 1 byte, got 0"),
    ):
        assert message in refusal(capsys, "route", *arguments, *model)
    assert "a model is a checkpoint's folder or one of" in refusal(
        capsys, "route", "a", "--model", str(tmp_path / "nowhere")
    )
    assert not (tmp_path / "view.html").exists()


def test_a_recipe_trains_as_it_says_unless_an_option_says_otherwise(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "VALIDATION_BYTES", 2**10)
    monkeypatch.setattr(releases, "SNAPSHOT_STEPS", (1,))
    monkeypatch.setattr(releases, "SNAPSHOT_BYTES", 2**10)
    recipe = trained_models.RECIPES["text_moe_bias"]
    out = tmp_path / "run"
    small = ["--steps", "1", "--batch-size", "2", "--length", "64"]
    assert main(["train", "--preset", "text_moe_bias", "--out", str(out), *small]) == 0
    state = json.loads((out / "step-0000001" / "state.json").read_bytes())
    assert state["train_config"] == json.loads(
        json.dumps(asdict(replace(recipe.training, steps=1, batch_size=2, length=64)))
    )
    assert state["model_config"] == json.loads(json.dumps(asdict(recipe.model)))
    assert (out / "snapshot-0000001.safetensors").is_file()
    capsys.readouterr()
    line = refusal(capsys, "trained", "text_moe_bias", "--release", str(out), "--to", str(tmp_path))
    assert "is of another training: " in line and "steps=1 there, 4000 asked for" in line
    line = refusal(capsys, "train", "--preset", "text_moe_bias", "--out", "o", "--text", text)
    assert line.endswith("weighs the 3 domains of the real text; leave out --text")


def test_trained_lists_the_models_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = {"name": "text_dense", "what": "dense", "parameters": 7, "hours": 0.5,
            "bits_per_byte": {"validation": {"all": 1.23456}}}  # fmt: skip
    (tmp_path / "text_dense.safetensors").write_bytes(b"")
    (tmp_path / "text_dense.json").write_text(json.dumps(card))
    monkeypatch.setattr(trained_models, "HERE", tmp_path)
    assert main(["trained"]) == 0
    assert capsys.readouterr().out.split()[-5:] == ["text_dense", "dense", "7", "0.5", "1.235"]
    assert main(["trained", "text_dense", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == card
    assert main(["trained", "text_dense"]) == 0
    assert "bits_per_byte, validation, all" in capsys.readouterr().out
    assert "only text_dense" in refusal(capsys, "trained", "text_moe_loss")
    assert "say which recipe" in refusal(capsys, "trained", "--release", "runs")


def test_generate_says_when_it_writes_beyond_its_training(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", "--model", str(trained), "--prompt", "a", "--tokens"]
    assert main([*arguments, "31"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*arguments, "32"]) == 0
    assert capsys.readouterr().err.startswith("beyond 32 bytes")


def test_bench_prints_its_tables_or_json_and_writes_the_figure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minimoe.experiments.bench import run
    from minimoe.experiments.bench.plan import Shape
    from minimoe.measure.timing import MachinePeak

    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr(run, "SHAPES", (Shape("S1", 4, 2, 16, 8, 32),))
    monkeypatch.setattr(run, "measure_peak", lambda dtype: MachinePeak(1e9, 1e9, 1e-6))  # slow
    out = tmp_path / "bench.png"
    arguments = ["bench", "--quick", "--shapes", "S1", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    (layer,) = json.loads(printed.out)["layers"]
    assert layer["name"] == "S1" and set(layer["timings"]) == {"dense", "ours"}
    assert printed.err.splitlines() == ["timing S1: 5 rounds each", f"wrote {out}"]
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--bfloat16"]) == 0
    assert "S1 bfloat16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--shapes", "S1,S9", "must be some of S1,S2,S3,S4,S5,D1,D2,coarse,fine,growth, got 'S9'"),
        ("--shapes", "", "coarse,fine,growth, got ''"),
        ("--out", "bench.gif", "must end in .png or .svg, got 'bench.gif'"),
        ("--device", "tpu", "invalid choice: 'tpu'"),
    ],
)
def test_bench_refuses_what_it_cannot_time_or_draw(
    capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    assert message in refusal(capsys, "bench", option, value)


def test_bench_refuses_a_gpu_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds 0 CUDA devices here, got cuda" in refusal(
        capsys, "bench", "--device", "cuda"
    )


def test_an_unknown_preset_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refusal(capsys, "train", "--preset", "mixtral", "--out", str(tmp_path))
    assert line.endswith("text_moe_loss, text_moe_bias, got 'mixtral'")
    line = refusal(capsys, "count", "mixtral")
    assert "no preset and no published model 'mixtral'; near it: mixtral-8x7b; the path of" in line


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "-1", "steps must be an integer of at least 1, got -1"),
        ("--batch-size", "0", "batch_size must be an integer of at least 1, got 0"),
        ("--length", "1100", "length must lie in [1, max_length=1024], got 1100"),
        ("--length", "4096", "one window of length=4096 needs 4097 tokens, the text has 1287"),
        ("--learning-rate", "nan", "learning_rate must be a finite number"),
        ("--save-every", "0", "save_every must be at least 1 step, got 0"),
        ("--steps", "many", "argument --steps: invalid int value: 'many'"),
    ],
)
def test_numbers_out_of_range_are_refused(
    capsys: pytest.CaptureFixture[str], text: str, option: str, value: str, message: str
) -> None:
    out = str(Path(text, "out"))
    assert message in refusal(capsys, *TRAIN, "--text", text, "--out", out, option, value)
    assert not list(Path(text).glob("out/*"))


def test_a_missing_or_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "COMMAND" in refusal(capsys)
    assert "invalid choice: 'fly'" in refusal(capsys, "fly")
    assert "unrecognized arguments: --fast" in refusal(capsys, "count", "--fast")


def test_unusable_text_folders_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def line(folder: Path) -> str:
        return refusal(capsys, *TRAIN, "--out", str(tmp_path / "out"), "--text", str(folder))

    assert str(tmp_path / "nowhere") in line(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in line(empty)
    (empty / "short.txt").write_text("short")
    assert "holds 5 bytes of text, at least 10000 are needed" in line(empty)
    (empty / "latin.txt").write_bytes(b"caf\xe9 " * 4000)
    assert "latin.txt" in line(empty) and "UTF-8" in line(empty)
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path, text: str
) -> None:
    out = Path(shutil.copytree(trained, tmp_path / "run"))
    weights = out / "step-0000002" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    resumed = [*TRAIN, "--text", text, "--out", str(out)]
    for command in (["generate", "--model", str(out)], resumed):
        assert "is damaged: model.safetensors" in refusal(capsys, *command)


def test_a_checkpoint_of_another_run_is_refused(
    capsys: pytest.CaptureFixture[str], trained: Path, text: str
) -> None:
    capsys.readouterr()
    again = [*TRAIN, "--out", str(trained)]
    other = refusal(capsys, *again, "--text", text, "--preset", "dense")
    assert "is of another model" in other and "choose another --out" in other
    assert "steps=2 there, 3 asked for" in refusal(capsys, *again, "--text", text, "--steps", "3")
    assert "is of another text" in refusal(capsys, *again)


def test_a_folder_without_a_checkpoint_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "no checkpoint in" in refusal(capsys, "generate", "--model", str(tmp_path))


def test_a_dense_model_has_nothing_to_route(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    assert main([*TRAIN, "--preset", "dense", "--text", text, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert "a dense model routes nothing" in refusal(
        capsys, "route", "text", "--model", str(tmp_path)
    )


def test_bench_says_before_it_times_that_its_figure_has_no_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    out = str(tmp_path / "file" / "bench.png")
    assert "cannot use" in refusal(capsys, "bench", "--out", out, status=1)


@pytest.mark.parametrize("command", [TRAIN, ["tour"]])
def test_an_unwritable_folder_is_the_environments_fault(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    began = time.perf_counter()
    line = refusal(capsys, *command, "--out", str(tmp_path / "file" / "out"), status=1)
    assert "cannot use" in line and "file" in line
    assert time.perf_counter() - began < 10  # said before the training, not after it


def test_a_full_disk_leaves_nothing_half_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        line = refusal(capsys, *TRAIN, "--out", str(disk / "run"), status=1)
        assert "No space left on device" in line
        assert list((disk / "run").iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_control_c_still_writes_the_report(tmp_path: Path, text: str) -> None:
    command = [sys.executable, "-m", "minimoe.cli", "tour", "--minutes", "9", "--text", text]
    child = subprocess.Popen(
        [*command, "--out", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.stderr is not None
    assert "training dense and MoE in turn" in child.stderr.readline()
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert "By FLOPs, " in out
    assert "<p>Stopped after" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_help_shows_examples_without_loading_torch_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for arguments in (["--help"], ["tour", "--help"], ["train", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
        assert "example" in capsys.readouterr().out
