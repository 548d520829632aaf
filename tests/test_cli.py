"""Every command works, and every bad input gets one line and the right exit status."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

import matplotlib as mpl
import pytest
import torch
from texts import paragraphs, the_small_text

from minimoe import trained as trained_models
from minimoe.cli import COMMANDS, main
from minimoe.cli import tour as tour_command
from minimoe.cli import train as train_command
from minimoe.cli.shared import say
from minimoe.config import PRESETS, RECIPES, preset
from minimoe.data import encyclopedia, packaged, sources
from minimoe.experiments.tour import measuring
from minimoe.files import locked
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.leakage import leakage
from minimoe.trained import release
from minimoe.training.checkpoint import text_digest

TRAIN = ["train", "--preset", "moe", "--steps", "2", "--batch-size", "2", "--length", "32"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line that a refused command prints."""
    capsys.readouterr()
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


# What is printed, and where -----------------------------------------------------------------------

LOADED = """
import sys
from minimoe.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(sorted({"torch", "numpy", "matplotlib", "jaxtyping", "filelock", "tqdm"} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["count", "deepseek-v3"]], ids=" ".join)
def test_help_and_counts_load_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-c", LOADED, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]" and len(printed) > 500


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "minimoe", "--version"]
    assert re.fullmatch(r"minimoe \d+\.\d+\.\d+\n", subprocess.check_output(command, text=True))


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (None, *COMMANDS):
        name = [command.__name__.split(".")[-1]] if command else []
        with pytest.raises(SystemExit) as stopped:
            main([*name, "--help"])
        assert stopped.value.code == 0
        assert "example" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = "".join(capsys.readouterr().out.split())
    assert ",".join([*PRESETS, *RECIPES]) in said


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_table_is_printed_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    assert main(["count", "moe"]) == 0
    assert b"662,976" in out.getvalue() and b"????" in out.getvalue()


def closed_pipe() -> TextIO:
    """A stream that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", encoding="utf-8")


def test_a_closed_pipe_is_no_error_and_the_view_is_there(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_bytes in (1, 320):  # a table that fits into the buffer of stdout, and one that does not
        streams = {name: closed_pipe() for name in ("stdout", "stderr")}
        view = tmp_path / f"{n_bytes}.html"
        with monkeypatch.context() as patched:
            for name, stream in streams.items():
                patched.setattr(sys, name, stream)
            status = main(["route", "a" * n_bytes, "--model", str(trained), "--out", str(view)])
        assert status == 0 and view.is_file()
        for stream in streams.values():
            stream.close()  # flushes, as the interpreter does when it exits


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_line_that_nobody_reads_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken())
    say("measuring and drawing")


def test_a_full_disk_behind_stdout_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["count", "moe"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


# Each command -------------------------------------------------------------------------------------


def test_count_prints_the_counts_of_the_formula(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "moe", "dense", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    count = count_parameters(preset("moe"))
    assert result["moe"]["total_parameters"] == count.total
    assert main(["count", "moe"]) == 0
    assert f"{count.total:,}" in capsys.readouterr().out


def test_text_prints_domains_sources_and_licences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "real_text", the_small_text)  # quick to read
    assert main(["text", "--leakage", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["domains"]["chinese"] == {
        "train_bytes": 83_042,
        "validation_bytes": 19_886,
        "sources": ["JupyterLab interface sentences"],
        "leakage": leakage(the_small_text())["chinese"],
    }
    assert found["domains"]["all"]["train_bytes"] == 2_368_577
    assert sum(source["bytes"] for source in found["sources"]) == 2_368_577 + 255_621
    digests = {source["package"]: source["sha256"] for source in found["sources"]}
    pair = sources.SENTENCE_PAIRS
    assert digests[pair.pinned] == pair.sha256
    assert main(["text", "--leakage", "80"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^chinese +83,042 +19,886 +\d+\.\d % +\[2\]$", printed, re.M)
    assert "in stretches of 80 bytes" in printed
    assert f"{pair.sha256[:12]}\n" in printed and f"\n[2] {pair.licence}\n" in printed


def test_text_reads_a_folder_which_needs_no_credit(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert main(["text", "--text", text]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("domain ") and len(printed.splitlines()) == 4
    assert not re.search("leak|source|licence", printed)
    assert "at least 1, got 0" in refusal(capsys, "text", "--text", text, "--leakage", "0")


def test_the_encyclopedia_is_read_by_its_name_and_a_folder_by_its_path(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encyclopedia, "encyclopedia_text", the_small_text)
    monkeypatch.chdir(tmp_path)
    assert main(["text", "--text", "encyclopedia"]) == 0
    printed = capsys.readouterr()
    assert "python" in printed.out and printed.err == ""
    shutil.copytree(text, "encyclopedia")
    assert main(["text", "--text", "encyclopedia"]) == 0
    printed = capsys.readouterr()
    assert "python" in printed.out and "--text ./encyclopedia reads the folder" in printed.err
    assert main(["text", "--text", "./encyclopedia"]) == 0
    printed = capsys.readouterr()
    assert "python" not in printed.out and printed.err == ""


def test_training_goes_on_where_it_stopped(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = [*TRAIN, "--text", text, "--out", str(out), "--save-every", "1", "--json"]
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert [path.name for path in out.glob("step-*")] == ["step-0000002"]
    assert first["steps"] == 2 and first["tokens"] == 128
    assert set(first["bits_per_byte"]) == {Path(text).name, "all"}


def test_generate_repeats_with_its_seed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", "--model", str(trained), "--prompt", "路", "--tokens", "8"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
    assert first.startswith("路")


def test_a_prompt_may_hold_bytes_that_are_not_utf_8(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = b"caf\xe9".decode(errors="surrogateescape")  # as Python reads the command line
    assert main(["generate", "--model", str(trained), "--prompt", prompt, "--tokens", "0"]) == 0
    assert capsys.readouterr().out == "caf\ufffd\n"


def test_generate_says_when_it_writes_beyond_its_training(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", "--model", str(trained), "--prompt", "a", "--tokens"]
    assert main([*arguments, "31"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*arguments, "32"]) == 0
    assert "32 bytes" in capsys.readouterr().err


def test_route_prints_every_byte_and_writes_the_view(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = tmp_path / "new" / "view.html"
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

    def shown(*layer: str) -> str:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main([*arguments, *layer]) == 0
        return terminal.getvalue()

    every, second = shown(), shown("--layer", "2")
    assert re.findall(r"layer (\d) of 3", every) == ["1", "2", "3"]
    assert second.count("layer") == 1 and second.strip() in every
    assert "\x1b[" in second and "路" in second
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown("--layer", "2").startswith("byte  layer 2")


def test_route_reads_a_file_in_windows_and_says_so(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, view = tmp_path / "notes\udce9.txt", tmp_path / "view.html"
    notes.write_text("路 and more text. " * 5, encoding="utf-8")
    arguments = ["route", "--file", str(notes), "--model", str(trained), "--out", str(view)]
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert "95 bytes in 3 windows of at most 32" in printed.err
    assert [len(layer) for layer in json.loads(printed.out)["expert_ids"]] == [95] * 3
    assert "notes\\udce9.txt" in view.read_text(encoding="utf-8")


def test_route_sets_models_side_by_side(
    trained: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other, fine, view = (tmp_path / name for name in ("other", "fine", "view.html"))
    assert main([*TRAIN, "--text", text, "--out", str(other), "--seed", "1"]) == 0
    assert main([*TRAIN, "--text", text, "--out", str(fine), "--preset", "fine_grained"]) == 0
    capsys.readouterr()
    arguments = ["route", "ab", "--model", str(trained), "--model", str(other), "--out", str(view)]
    assert main([*arguments, "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert list(models) == [str(trained), str(other)]
    assert models[str(trained)] != models[str(other)]
    assert view.read_text(encoding="utf-8").count('class="pane"') == 2
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("layer 1") == 2
    line = refusal(capsys, "route", "ab", "--model", str(trained), "--model", str(fine))
    assert "3 of 16" in line and "2 of 32" in line


def test_a_recipe_trains_as_it_says_unless_an_option_says_otherwise(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_command, "VALIDATION_BYTES", 2**10)
    monkeypatch.setattr(release, "SNAPSHOT_STEPS", (1,))
    monkeypatch.setattr(release, "SNAPSHOT_BYTES", 2**10)
    recipe = RECIPES["text_moe_bias"]
    out = tmp_path / "run"
    small = ["--steps", "1", "--batch-size", "2", "--length", "64"]
    assert main(["train", "--preset", "text_moe_bias", "--out", str(out), *small]) == 0
    state = json.loads((out / "step-0000001" / "state.json").read_bytes())
    assert state["train_config"] == json.loads(
        json.dumps(asdict(replace(recipe.training, steps=1, batch_size=2, length=64)))
    )
    assert state["model_config"] == json.loads(json.dumps(asdict(recipe.model)))
    assert (out / "snapshot-0000001.safetensors").is_file()
    assert state["text"] == text_digest(the_small_text().train)
    line = refusal(capsys, "trained", "text_moe_bias", "--release", str(out), "--to", str(tmp_path))
    assert "steps=1 there, 4000 asked for" in line
    line = refusal(capsys, "train", "--preset", "text_moe_bias", "--out", "o", "--text", text)
    assert "leave out --text" in line


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
    assert "which recipe" in refusal(capsys, "trained", "--release", "runs")


def test_bench_prints_its_tables_or_json_and_writes_the_figure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minimoe.experiments.bench import records, run
    from minimoe.measure.timing import MachinePeak

    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr(records, "SHAPES", (records.Shape("S1", 4, 2, 16, 8, 32),))
    monkeypatch.setattr(run, "measure_peak", lambda dtype: MachinePeak(1e9, 1e9, 1e-6))  # slow
    out = tmp_path / "bench.png"
    arguments = ["bench", "--quick", "--shapes", "S1", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    (layer,) = json.loads(printed.out)["layers"]
    assert layer["name"] == "S1" and set(layer["timings"]) == {"dense", "ours"}
    assert f"wrote {out}" in printed.err.splitlines()
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--bfloat16"]) == 0
    assert "S1 bfloat16" in capsys.readouterr().out


def test_control_c_still_writes_the_report(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed_in_step_2(first: int, end: int) -> Iterator[int]:
        yield first
        os.kill(os.getpid(), signal.SIGINT)
        yield first + 1
        pytest.fail("the training goes on")

    monkeypatch.setattr(tour_command, "progress", pressed_in_step_2)
    quick = torch.tensor([7])  # to watch what tokens touch takes longest
    monkeypatch.setattr(measuring, "touched_parameters", lambda *_: quick)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with mpl.rc_context():  # a tour sets the style of its figures
            status = main(["tour", "--steps", "99", "--text", text, "--out", str(tmp_path)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 0 and "By FLOPs, " in capsys.readouterr().out
    assert "<p>Stopped after" in (tmp_path / "index.html").read_text(encoding="utf-8")


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "COMMAND"),
        ("fly", "'fly'"),
        ("count --fast", "--fast"),
        ("count mixtral", "near it: mixtral-8x7b;"),
        ("train --out o --preset mixtral", "text_moe_loss, text_moe_bias, got 'mixtral'"),
        ("generate --seed -1", "got -1"),
        ("generate --seed 9223372036854775808", "[0, 9223372036854775807], got 9223372036854775"),
        ("bench --shapes S1,S9", "S1,S2,S3,S4,S5,D1,D2,coarse,fine,growth, got 'S9'"),
        ("bench --shapes=", "growth, got ''"),
        ("bench --out bench.gif", "got 'bench.gif'"),
        ("bench --device tpu", "'tpu'"),
    ],
)  # fmt: skip
def test_what_no_command_can_use_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    assert said in refusal(capsys, *command.split())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "-1", "got -1"),
        ("--steps", "many", "'many'"),
        ("--batch-size", "0", "got 0"),
        ("--batch-size", "2147483648", "[1, 2147483647], got 2147483648"),
        ("--length", "1100", "length must lie in [1, max_length=1024], got 1100"),
        ("--length", "4096", "one window of length=4096 needs 4097 tokens, the text has 1287"),
        ("--learning-rate", "nan", "got nan"),
        ("--save-every", "0", "got 0"),
        ("--seed", "9223372036854775808", "[0, 9223372036854775807], got 9223372036854775808"),
    ],
)
def test_numbers_out_of_range_are_refused(
    capsys: pytest.CaptureFixture[str], text: str, option: str, value: str, message: str
) -> None:
    out = str(Path(text, "out"))
    assert message in refusal(capsys, *TRAIN, "--text", text, "--out", out, option, value)
    assert not list(Path(text).glob("out/*"))


def test_more_memory_than_there_is_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    out = ["--text", text, "--out", str(tmp_path / "out")]
    line = refusal(capsys, *TRAIN, *out, "--batch-size", "2147483647", "--length", "999", status=1)
    assert "memory" in line


def test_route_refuses_what_it_cannot_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = tmp_path / "view.html"
    model = ["--model", str(trained), "--out", str(view)]
    empty, latin, long = (tmp_path / name for name in ("empty.txt", "latin.txt", "long.txt"))
    empty.write_bytes(b"")
    latin.write_bytes(b"caf\xe9")
    long.write_bytes(b"a" * 65_537)
    for arguments, message in (
        ([], "--file PATH"),
        (["a", "--file", str(long)], "--file PATH"),
        (["--file", str(tmp_path / "none")], f"got {tmp_path / 'none'}"),
        (["--file", str(tmp_path)], f"got {tmp_path}"),
        (["--file", str(empty)], "1 to 65,536 bytes, got 0"),
        (["--file", str(long)], "1 to 65,536 bytes, got 65,537"),
        (["--file", str(latin)], "byte 4 is 0xE9"),
        (["a", "--layer", "4"], "[1, n_layers=3], got 4"),
        (["a", "--layer", "0"], "[1, n_layers=3], got 0"),
        ([""], "at least 1 byte, got 0"),
    ):
        assert message in refusal(capsys, "route", *arguments, *model)
    nowhere = [*model[2:], "--model", str(tmp_path / "nowhere")]
    assert str(tmp_path / "nowhere") in refusal(capsys, "route", "a", *nowhere)
    assert not view.exists()
    view.mkdir()
    assert "is a folder" in refusal(capsys, "route", "a", *model)


def test_unusable_text_folders_are_refused_before_the_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def line(folder: Path) -> str:
        return refusal(capsys, *TRAIN, "--out", str(out), "--text", str(folder))

    assert str(tmp_path / "nowhere") in line(tmp_path / "nowhere")
    folder = tmp_path / "all"
    folder.mkdir()
    assert str(folder) in line(folder)
    (folder / "short.txt").write_text("short")
    assert "holds 5 bytes of text, at least 10000 are needed" in line(folder)
    (folder / "short.txt").write_text(paragraphs("a"))
    assert "'all'" in line(folder)  # the name of the figure over all domains
    (folder / "latin.txt").write_bytes(b"caf\xe9 " * 4000)
    assert "latin.txt" in line(folder)
    assert not out.exists()


def test_a_checkpoint_that_is_damaged_missing_or_of_another_run_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path, text: str
) -> None:
    again = [*TRAIN, "--out", str(trained)]
    other_text = tmp_path / "other"
    other_text.mkdir()
    (other_text / "b.txt").write_text(paragraphs("b"), encoding="utf-8")
    other = refusal(capsys, *again, "--text", text, "--preset", "dense")
    assert "choose another --out" in other
    assert "steps=2 there, 3 asked for" in refusal(capsys, *again, "--text", text, "--steps", "3")
    assert "another text" in refusal(capsys, *again, "--text", str(other_text))
    assert str(tmp_path) in refusal(capsys, "generate", "--model", str(tmp_path))
    out = Path(shutil.copytree(trained, tmp_path / "run"))
    weights = out / "step-0000002" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for command in (
        ["generate", "--model", str(out)],
        [*TRAIN, "--text", text, "--out", str(out)],
    ):
        assert "is damaged: model.safetensors" in refusal(capsys, *command)


def test_a_dense_model_has_nothing_to_route(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    assert main([*TRAIN, "--preset", "dense", "--text", text, "--out", str(tmp_path)]) == 0
    view = str(tmp_path / "view.html")
    assert "dense" in refusal(capsys, "route", "a", "--model", str(tmp_path), "--out", view)


def test_a_folder_in_use_is_refused_before_the_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    with locked(tmp_path):
        line = refusal(capsys, "tour", "--text", text, "--out", str(tmp_path))
    assert f"process {os.getpid()} on " in line


@pytest.mark.parametrize("command", [TRAIN, ["tour"], ["bench"], ["route", "a"]], ids=" ".join)
def test_an_output_without_a_place_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, command: list[str]
) -> None:
    arguments = [*command, "--text", text] if command in (TRAIN, ["tour"]) else command
    (tmp_path / "file").write_text("in the way")
    began = time.perf_counter()
    below = str(tmp_path / "file" / "deep" / "out.png")
    assert "file" in refusal(capsys, *arguments, "--out", below, status=1)
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe.png" in refusal(capsys, *arguments, "--out", str(tmp_path / "pipe.png"))
    assert time.perf_counter() - began < 10


def test_a_full_disk_leaves_nothing_half_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        out = str(disk / "run")
        line = refusal(capsys, *TRAIN, "--text", text, "--out", out, status=1)
        assert "No space left on device" in line
        assert list((disk / "run").iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
