"""Text from the installed packages, the same bytes on every machine."""

import ast
import functools
import gzip
import inspect
import json
import re
from pathlib import PurePosixPath
from typing import Literal

from minimoe.data import sources
from minimoe.data.sources import read_source
from minimoe.data.text import Document, Text, letters, paragraphs_of, split_every, text_of_splits


@functools.cache  # the files do not change within a run
def real_text() -> Text:
    """Read the text that comes with the installed packages, the same bytes on every machine.

    | domain | what it is |
    |---|---|
    | english | docstrings of PyTorch and SymPy, explanations of a dictionary, interface sentences |
    | chinese | the words of the same dictionary, interface sentences |
    | python | the source of PyTorch |
    | formulas | the tests of SymPy: formulas, written as Python |

    Code is split by folder: the docstrings and the tests of a folder stand on one side. Of the
    dictionary and of PyTorch's docstrings every tenth entry is validation text, of the few
    sentences every fifth. A validation paragraph is kept if it is at least half new. Word and
    explanation are judged one by one, so 54 of 10,723 entries have lost one of the two.
    `minimoe text --leakage` prints the bytes, the licences and the share that still leaks.

    Returns:
        31,477,571 bytes to train on and 2,505,364 to validate on.

    Raises:
        InputError: a package is missing or holds other text; the message gives the pip line.
    """
    splits = [
        split_every(_documentation(), 10, sources.DOCUMENTATION),
        split_every(_sentence_pairs(), 5, sources.SENTENCE_PAIRS),
        split_every(_dictionary(), 10, sources.DICTIONARY),
        split_every(_folders_of_sympy(), 10, sources.SYMPY),
        split_every(_folders_of_torch(), 10, sources.PYTHON_SOURCE),
    ]
    domains = ("english", "chinese", "python", "formulas")
    return text_of_splits(splits, domains)


@functools.cache
def small_text() -> Text:
    """Read the small text that the trained models and the notebooks about them have read.

    English is PyTorch's documentation and the English half of JupyterLab's interface sentences,
    Chinese is their other half, Python is the source of `torch.nn`. The last of every ten documents
    is validation text; of the few sentence pairs, the last of every five.

    Returns:
        2,368,577 bytes to train on and 255,621 to validate on, in "english", "chinese"
        and "python".

    Raises:
        InputError: a package is missing or holds other text; the message gives the pip line.
    """
    python = [paragraphs_of("python", text) for text in _texts_of(sources.NN_SOURCE).values()]
    splits = [
        split_every(_documentation(), 10, sources.DOCUMENTATION),
        split_every(_sentence_pairs(), 5, sources.SENTENCE_PAIRS),
        split_every(python, 10, sources.NN_SOURCE),
    ]
    return text_of_splits(splits, ("english", "chinese", "python"), new_share=0.0)


def packaged_text(name: Literal["small", "real"]) -> Text:
    """Read the text of that name: `packaged_text("real")` is `real_text()`."""
    return real_text() if name == "real" else small_text()


def _texts_of(source: sources.Source) -> dict[str, str]:
    return {name: content.decode("utf-8") for name, content in read_source(source).items()}


# English ----------------------------------------------------------------------------------------


def _documentation() -> list[Document]:
    """Collect the texts of `add_docstr(name, text)` calls, one document for each name."""
    texts: dict[str, str] = {}
    for content in _texts_of(sources.DOCUMENTATION).values():
        for node in ast.parse(content).body:
            match node:
                case ast.Expr(value=ast.Call(args=[target, text])):
                    # `torch.abs`, "abs" and "abs_" document the same name: they stay together
                    name = ast.unparse(target).strip("'").split(".")[-1].strip("_")
                    texts[name] = f"{texts.get(name, '')}{_literal(text).strip()}\n\n"
    return [paragraphs_of("english", texts[name]) for name in sorted(texts)]


def _literal(node: ast.expr) -> str:
    """Evaluate an expression of string literals, `+` and `.format(...)` without running it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _literal(left) + _literal(right)
        case ast.Call(func=ast.Attribute(value=template, attr="format")):
            # the fields to fill in are always the same argument lines: leave them out
            text = re.sub(r"(?m)^ *\{\w+\}\n?|(?<!\{)\{\w+\}(?!\})", "", _literal(template))
            return text.replace("{{", "{").replace("}}", "}")
    return ""  # an f-string: its text is known only when it runs


def _docstrings(source: str) -> str:
    """The strings in triple quotes that begin a line, without their indentation.

    A search finds 99 % of what the parser finds, and takes a fifteenth of its time.
    """
    found = re.findall(r'(?ms)^[ \t]*[rRuU]?"""(.*?)"""', source)
    texts = (inspect.cleandoc(text).strip() for text in found)
    return "".join(f"{text}\n\n" for text in texts if text)


# English and Chinese ----------------------------------------------------------------------------


def _sentence_pairs() -> list[Document]:
    """Make one document of each pair, an English line and a Chinese line; no line occurs twice."""
    seen: set[str] = set()
    pairs: list[Document] = []
    for content in read_source(sources.SENTENCE_PAIRS).values():
        for message, translations in json.loads(content).items():
            english = " ".join(message.split("\x04")[-1].split())  # context \x04 message
            chinese = " ".join(translations[0].split()) if isinstance(translations, list) else ""
            keys = {letters(english), letters(chinese)}
            is_translated = re.search(r"[\u4e00-\u9fff]", chinese) and len(keys) == 2
            if not is_translated or keys & seen or re.search(r"<\w[^>]*>", english):
                continue
            seen |= keys
            pairs.append([("english", f"{english}\n"), ("chinese", f"{chinese}\n\n")])
    return pairs


def _dictionary() -> list[Document]:
    """Make one document of each word: simplified characters, then its explanations.

    The entries of one word stand together. An explanation that was given before, and vulgar ones,
    are left out.
    """
    (content,) = read_source(sources.DICTIONARY).values()
    text = gzip.decompress(content).decode("utf-8").replace("\r\n", "\n")
    explained: dict[str, list[str]] = {}
    seen: set[str] = set()
    for word, meanings in re.findall(r"(?m)^[^#\s]\S* (\S+) \[[^\]]*\] /(.*)/$", text):
        key = letters(meanings)
        if key not in seen and "vulgar" not in key:
            seen.add(key)
            explained.setdefault(word, []).append(meanings.replace("/", "; "))
    return [
        [("chinese", word), ("english", f" {'; '.join(meanings)}\n")]
        for word, meanings in explained.items()
    ]


# Code -------------------------------------------------------------------------------------------


def _folders_of_torch() -> list[Document]:
    """The source of PyTorch, one document for each folder."""
    folders: dict[str, Document] = {}
    for name, content in _texts_of(sources.PYTHON_SOURCE).items():
        folder = PurePosixPath(name).parent.as_posix()
        folders.setdefault(folder, []).extend(paragraphs_of("python", content))
    return _by_size(folders)


def _folders_of_sympy() -> list[Document]:
    """Docstrings and tests of SymPy, one document for each folder; its tests belong to it."""
    docstrings: dict[str, Document] = {}
    tests: dict[str, Document] = {}
    for name, content in _texts_of(sources.SYMPY).items():
        folder, _, is_test = PurePosixPath(name).parent.as_posix().partition("/tests")
        docs = docstrings.setdefault(folder, [])
        if is_test or name.rpartition("/")[0].endswith("tests"):
            tests.setdefault(folder, []).extend(paragraphs_of("formulas", content))
        else:
            docs.extend(paragraphs_of("english", _docstrings(content)))
    return _by_size({folder: docs + tests.get(folder, []) for folder, docs in docstrings.items()})


def _by_size(folders: dict[str, Document]) -> list[Document]:
    """Order folders by size, so that every tenth is large, middling and small by turns."""
    size = {name: sum(len(part) for _, part in parts) for name, parts in folders.items()}
    return [folders[name] for name in sorted(folders, key=lambda name: (-size[name], name))]
