"""Text from a folder of the user."""

from pathlib import Path

from minimoe.data import text as texts
from minimoe.data.text import Document, Text
from minimoe.errors import InputError, printable

MIN_BYTES = 10_000  # the smallest amount of text that is accepted
SECTION_LENGTH = 4096  # characters; a section of a file stays on one side of the split


def folder_text(path: str | Path) -> Text:
    """Read every UTF-8 file below a folder; each sub-folder is a domain.

    Files directly in the folder form a domain with the folder's name. Hidden files and folders
    are skipped. Files are cut into sections, at blank lines where they have some. The last of
    every ten sections of a domain is validation text, so one file is enough. Validation keeps the
    paragraphs that are at least half new. If that leaves a domain none, one new line is enough.

    Args:
        path: the folder.

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
    if n_bytes < MIN_BYTES:
        raise InputError(
            f"{folder} holds {n_bytes} bytes of text, at least {MIN_BYTES} are needed; add files"
        )
    if texts.TOTAL in contents:
        raise InputError(
            f"{folder} has a domain named {texts.TOTAL!r}, the name of the figure over all "
            "domains; rename that folder"
        )
    if len(contents) > texts.MAX_DOMAINS:
        raise InputError(
            f"{folder} has {len(contents)} domains, at most {texts.MAX_DOMAINS} are possible; "
            "merge sub-folders"
        )
    splits = [texts.split_every(_sections(domain, files), 10) for domain, files in contents.items()]
    text = texts.text_of_splits(splits, tuple(contents))
    if not text.validation.bytes_per_domain.all():
        text = texts.text_of_splits(splits, tuple(contents), new_share=0.0)
    _check_validation(folder, text)
    return text


def _folder_contents(folder: Path) -> dict[str, list[str]]:
    """Read the texts of each domain, with domains and files in alphabetical order."""
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
        offset = data.find(b"\0")  # valid UTF-8, but no text holds it
    except UnicodeDecodeError as error:
        offset = error.start
    if offset >= 0:
        raise InputError(
            f"{file} is not UTF-8 text: byte 0x{data[offset]:02x} at offset {offset}; "
            "convert it to UTF-8 or move it out of the folder"
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _sections(domain: str, files: list[str]) -> list[Document]:
    """Cut texts into at least ten sections, of at most SECTION_LENGTH characters."""
    length = max(1, min(SECTION_LENGTH, sum(map(len, files)) // 10))
    sections = []
    for text in files:
        start = 0
        while start < len(text):
            end = _section_end(text, start, length)
            sections.append(texts.paragraphs_of(domain, text[start:end]))
            start = end
    return [section for section in sections if section]


def _section_end(text: str, start: int, length: int) -> int:
    """Find a section's end: after the last blank line or line end, else after `length`."""
    if len(text) - start <= length:
        return len(text)
    for boundary in ("\n\n", "\n"):
        found = text.rfind(boundary, start + 1, start + length)
        if found >= 0:
            return found + len(boundary)
    return start + length


def _check_validation(folder: Path, text: Text) -> None:
    counts = (side.bytes_per_domain.tolist() for side in (text.train, text.validation))
    for domain, n_train, n_validation in zip(text.train.domains, *counts, strict=True):
        if not n_validation:
            raise InputError(
                f"domain {domain!r} of {folder} has {n_train} bytes of training text but "
                f"{n_validation} bytes of validation text that differ from it, at least 1 is "
                "needed; add text that does not repeat"
            )
