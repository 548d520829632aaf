"""Published models count what their own code counts, and every disagreement is explained."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_cases import model_count, tiny

from minimoe.cli import main
from minimoe.config import InputError, preset
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.zoo.configs import hub_config_from, hub_shapes, model_config_from_hub
from minimoe.zoo.counting import ACTIVE, Weight
from minimoe.zoo.families import FAMILIES
from minimoe.zoo.published import (
    MODELS,
    Comparison,
    NamedCount,
    PublishedFigure,
    count_named,
    published_model,
    published_models,
    published_names,
)
from minimoe.zoo.report import LEGEND, count_list, count_table, percent, short

FIELDS = {
    "id", "name", "kind", "context", "attention", "config", "published", "counted", "explanation",
    "source", "from_memory", "notes",
}  # fmt: skip
DISAGREE_IN_TOTAL = {
    "arctic", "deepseek-v3.2-exp", "glm-4.5-air", "grok-1", "llama-3.1-70b", "llama-4-maverick",
    "minimax-m2",
}  # fmt: skip
DISAGREE_IN_ACTIVE = {"hunyuan-large", "llama-3.1-70b", "qwen3-30b-a3b"}


@pytest.fixture(scope="module")
def counts() -> dict[str, NamedCount]:
    """Every published model's count."""
    return {name: count_named(name) for name in published_names()}


def test_there_are_31_models_the_largest_first() -> None:
    models = published_models()
    assert len(models) == len(published_names()) == 31
    assert (models[0].id, models[-1].id) == ("deepseek-v4-pro", "gpt2-small")
    totals = [model.counted.total for model in models]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize("name", published_names())
def test_every_file_is_complete(name: str) -> None:
    text = (MODELS / f"{name}.json").read_text(encoding="utf-8")
    data = json.loads(text)
    assert set(data) == FIELDS and data["id"] == name
    assert data["config"]["model_type"] in FAMILIES
    assert set(data["published"]) == {"total", "active", "also", "source"}
    assert set(data["counted"]["active"]) == set(ACTIVE)
    assert {"total", "active", "kv_cache_elements_per_token", "method"} <= set(data["counted"])
    for figure in filter(None, (data["published"]["total"], data["published"]["active"])):
        assert re.fullmatch(r"\d+(\.\d+)?[MBT]", figure["printed"])
        assert figure["convention"] in (*ACTIVE, "without_embeddings_with_mtp")
    assert data["name"] and data["source"] and data["published"]["source"]
    assert data["kind"] == ("moe" if data["counted"]["active"][ACTIVE[0]] < data["counted"]["total"]
                            else "dense")  # fmt: skip
    assert "memory" not in data["published"]["source"] or data["from_memory"]
    assert not re.search(r"/(tmp|work|home|root)/", text)


@pytest.mark.parametrize("name", published_names())
def test_the_count_is_the_stored_one_to_the_parameter(
    counts: dict[str, NamedCount], name: str
) -> None:
    count, stored = counts[name].count, published_model(name).counted
    assert count.total == stored.total == sum(count.parameters_by_place.values())
    assert count.active_parameters == stored.active
    assert count.cache_elements_per_token == stored.kv_cache_elements_per_token
    assert stored.mtp_module in (None, count.mtp_module)
    assert counts[name].equals_stored_count


def test_a_wrong_stored_figure_is_seen(counts: dict[str, NamedCount]) -> None:
    named = counts["glm-4.5"]
    assert named.published is not None and named.published.counted.mtp_module is not None
    stored = named.published.counted
    for wrong in (
        replace(stored, total=stored.total + 1),
        replace(stored, active={**stored.active, "without_embeddings": 1}),
        replace(stored, kv_cache_elements_per_token=None),
        replace(stored, mtp_module=1),
    ):
        other = replace(named, published=replace(named.published, counted=wrong))
        assert not other.equals_stored_count
        assert "0 of 1 counts equal" in count_list([other])


def test_what_transformers_lacks_has_the_parts_that_its_authors_name() -> None:
    arctic = model_count(published_model("arctic").config, 1)
    expert = arctic.parameters_by_place["routed_experts"] / 128
    dense = arctic.total - arctic.parameters_by_place["routed_experts"]
    assert (f"{dense / 1e9:.0f}", f"{expert / 1e9:.2f}") == ("10", "3.66")  # README
    grok = model_count(published_model("grok-1").config, 1)
    assert grok.parameters_by_place["norms"] == (4 * 64 + 1) * 6144
    assert grok.parameters_by_place["embeddings"] == 131_072 * 6144  # tied
    hunyuan = model_count(published_model("hunyuan-large").config, 1)
    assert hunyuan.parameters_by_place["attention"] == (
        64 * 2 * 6400 * 80 * 80 + 32 * 2 * 6400 * 8 * 80
    )


def test_every_second_layer_of_maverick_is_dense_from_the_first_on() -> None:
    model = hub_shapes(published_model("llama-4-maverick").config).model
    assert model.dense_layers == tuple(range(0, 48, 2))
    assert hub_shapes(published_model("llama-4-scout").config).model.dense_layers == ()


def test_24_totals_lie_within_the_published_rounding(counts: dict[str, NamedCount]) -> None:
    totals = {name: named.total for name, named in counts.items() if named.total}
    actives = {name: named.active for name, named in counts.items() if named.active}
    assert {name for name, total in totals.items() if not total.agrees} == DISAGREE_IN_TOTAL
    assert len(totals) - len(DISAGREE_IN_TOTAL) == 24
    assert {name for name, active in actives.items() if not active.agrees} == DISAGREE_IN_ACTIVE
    assert set(counts) - set(actives) == {"grok-1"}


def test_every_disagreement_and_nothing_else_is_explained(counts: dict[str, NamedCount]) -> None:
    for name, named in counts.items():
        model = named.published
        assert model is not None
        assert (model.explanation is None) == named.agrees, name
        for comparison in (named.total, named.active):
            if comparison and not comparison.agrees:
                assert model.explanation is not None
                by = f"{100 * abs(comparison.relative_difference):.2f} %"
                assert by in model.explanation, name


def test_a_figure_allows_half_of_its_last_digit() -> None:
    for printed, value, step in (
        ("46.7B", 46_700_000_000, 100_000_000),
        ("671B", 671_000_000_000, 1_000_000_000),
        ("1.6T", 1_600_000_000_000, 100_000_000_000),
        ("124M", 124_000_000, 1_000_000),
        ("8B", 8_000_000_000, 1_000_000_000),
    ):
        figure = PublishedFigure(printed, "with_embeddings")
        assert (figure.value, figure.step) == (value, step)
        for sign in (1, -1):
            edge = value + sign * step // 2
            assert Comparison(figure, edge).agrees
            assert not Comparison(figure, edge + sign).agrees
            assert Comparison(figure, edge).relative_difference * sign > 0


def test_conventions_count_what_they_say(counts: dict[str, NamedCount]) -> None:
    glm = counts["glm-4.5"].count
    embeddings = 151_552 * 5120
    assert glm.total_under("with_embeddings") == glm.total
    assert glm.total_under("without_input_embedding") == glm.total - embeddings
    assert glm.total_under("without_embeddings") == glm.total - 2 * embeddings
    expected = glm.total - 2 * embeddings + glm.mtp_module
    assert glm.total_under("without_embeddings_with_mtp") == expected == 355_233_991_936
    assert counts["deepseek-v3"].count.mtp_module == 11_610_067_968


def test_the_indexer_adds_13959424_parameters_to_each_layer() -> None:
    shapes = hub_shapes(published_model("deepseek-v3.2-exp").config)
    assert sum(weight.n_parameters for weight in shapes.extra) == 61 * 13_959_424
    v3 = model_config_from_hub(published_model("deepseek-v3").config)
    assert count_parameters(shapes.model).total == count_parameters(v3).total


def test_weights_cost_2_flops_an_element_unless_they_are_added() -> None:
    weight = Weight("attention", "some", (3, 5), 2)
    assert (weight.n_parameters, weight.flops_per_token) == (30, 60)
    assert replace(weight, active=False).flops_per_token == 0
    assert replace(weight, shape=(15,)).flops_per_token == 0


def test_our_own_models_count_as_they_are_measured() -> None:
    config = preset("fine_grained")
    count, parameters = model_count(config, 128), count_parameters(config)
    flops = count_flops(config, 128)
    assert count.total == parameters.total
    assert count.flops_per_token * 128 == flops.forward
    assert count.training_flops_per_token * 128 == flops.training
    assert count.cache_elements_per_token == 3 * 2 * 2 * 16
    assert count.cache_bytes_per_token == 2 * 192
    assert count.weight_bytes == {16: 2 * count.total, 8: count.total, 4: count.total // 2}
    assert count.flops_not_counted is None


def test_flops_of_other_shapes_are_2_for_each_active_weight_in_a_matrix() -> None:
    def matrices(name: str, vectors: int) -> int:
        count = model_count(published_model(name).config, 4096)
        active = count.active_parameters["without_input_embedding"]
        return 2 * (active - count.parameters_by_place["norms"] - vectors)

    def flops(name: str) -> int:
        return model_count(published_model(name).config, 4096).flops_per_token

    assert flops("deepseek-v3.2-exp") == matrices("deepseek-v3.2-exp", 0)
    # sinks; biases by position; biases and scales of the hyper-connections
    biases = 20 * 128 * 512 + 21 * 4 * (2 * 512 + 2 * 128)
    hyper = 43 * 2 * (24 + 3) + 4 + 1
    assert flops("deepseek-v4-flash") == matrices("deepseek-v4-flash", 43 * 64 + biases + hyper)
    softmax = 4 * 12 * 16 * 256 * 4096
    assert flops("qwen3-next-80b-a3b") == matrices("qwen3-next-80b-a3b", 36 * 2 * 32) + softmax
    assert flops("minimax-m1") == matrices("minimax-m1", 0) + 4 * 10 * 64 * 128 * 4096
    assert flops("hunyuan-large") == matrices("hunyuan-large", 0) + 4 * 64 * 80 * 80 * 4096
    assert flops("deepseek-moe-16b") == matrices("deepseek-moe-16b", 0) + 4 * 28 * 2048 * 4096
    qkv_biases = 46 * (96 + 2 * 8) * 128
    assert flops("glm-4.5-air") == matrices("glm-4.5-air", qkv_biases) + 4 * 46 * 96 * 128 * 4096


def test_attention_whose_flops_are_unknown_is_said(counts: dict[str, NamedCount]) -> None:
    unknown = {name for name, named in counts.items() if named.count.flops_not_counted}
    assert unknown == {"deepseek-v3.2-exp", "deepseek-v4-flash", "deepseek-v4-pro",
                       "qwen3-next-80b-a3b", "minimax-text-01", "minimax-m1"}  # fmt: skip
    table = count_table([counts["minimax-m1"]])
    assert "≥ " in table and "FLOPs without the 70 lightning attention layers' recurrence" in table
    assert "≥" not in count_table([counts["mixtral-8x7b"]])


def test_a_length_is_4096_or_what_the_model_reads() -> None:
    lengths = {name: count_named(name).count.length for name in ("mixtral-8x7b", "gpt2-small")}
    assert lengths == {"mixtral-8x7b": 4096, "gpt2-small": 1024}
    cut = {name: count_named(name, 9999, cut=True).count.length for name in lengths}
    assert cut == {"mixtral-8x7b": 9999, "gpt2-small": 1024}
    assert count_named("moe").count.length == 128


def test_unknown_names_are_refused_with_near_ones() -> None:
    with pytest.raises(InputError, match="'deepseek-v33'.*deepseek-v3, "):
        published_model("deepseek-v33")
    with pytest.raises(InputError, match="mixtral-8x7b.*config.json"):
        count_named("mixtral")
    with pytest.raises(InputError, match="minimoe count --all"):
        count_named("zzz")
    with pytest.raises(InputError, match="1, 1024.*1025"):
        model_count(published_model("gpt2-small").config, 1025)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints."""
    assert main(["count", *arguments]) == 0
    return capsys.readouterr().out


def test_json_of_one_model_is_flat(capsys: pytest.CaptureFixture[str]) -> None:
    result: dict[str, Any] = json.loads(printed(capsys, "deepseek-v3", "--json"))
    assert result["model"] == "deepseek-v3"
    assert result["total_parameters"] == 671_026_404_352
    assert result["active_parameters"] == {
        "with_embeddings": 37_552_282_624,
        "without_input_embedding": 36_625_603_584,
        "without_embeddings": 35_698_924_544,
    }
    assert result["kv_cache_elements_per_token"] == 61 * 576
    assert result["kv_cache_bytes_per_token"] == 70_272
    assert result["length"] == 4096
    assert result["weight_bytes"] == {"16": 1_342_052_808_704, "8": 671_026_404_352,
                                      "4": 335_513_202_176}  # fmt: skip
    assert sum(result["parameters_by_place"].values()) == result["total_parameters"]
    v3 = model_config_from_hub(published_model("deepseek-v3").config)
    assert result["training_flops_per_token"] == count_flops(v3, 4096).training_per_token
    assert result["training_flops_per_token"] == 3 * result["flops_per_token"] > 0
    assert result["published"]["total"]["agrees"] and result["published"]["agrees"]
    assert result["published"]["active"]["printed"] == "37B"
    assert result["published"]["equals_stored_count"]


def test_what_was_assumed_for_absent_fields_is_printed_and_in_the_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(hub_config_from(preset("moe"))))
    assert json.loads(printed(capsys, str(path), "--json"))["assumptions"] == {}
    assert "Assumed" not in printed(capsys, str(path))
    assert count_named(str(path), 64).count == model_count(preset("moe"), 64)

    path.write_text(json.dumps(tiny("qwen3_moe")))
    assumed = json.loads(printed(capsys, str(path), "--json"))["assumptions"]
    assert assumed == {
        "architectures": ["Qwen3MoeForCausalLM"],
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }
    text = " ".join(printed(capsys, str(path)).split())
    assert all(f"{name}={json.dumps(value)}" in text for name, value in assumed.items())


def test_json_of_several_models_is_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(printed(capsys, "moe", "grok-1", "--json"))
    assert list(result) == ["moe", "grok-1"]
    assert result["moe"]["published"] is None
    assert result["grok-1"]["published"]["active"] is None
    assert json.loads(printed(capsys, "moe", "moe", "--json"))["model"] == "moe"
    result = json.loads(printed(capsys, "--all", "--json"))
    assert len(result) == 31
    assert all(model["published"]["equals_stored_count"] for model in result.values())


def test_the_list_of_all_models_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--all")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    rows = {line.split()[0]: line for line in lines[2:33]}
    assert set(rows) == set(published_names())
    for name in published_names():
        wrong = (name in DISAGREE_IN_TOTAL) + 2 * (name in DISAGREE_IN_ACTIVE)
        assert rows[name].endswith(("yes", "no: total", "no: active", "no: both")[wrong])
        explanation = published_model(name).explanation
        assert (f"\n{name}: " in text) == (explanation is not None)
    assert rows["glm-4.5-air"].split()[1] == "107.99B*"
    assert "24 of 31 totals, 27 of 30 active" in text
    assert "31 of 31 counts equal the stored ones" in text
    unwrapped = " ".join(text.split())
    assert LEGEND in unwrapped and (published_model("arctic").explanation or "?") in unwrapped


@pytest.mark.parametrize("names", [["deepseek-v4-pro"], ["deepseek-v3", "gpt2-small"],
                                   ["deepseek-v4-pro", "deepseek-v3.2-exp", "qwen3-next-80b-a3b",
                                    "deepseek-moe-145b"], []])  # fmt: skip
def test_the_table_fits_a_terminal_and_holds_every_number(
    capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    text = printed(capsys, *names)
    assert max(map(len, text.splitlines())) <= 100
    for name in names or ("dense", "moe", "switch", "fine_grained"):
        count = count_named(name).count
        active = count.active_parameters.values()
        for number in (count.total, *active, *filter(None, count.parameters_by_place.values())):
            assert f"{number:,}" in text
        if name in published_names():
            model = published_model(name)
            assert f"\n{model.name}\n" in text
            for line in (*model.notes, *model.also, *model.from_memory, model.source):
                assert " ".join(line.split()) in " ".join(text.split())


def test_a_cache_without_a_fixed_size_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    (elements,) = re.findall(r"^  elements +(\S+)$", printed(capsys, "deepseek-v4-pro"), re.M)
    assert elements == "–"


def test_more_than_four_models_are_listed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny("qwen2")))
    names = ["moe", "mixtral-8x7b", "grok-1", str(tmp_path), "dense"]
    lines = count_list([count_named(name) for name in names]).splitlines()
    assert [line[0] for line in lines[2:7]] == ["m", "m", "g", "…", "d"]
    assert max(map(len, lines)) <= 100
    assert "2 of 2 counts equal" in "\n".join(lines)


def test_numbers_are_short() -> None:
    assert [short(n) for n in (4096, 1_234_567, 671_026_404_352, 1_572_997_179_491)] == [
        "4,096", "1.23M", "671.03B", "1.573T",
    ]  # fmt: skip
    assert (percent(0.0187), percent(-0.00001)) == ("+1.87 %", "-0.00 %")


def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bert.json").write_text('{"model_type": "bert"}')
    for arguments, message in (
        (["mixtral"], "near it: mixtral-8x7b"),
        ([str(tmp_path / "nowhere.json")], "nowhere.json: No such file"),
        ([str(tmp_path)], "config.json: No such file"),
        ([str(tmp_path / "bad.json")], "bad.json is not JSON"),
        ([str(tmp_path / "list.json")], "list.json must hold a JSON object, got list"),
        ([str(tmp_path / "bert.json")], "bert.json: model_type must be one of "),
        (["deepseek-v3", "--length", "0"],
         "deepseek-v3: length must lie in [1, 163840], the positions that the model reads, got 0"),
        (["gpt2-small", "--length", "2048"], "length must lie in [1, 1024]"),
        (["moe", "--all"], "--all counts every published model; leave out moe"),
    ):  # fmt: skip
        assert main(["count", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and message in err, err
