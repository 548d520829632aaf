"""The routing view shows the trace in a real browser: layers, tokens, search, keys, two models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import chromium_page
from playwright.sync_api import Page, expect

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.experiments.routed import routed_sample
from minimoe.model.transformer import Transformer
from minimoe.show.explorer import routing_view
from minimoe.show.sample import Sample, glyphs

TEXT = "for x in text:\n\trouter(x)  # 路由器 reads every byte\n".encode()
OTHER = b"A second text.\n"
N_EXPERTS = 6


def model(seed: int) -> Transformer:
    attention = AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8)
    layer = MoEConfig(d_model=16, d_expert=8, n_routed_experts=N_EXPERTS, top_k=2)
    made = Transformer(ModelConfig(n_layers=3, attention=attention, moe=layer), seed).double()
    for one in made.moe_layers():  # as decided as a trained one
        one.router.weight.data *= 40
    return made


MODELS = {"first": model(0), "second": model(1)}
SAMPLES = {
    name: [routed_sample(one, text, title) for title, text in (("code", TEXT), ("prose", OTHER))]
    for name, one in MODELS.items()
}
ALONE = SAMPLES["first"]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium_page() as (opened, problems):
        yield opened
        assert problems == []  # in any test: no error, nothing fetched


@pytest.fixture
def alone(page: Page, tmp_path: Path) -> Page:
    """The view of one model."""
    routing_view(ALONE, n_experts=N_EXPERTS, title="view").save(tmp_path / "view.html")
    page.goto((tmp_path / "view.html").as_uri())
    return page


@pytest.fixture
def beside(page: Page, tmp_path: Path) -> Page:
    """The view of two models side by side."""
    routing_view(SAMPLES, n_experts=N_EXPERTS, title="view").save(tmp_path / "view.html")
    page.goto((tmp_path / "view.html").as_uri())
    return page


def texts(page: Page, selector: str) -> list[str]:
    """The text of every visible element."""
    return page.locator(selector).filter(visible=True).all_text_contents()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def search(page: Page, wanted: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(wanted)


def decided(sample: Sample, layer: int, token: int) -> list[list[str]]:
    """The experts of a token and their weights as the panel writes them, the largest first."""
    ids, weights = (np.asarray(a)[layer, token] for a in (sample.expert_ids, sample.weights))
    order = np.argsort(-weights, kind="stable")
    return [[str(ids[k]) for k in order], [f"{weights[k]:.3f}" for k in order]]


def first_experts(sample: Sample, layer: int) -> list[int]:
    return [int(decided(sample, layer, t)[0][0]) for t in range(len(sample.text))]


def panels(page: Page) -> list[list[list[str]]]:
    """For each panel shown: the experts, and the numbers beside them."""
    return page.evaluate(
        "[...document.querySelectorAll('.panel')].filter(n => n.checkVisibility()).map(panel => "
        "['b', '.value'].map(kind => [...panel.querySelectorAll('.row:not(.margin) ' + kind)]"
        ".map(node => node.textContent)))"
    )


def colours(page: Page) -> list[int]:
    """The expert whose colour each byte of the text shown has."""
    return page.evaluate(
        "[...document.querySelectorAll('.text i')].filter(node => node.checkVisibility())"
        ".map(node => Number(node.className.match(/^e(\\d+)/)[1]))"
    )


def marked(page: Page, kind: str) -> list[int]:
    """The bytes of the first text that have a class."""
    return page.evaluate(
        f"[...document.querySelector('.text').querySelectorAll('i')].map((node, t) => "
        f"node.classList.contains('{kind}') ? t : -1).filter(t => t >= 0)"
    )


def test_every_layer_and_text_shows_the_colours_of_the_trace(alone: Page) -> None:
    for number, sample in enumerate(ALONE):
        alone.locator(".tabs button").nth(number).click()
        for layer in range(3):
            assert colours(alone) == first_experts(sample, layer)
            if layer < 2:
                press(alone, "]")
        press(alone, "[", "[", "[")  # one more than there are
        assert texts(alone, ".layer output") == ["layer 1 of 3"]


def test_clicking_on_the_slider_goes_to_the_layer_below_the_pointer(alone: Page) -> None:
    alone.click("input[type=range]")  # the middle
    assert texts(alone, ".layer output") == ["layer 2 of 3"]
    assert colours(alone) == first_experts(ALONE[0], 1)


def test_pointing_at_a_token_shows_its_weights_and_margin_in_each_layer(alone: Page) -> None:
    for layer in range(3):
        for token in (0, 9, 15, 31, 32):  # a letter, a space, a tab, the first two bytes of 路
            alone.locator(".text i").nth(token).hover()
            assert panels(alone) == [decided(ALONE[0], layer, token)]
            margin = np.asarray(ALONE[0].margin)[layer, token]
            assert texts(alone, ".margin .value") == [f"{margin:.3f}"]
        press(alone, "]")
    alone.hover("h2")
    assert texts(alone, ".panel .hint") and panels(alone) == [[[], []]]


def test_searching_an_expert_lists_the_tokens_it_reads(alone: Page) -> None:
    for wanted, layer, expert in (("3.5", 2, 5), ("layer 2 expert 0", 1, 0), ("l1e3", 0, 3)):
        search(alone, wanted)
        ids = np.asarray(ALONE[0].expert_ids)[layer]
        tokens = np.flatnonzero((ids == expert).any(-1)).tolist()
        assert texts(alone, ".layer output") == [f"layer {layer + 1} of 3"]
        assert [int(n) - 1 for n in texts(alone, ".hit .count:first-child")] == tokens
        first = [t for t in tokens if first_experts(ALONE[0], layer)[t] == expert]
        assert marked(alone, "also") == sorted(set(tokens) - set(first))
        assert marked(alone, "dim") == sorted(set(range(len(TEXT))) - set(tokens))
        shown = glyphs(TEXT)
        weights = np.asarray(ALONE[0].weights)[layer][ids == expert]
        assert texts(alone, ".hit .count:last-child") == [f"{weight:.3f}" for weight in weights]
        for token, text in zip(tokens, texts(alone, ".hit b"), strict=True):
            start = max(t for t in range(token + 1) if shown[t] is not None)
            assert text[0] == {" ": "␣", "\n": "↵", "\t": "→"}.get(shown[start], shown[start])
        press(alone, "Escape")
        assert texts(alone, ".hit") == [] and marked(alone, "dim") == []


def test_enter_goes_from_one_token_found_to_the_next(alone: Page) -> None:
    search(alone, "2.1")
    tokens = [int(n) - 1 for n in texts(alone, ".hit .count:first-child")]
    assert len(tokens) > 2
    for key, token in (("Enter", tokens[0]), ("Enter", tokens[1]), ("Shift+Enter", tokens[0]),
                       ("Shift+Enter", tokens[-1])):  # fmt: skip
        press(alone, key)
        assert marked(alone, "here") == [token]
        assert panels(alone) == [decided(ALONE[0], 1, token)]
    alone.locator(".hit").nth(1).click()
    assert marked(alone, "here") == [tokens[1]]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("4.1", "layers are counted from 1 to 3, not 4"),
        ("0.1", "layers are counted from 1 to 3, not 0"),
        ("1.6", "experts are counted from 0 to 5, not 6"),
        ("router", "write layer.expert, such as 1.0"),
    ],
)
def test_a_search_that_finds_no_expert_says_why(alone: Page, asked: str, answer: str) -> None:
    search(alone, asked)
    assert texts(alone, ".note") == [answer]
    assert texts(alone, ".hit") == []


def test_top_tokens_are_those_of_the_trace_by_count_and_by_lift(alone: Page) -> None:
    press(alone, "]")
    alone.click(".tops summary")
    expect(alone.locator(".tops tbody tr").filter(visible=True)).to_have_count(N_EXPERTS)
    values = np.frombuffer(TEXT, np.uint8)
    in_text = np.bincount(values, minlength=256) / len(values)
    for expert in range(N_EXPERTS):
        reads = (np.asarray(ALONE[0].expert_ids)[1] == expert).any(-1)
        counts = np.bincount(values[reads], minlength=256)
        lift = np.where(counts >= 3, counts / max(1, reads.sum()) / np.maximum(in_text, 1e-9), 0)
        by_count, by_lift = (
            texts(alone, f".tops tbody tr:nth-child({expert + 1}) td:nth-child({column}) p")[0]
            for column in (2, 3)
        )
        numbers = sorted(counts[counts > 0], reverse=True)[:8]
        assert counted(by_count) == numbers
        lifts = sorted(lift[lift > 0], reverse=True)[:8]
        assert counted(by_lift.replace("×", "")) == pytest.approx(lifts, abs=0.051)


def counted(words: str) -> list[float]:
    """The numbers behind the thin spaces of `e 12 x 3`."""
    return [float(word.split(" ")[0]) for word in words.split("\u2009")[1:]]


def test_keys_alone_reach_every_part(alone: Page) -> None:
    alone.evaluate("document.querySelector('.text i').focus()")
    press(alone, "ArrowRight", "ArrowRight", "ArrowLeft")
    assert marked(alone, "here") == [1]
    assert panels(alone) == [decided(ALONE[0], 0, 1)]
    press(alone, "End")
    assert marked(alone, "here") == [len(TEXT) - 1]
    press(alone, "Home", "ArrowDown")
    assert marked(alone, "here")[0] >= TEXT.index(b"\n") + 1
    spoken = "document.activeElement.getAttribute('aria-label')"
    assert "layer 1 of 3: expert" in alone.evaluate(spoken)
    press(alone, "]")
    assert "layer 2 of 3: expert" in alone.evaluate(spoken) and "margin" in alone.evaluate(spoken)
    numbers = "document.querySelector('.moe-view').classList.contains('numbers')"
    assert not alone.evaluate(numbers)
    press(alone, "n")
    assert alone.evaluate(numbers)
    assert "the layer before" not in "".join(texts(alone, ".help dd"))
    press(alone, "?")
    assert "the layer before" in "".join(texts(alone, ".help dd"))
    press(alone, "t")
    assert colours(alone) == first_experts(ALONE[1], 1)


def test_letters_typed_into_the_search_are_no_commands(alone: Page) -> None:
    search(alone, "nt]?")
    assert alone.evaluate("document.querySelector('[type=search]').value") == "nt]?"
    assert texts(alone, ".layer output") == ["layer 1 of 3"]
    assert colours(alone) == first_experts(ALONE[0], 0)


def test_models_side_by_side_share_layer_token_and_search(beside: Page) -> None:
    assert texts(beside, "h4") == ["first", "second"]
    press(beside, "]")
    both = [SAMPLES[name][0] for name in ("first", "second")]
    assert colours(beside) == [e for sample in both for e in first_experts(sample, 1)]
    beside.locator(".text i").nth(20).hover()
    assert panels(beside) == [decided(sample, 1, 20) for sample in both]
    beside.locator(".text i").nth(7).click()
    press(beside, "ArrowRight")
    beside.hover("h2")
    assert panels(beside) == [decided(sample, 1, 8) for sample in both]
    search(beside, "3.2")
    counts = [int((np.asarray(sample.expert_ids)[2] == 2).sum()) for sample in both]
    assert texts(beside, ".note")[0].startswith(f"first: {counts[0]} tokens, second: {counts[1]}")
    assert len(texts(beside, ".hit")) == sum(min(40, count) for count in counts)


def test_pointing_at_an_expert_dims_its_own_model_only(beside: Page) -> None:
    beside.locator(".legend button").nth(4).hover()
    reads = (np.asarray(SAMPLES["first"][0].expert_ids)[0] == 4).any(-1)
    assert marked(beside, "dim") == np.flatnonzero(~reads).tolist()
    dimmed = "document.querySelectorAll('.text')[1].querySelectorAll('.dim').length"
    assert beside.evaluate(dimmed) == 0


def test_panes_stand_below_each_other_where_the_window_is_narrow(beside: Page) -> None:
    place = "[...document.querySelectorAll('.sample:not([hidden]) .pane')].map(n => n.offsetLeft)"
    left, right = beside.evaluate(place)
    assert left < right
    beside.set_viewport_size({"width": 400, "height": 900})
    left, right = beside.evaluate(place)
    assert left == right
    assert beside.evaluate("document.documentElement.scrollWidth") <= 400


def test_ten_thousand_bytes_are_drawn_searched_and_relayered_in_moments(
    page: Page, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    line = "def forward(self, x):  # 路由\n    return self.layer(x) * 0.5\n"
    text = (line * 200).encode()[:10_000]
    samples = {}
    for name in ("first", "second"):
        ids = rng.random((4, len(text), 16)).argsort(-1)[..., :2]
        samples[name] = [Sample("long", text, ids, rng.random(ids.shape))]
    view = routing_view(samples, n_experts=16, title="long")
    assert len(view.html.encode()) < 3_000_000
    view.save(tmp_path / "long.html")
    page.goto((tmp_path / "long.html").as_uri())
    for key in ("]", "["):
        event = f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}})"
        spent = page.evaluate(
            f"(() => {{ const began = performance.now(); document.body.dispatchEvent({event});"
            "document.body.offsetHeight; return performance.now() - began; })()"
        )
        assert spent < 10_000, spent  # a hang, not a slow machine
    search(page, "2.3")
    expect(page.locator(".hit")).to_have_count(80)
    page.locator(".more-hits").first.click()
    expect(page.locator(".hit")).to_have_count(280)
