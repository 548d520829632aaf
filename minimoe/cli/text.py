"""`minimoe text`."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from minimoe.cli.shared import text_of, text_option

if TYPE_CHECKING:
    from minimoe.data.text import Text

HELP = "print what text is read, from which packages, under which licences"
EXAMPLE = "--leakage"
WINDOW = 40  # bytes of a stretch
DIGITS = 12  # of a SHA-256 in a table


def add_options(parser: argparse.ArgumentParser) -> None:
    what = (
        "also print the share of the validation text in stretches of BYTES bytes that the training "
        f"text holds too ({WINDOW})"
    )
    parser.add_argument("--leakage", nargs="?", type=int, const=WINDOW, metavar="BYTES", help=what)
    text_option(parser)


def run(options: argparse.Namespace) -> None:
    """Print the domains, the sources and the licences of a text."""
    text = text_of(options.text)
    domains, sources = _domains(text, options.leakage), _sources(text)
    if options.json:
        print(json.dumps({"domains": domains, "sources": sources}))
        return
    marks = {source["name"]: f"[{i}]" for i, source in enumerate(sources, start=1)}
    parts = [_domain_table(domains, marks)]
    if options.leakage is not None:
        parts.append(
            f"leakage: the share of the validation bytes in stretches of {options.leakage} bytes\n"
            "that stand in the training text too"
        )
    if sources:
        parts.append(_source_table(sources, marks))
        parts.append("\n".join(f"{marks[each['name']]} {each['licence']}" for each in sources))
    print("\n\n".join(parts))


def _domains(text: "Text", window: int | None) -> dict[str, dict[str, Any]]:
    """By domain: bytes on both sides, the share that leaks if it was asked for, sources."""
    from minimoe.data.text import TOTAL
    from minimoe.measure.leakage import leakage

    train, validation = (side.bytes_per_domain.tolist() for side in (text.train, text.validation))
    names = (*text.train.domains, TOTAL)
    sizes = zip([*train, sum(train)], [*validation, sum(validation)], strict=True)
    found: dict[str, dict[str, Any]] = {
        name: {
            "train_bytes": n_train,
            "validation_bytes": n_validation,
            "sources": [use.source.name for use in text.uses if use.domain == name],
        }
        for name, (n_train, n_validation) in zip(names, sizes, strict=True)
    }
    for name, share in (leakage(text, window) if window is not None else {}).items():
        found[name]["leakage"] = share
    return found


def _sources(text: "Text") -> list[dict[str, Any]]:
    """What was read of each source, from which package, under which licence."""
    n_bytes: dict[Any, int] = {}
    for use in text.uses:
        n_bytes[use.source] = n_bytes.get(use.source, 0) + use.train_bytes + use.validation_bytes
    return [
        {
            "name": source.name,
            "package": source.pinned,
            "bytes": n,
            "licence": source.licence,
            "sha256": source.sha256,
        }
        for source, n in n_bytes.items()
    ]


def _domain_table(domains: dict[str, dict[str, Any]], marks: dict[str, str]) -> str:
    from minimoe.show.tables import text_table

    rows = domains.values()
    columns = {
        "domain": list(domains),
        "bytes to train on": [f"{row['train_bytes']:,}" for row in rows],
        "to validate on": [f"{row['validation_bytes']:,}" for row in rows],
    }
    if all("leakage" in row for row in rows):
        columns["leakage"] = [f"{100 * row['leakage']:.1f} %" for row in rows]
    if marks:
        columns["sources"] = [" ".join(marks[name] for name in row["sources"]) for row in rows]
    return text_table(list(columns), list(zip(*columns.values(), strict=True)))


def _source_table(sources: list[dict[str, Any]], marks: dict[str, str]) -> str:
    from minimoe.show.tables import text_table

    rows = [
        [marks[each["name"]], each["name"], each["package"], f"{each['bytes']:,}",
         each["sha256"][:DIGITS]]
        for each in sources
    ]  # fmt: skip
    return text_table(["", "source", "package", "bytes", "SHA-256"], rows)
