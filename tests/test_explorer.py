"""The routing view shows what the router decided, to everyone, and fetches nothing."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium_page
from matplotlib.figure import Figure

from minimoe.errors import InputError
from minimoe.show.colors import contrast, expert_style
from minimoe.show.explorer import routing_view
from minimoe.show.page import document, figure_html, page
from minimoe.show.sample import Sample, glyphs

TEXT = '</script><script>alert(1)</script> "it\'s" & 专家\n\tok é😀.'.encode() + b"\xff\xe4\xb8"
VOID = {"meta", "input", "br", "img", "link", "hr"}


def sample(
    text: bytes = TEXT, *, title: str = "mixed", n_experts: int = 8, seed: int = 0
) -> Sample:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(n_experts), size=(4, len(text)))
    ids = np.argsort(scores, -1)[..., -3:]  # rising, so that the largest is not the first
    weights = np.take_along_axis(scores, ids, -1)
    kept = rng.random(ids.shape) > 0.1
    return Sample(title, text, ids, weights, kept, rng.normal(size=ids.shape[:2]))


def shown(text: bytes, ids: np.ndarray, weights: np.ndarray, **others: Any) -> Sample:
    """A text with nothing dropped and margins of 0, or with other arrays."""
    title = others.pop("title", "a")
    kept, margin = np.ones(ids.shape, bool), np.zeros(ids.shape[:2])
    return Sample(title, text, ids, weights, **{"kept": kept, "margin": margin, **others})


def view(**changes: Any) -> str:
    """A document with the view of one text, or of others."""
    given = {"samples": [sample()], "n_experts": 8, "title": 'A <view> & "more"'} | changes
    return document(given["title"], routing_view(given.pop("samples"), **given))


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    children: list["Node | str"] = field(default_factory=list)

    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text() for c in self.children)

    def all(self, tag: str, name: str | None = None) -> list["Node"]:
        found = [self] if self.tag == tag and (name is None or name in self.names()) else []
        return found + [n for c in self.children if isinstance(c, Node) for n in c.all(tag, name)]

    def names(self) -> list[str]:
        return self.attributes.get("class", "").split()


class Reader(HTMLParser):
    """A tree of nodes; refuses an end tag that does not close the innermost open element."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def tree(source: str) -> Node:
    reader = Reader()
    reader.feed(source)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> stays open"
    return reader.open[0]


def data_of(root: Node) -> dict[str, Any]:
    (script,) = (n for n in root.all("script") if n.attributes.get("type") == "application/json")
    return json.loads(script.text())


def sorted_choices(one: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The K choices of each token, the largest weight first."""
    order = np.argsort(-np.asarray(one.weights), -1)
    arrays = (np.asarray(values) for values in (one.expert_ids, one.weights, one.kept))
    ids, weights, kept = (np.take_along_axis(values, order, -1) for values in arrays)
    return ids, weights, kept


def test_the_document_nests_and_holds_every_byte_once_in_order() -> None:
    root = tree(view())
    (text,) = root.all("div", "text")
    cells = text.all("i")
    assert len(cells) == len(TEXT)
    shown = [cell.text() for cell in cells]
    expected = ["" if glyph in (None, "\n") else glyph for glyph in glyphs(TEXT)]
    assert shown == expected
    further = [t for t, cell in enumerate(cells) if "more" in cell.names()]
    assert further == [t for t, glyph in enumerate(glyphs(TEXT)) if glyph is None]


def test_the_first_layer_is_coloured_without_a_script() -> None:
    one = sample()
    ids, _, kept = sorted_choices(one)
    (text,) = tree(view()).all("div", "text")
    for t, cell in enumerate(text.all("i")):
        assert cell.names()[0] == f"e{ids[0, t, 0]}"
        assert ("drop" in cell.names()) == (not kept[0, t, 0])
    assert "hidden" in tree(view()).all("div", "controls")[0].attributes


def test_the_data_holds_the_weights_given_to_three_digits() -> None:
    one = sample()
    ids, weights, kept = sorted_choices(one)
    (stored,) = data_of(tree(view()))["samples"]
    assert np.array_equal(np.array(stored["ids"]).reshape(ids.shape), ids)
    assert np.array_equal(
        np.array(stored["thousandths"]).reshape(ids.shape), (weights * 1000).round()
    )
    assert bytes.fromhex(stored["bytes"]) == TEXT
    for layer in range(4):
        assert stored["dropped"][layer] == np.flatnonzero(~kept[layer]).tolist()


def test_the_legend_shows_the_load_of_each_expert() -> None:
    one = sample()
    counts = np.bincount(np.asarray(one.expert_ids)[0].ravel(), minlength=8)
    rows = tree(view()).all("div", "legend")[0].all("button")
    assert [int(row.all("span", "count")[0].text()) for row in rows] == counts.tolist()
    assert rows[3].all("span", "share")[0].text() == f"{counts[3] / counts.sum():.1%}"


def test_a_sentence_tells_each_layer_in_words() -> None:
    ids = np.array([[[0], [0], [0], [2]]])
    kept = np.array([[[True], [False], [True], [True]]])
    one = shown(b"abcd", ids, ids + 1.0, kept=kept)
    (said,) = tree(view(samples=[one], n_experts=4)).all("p", "say")
    assert said.attributes["aria-live"] == "polite"
    assert said.text() == (
        "Layer 1 of 1: expert 0 gets the most (75.0% of the assignments), expert 1 the fewest "
        "(0.0%); an even share would be 25.0%. 2 of 4 experts get none. "
        "1 of 4 assignments were dropped (dashed frame: the one with the largest weight)."
    )


def test_nothing_is_fetched_from_anywhere() -> None:
    for source in (view(), page("t", [("a", routing_view([sample()], n_experts=8, title="v"))])):
        assert "://" not in source and "@import" not in source
        assert not re.search(r"\b(src|href|action)\s*=", re.sub(r"<script.*?</script>", "", source))
        assert "default-src 'none'" in source


def test_text_that_looks_like_html_stays_text() -> None:
    model = "</script><b>"
    root = tree(view(samples={model: [sample(title="<b>'x\"")]}))
    assert data_of(root)["models"] == [model] == [h.text() for h in root.all("h4")]
    assert len(root.all("script")) == 2  # the data and the code
    assert root.all("h3")[0].text() == root.all("div", "tabs")[0].text() == "<b>'x\""
    assert root.all("title")[0].text() == root.all("h2")[0].text() == 'A <view> & "more"'


def test_the_same_input_gives_the_same_bytes_and_another_text_another_id() -> None:
    assert view() == view()
    ids = {tree(one).all("section")[0].attributes["id"] for one in (view(), view(title="b"))}
    assert len(ids) == 2


def test_ink_reads_on_ground_and_pattern() -> None:
    page = view(n_experts=64)
    for expert in range(64):
        ground, tint, ink = expert_style(expert)
        assert contrast(ink, ground) >= 4.5 and contrast(ink, tint) >= 4.5
        (rule,) = re.findall(rf"\.e{expert}{{(--c:.*?)}}", page)
        assert rule.startswith(f"--c:{ground};") and rule.endswith(f"{ground};color:{ink}")
        assert set(re.findall("#[0-9A-F]{6}", rule)) == {ground, tint, ink}


def test_beyond_eight_experts_the_numbers_show_and_patterns_differ() -> None:
    page = view(samples=[sample(n_experts=24)], n_experts=24)
    assert "numbers" in tree(page).all("section")[0].names()
    assert "numbers" not in tree(view()).all("section")[0].names()
    rules = [re.search(rf"\.e{e}{{(.*?)}}", page).group(1) for e in range(24)]  # type: ignore
    assert len(set(rules)) == 24


def test_two_thousand_bytes_in_four_layers_stay_below_400_kB() -> None:
    text = ("专家 the router reads one token and scores every expert.\n" * 40).encode()[:2000]
    assert len(view(samples=[sample(text)]).encode()) < 400_000


def test_characters_show_on_their_first_byte() -> None:
    assert glyphs("é!".encode()) == ["é", None, "!"]
    assert glyphs("中".encode()[1:] + b"a") == ["B8", "AD", "a"]  # a text cut inside a character
    assert glyphs("😀".encode()) == ["😀", None, None, None] and glyphs(b"") == []


def test_the_margin_is_stored_in_thousandths_and_infinite_as_none() -> None:
    ids = np.zeros((1, 3, 1), int)
    one = shown(b"abc", ids, ids + 1.0, margin=np.array([[0.0314, np.inf, -0.25]]))
    (stored,) = data_of(tree(view(samples=[one])))["samples"]
    assert stored["margins"] == [[31, None, -250]]


def test_models_stand_side_by_side_text_by_text() -> None:
    by_model = {
        name: [sample(seed=seed), sample(b"second", title="other", seed=seed + 5)]
        for seed, name in enumerate(("<first>", "second"))
    }
    root = tree(view(samples=by_model))
    data = data_of(root)
    assert data["models"] == ["<first>", "second"]
    for i, (text, name) in enumerate([(t, name) for t in (0, 1) for name in by_model]):
        ids, _, _ = sorted_choices(by_model[name][text])
        assert np.array_equal(np.array(data["samples"][i]["ids"]).reshape(ids.shape), ids)
    first, second = root.all("div", "sample")
    assert [h.text() for h in first.all("h4")] == [h.text() for h in second.all("h4")]
    assert [h.text() for h in first.all("h4")] == ["<first>", "second"]
    assert [tab.text() for tab in root.all("div", "tabs")[0].all("button")] == ["mixed", "other"]
    assert not tree(view()).all("h4")


def test_models_that_read_other_texts_do_not_stand_side_by_side() -> None:
    message = r"'a'.*65.*'b'.*3"
    with pytest.raises(InputError, match=message):
        view(samples={"a": [sample()], "b": [sample(b"abc")]})
    with pytest.raises(InputError, match="1.*0"):
        view(samples={"a": []})


IDS = np.zeros((2, 3, 1), int)
REFUSALS = [
    ([], "1.*0"),
    ([shown(b"abc", IDS[0], IDS[0])], r"\[n_layers, T, K\].*\(3, 1\)"),
    ([shown(b"abc", IDS, IDS[:1])], r"weights .* \(2, 3, 1\).*\(1, 3, 1\)"),
    ([shown(b"abc", IDS, IDS, kept=IDS[:1] > 0)], r"kept .* \(2, 3, 1\).*\(1, 3, 1\)"),
    ([shown(b"abc", IDS, IDS, margin=IDS[:, :2, 0])], r"margin .* \(2, 3\).*\(2, 2\)"),
    ([shown(b"abc", IDS, IDS, margin=IDS[..., 0] + np.nan)], "6 NaN"),
    ([shown(b"abcd", IDS, IDS)], "4.*3"),
    ([shown(b"abc", IDS + 8, IDS)], "n_experts=8.*8"),
    ([shown(b"abc", IDS - 1, IDS)], "n_experts=8.*-1"),
    ([shown(b"abc", IDS, IDS + np.nan)], "0.*nan"),
    ([shown(b"abc", IDS, IDS), shown(b"abc", IDS[:1], IDS[:1], title="b")], "'a'.*2.*'b'.*1"),
]


@pytest.mark.parametrize(("samples", "message"), REFUSALS)
def test_arrays_that_disagree_are_refused_with_both_numbers(
    samples: list[Sample], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        view(samples=samples)


def test_a_page_holds_its_sections_and_a_figure_its_picture() -> None:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    picture = figure_html(figure, 'a "line"', "Rising & straight.")
    assert picture == figure_html(figure, 'a "line"', "Rising & straight.")
    root = tree(page("Report <1>", [("First & last", "<p>body</p>"), ("", picture)]))
    assert root.all("h1")[0].text() == root.all("title")[0].text() == "Report <1>"
    assert [heading.text() for heading in root.all("h2")] == ["First & last"]
    (image,) = root.all("img")
    assert image.attributes["alt"] == 'a "line"'
    assert image.attributes["src"].startswith("data:image/png;base64,iVBOR")
    assert root.all("figcaption")[0].text() == "Rising & straight."


def browse(address: str) -> Node:
    """The page as a real browser leaves it after its script ran."""
    with chromium_page() as (opened, problems):
        opened.goto(address)
        found = opened.content()
    assert not problems
    return tree(found)


def test_a_browser_shows_the_layer_and_token_that_the_address_names(tmp_path: Path) -> None:
    token = TEXT.index("专".encode()) + 1
    first, second = sample(title="one", seed=1), sample(title="two", seed=2)
    np.asarray(second.kept)[2, token] = [True, False, True]
    (tmp_path / "view.html").write_text(view(samples=[first, second]), encoding="utf-8")
    link = f"#sample=2&layer=3&token={token + 1}"
    root = browse((tmp_path / "view.html").as_uri() + link)
    ids, weights, kept = sorted_choices(second)
    hidden, box = root.all("div", "sample")
    assert "hidden" in hidden.attributes and "hidden" not in box.attributes
    assert root.all("output")[0].text() == "layer 3 of 4"
    cells = box.all("div", "text")[0].all("i")
    assert [cell.names()[0] for cell in cells] == [f"e{expert}" for expert in ids[2, :, 0]]
    assert ["drop" in cell.names() for cell in cells] == (~kept[2, :, 0]).tolist()
    *rows, margin = box.all("div", "panel")[0].all("div", "row")
    assert [row.all("b")[0].text() for row in rows] == [str(expert) for expert in ids[2, token]]
    for row, weight, keeps in zip(rows, weights[2, token], kept[2, token], strict=True):
        assert row.all("span", "value")[0].text() == f"{weight:.3f}" + " dropped" * (not keeps)
    assert margin.all("span", "value")[0].text() == f"{second.margin[2, token]:.3f}"
    assert [t for t, cell in enumerate(cells) if cell.attributes["tabindex"] == "0"] == [token]
    spoken = cells[token].attributes["aria-label"]
    assert spoken.startswith("byte 2 of the 3 of “专”, byte value 184 (0xB8), layer 3 of 4: expert")
    counts = np.bincount(np.asarray(second.expert_ids)[2].ravel(), minlength=8)
    assert [int(node.text()) for node in box.all("span", "count")] == counts.tolist()
    assert f"expert {counts.argmax()} gets the most" in box.all("p", "say")[0].text()
