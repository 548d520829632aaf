"""Build both editions of the notebooks from their sources.

The checked edition, NN_name.ipynb, is run in a fresh kernel and stored with its outputs; its
exercises are solved. The student edition, student/NN_name.ipynb, has no outputs; its exercises are
starters, and what would give a prediction away is folded.

python notebooks/build.py                build every notebook
python notebooks/build.py 02_moe_layer   build one (02 is enough)
python notebooks/build.py --student      build only the student editions, which run nothing
python notebooks/build.py --check        name the notebooks that differ from their source
"""

import argparse
import base64
import hashlib
import io
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from minimoe.exercises.shelf import exercise_named
from minimoe.files import write_file

HERE = Path(__file__).resolve().parent
STUDENT = "student"  # the folder of the student editions
FOLDED_CODE = "# Run this cell, read what it prints, then open it."
COLOURS = 64  # of a stored picture; a quarter of the bytes of full colour
CELL_SECONDS = 300
# One thread gives the same digits everywhere. Another backend would draw into no notebook.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# A kernel would add the patch version of Python here, which would change the stored file.
LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}


class BuildError(Exception):
    """A cell failed; the message is one line with the notebook, the cell and the error."""


def read_source(path: Path, edition: str = "checked") -> NotebookNode:
    """Read a percent-format source as a notebook that has not run.

    A cell with the tag "exercise" holds the id of an exercise, such as `# 02.3`. It becomes two
    cells: the task, and the function with its check.

    Args:
        path: a file `NN_name.py`.
        edition: "checked" or "student".

    Returns:
        The notebook. A cell's id is a hash of its place and its text, so two builds agree.
    """
    student = edition == "student"
    parts: list[tuple[str, str, list[str]]] = []
    for cell in jupytext.read(path, fmt="py:percent").cells:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags:
            exercise = exercise_named(cell.source.strip("# \n"))
            parts.append(("markdown", exercise.task_cell(), []))
            parts.append(("code", exercise.code_cell(solved=not student), tags))
        else:
            parts.append((cell.cell_type, cell.source, tags))
    cells = []
    for place, (kind, source, tags) in enumerate(parts):
        metadata: dict[str, object] = {"tags": tags} if tags else {}
        if student and kind == "markdown":
            source = folded_look(source)
        if student and re.search(r"^finding\(", source, re.M):
            metadata["jupyter"] = {"source_hidden": True}  # it states what was measured
            source = f"{FOLDED_CODE}\n{source}"  # JupyterLab shows the first line of a folded cell
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        name = hashlib.sha256(f"{place}\n{source}".encode()).hexdigest()[:8]
        cells.append(new(source, id=name, metadata=metadata))
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": dict(KERNEL), "language_info": dict(LANGUAGE)}
    )


def folded_look(source: str) -> str:
    """Fold a **Look.** paragraph and what follows it up to the next heading.

    `folded_look("**Look.** All.")` starts with `<details><summary>`; other text stays as it is.
    """
    found = re.search(r"^\*\*Look\.\*\* ", source, re.M)
    if found is None:
        return source
    before, look = source[: found.start()], source[found.end() :]
    look, heading, after = (
        re.split(r"(^#)", look, maxsplit=1, flags=re.M)
        if re.search(r"^#", look, re.M)
        else (look, "", "")
    )
    summary = "<b>Look</b> (open it after you have run the cell above)"
    folded = f"<details><summary>{summary}</summary>\n\n{look.strip()}\n\n</details>"
    return f"{before}{folded}" + (f"\n\n{heading}{after}" if heading else "")


def run(book: NotebookNode, name: str) -> NotebookNode:
    """Run every cell in a fresh kernel, on one thread and with inline figures.

    Args:
        book: the notebook; its outputs are filled in.
        name: of the notebook, for messages.

    Returns:
        The same notebook, tidied.

    Raises:
        BuildError: a cell failed that is not tagged `raises-exception`.
    """
    client = NotebookClient(
        book,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(HERE)}},
    )
    try:
        client.execute(env={**os.environ, **ENVIRONMENT})
    except CellExecutionError as error:
        first_line = (str(error.evalue).splitlines() or [""])[0]
        raise BuildError(f"{_where(book, name)}: {error.ename}: {first_line}") from None
    except CellTimeoutError:
        raise BuildError(f"{_where(book, name)}: ran longer than {CELL_SECONDS} s") from None
    except DeadKernelError:
        raise BuildError(f"{_where(book, name)}: the kernel died") from None
    return tidy(book)


def _where(book: NotebookNode, name: str) -> str:
    """Name the cell that failed, or else the cell that ran last."""
    counts = [cell.get("execution_count") for cell in book.cells]
    last = max((place for place, count in enumerate(counts) if count), default=0)
    failed = [n for n, cell in enumerate(book.cells) if _failed(cell)]
    place = failed[-1] if failed else last
    first_line = (book.cells[place].source.splitlines() or [""])[0]
    return f"{name}, cell {place} ({first_line})"


def _failed(cell: NotebookNode) -> bool:
    expected = "raises-exception" in cell.metadata.get("tags", [])
    return not expected and any(o.output_type == "error" for o in cell.get("outputs", []))


def tidy(book: NotebookNode) -> NotebookNode:
    """Remove from the outputs what differs from run to run or from machine to machine.

    Args:
        book: a notebook that has run; changed in place.

    Returns:
        The same notebook. Printed text is joined, pictures have 64 colours, a traceback is one line
        without paths, and the metadata holds nothing of the kernel.
    """
    book.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell, after in zip(book.cells, [*book.cells[1:], None], strict=True):
        if cell.cell_type == "code":
            cell.outputs = _joined([_tidied(output, after) for output in cell.outputs])
    return book


def _tidied(output: NotebookNode, after: NotebookNode | None) -> NotebookNode:
    if output.output_type == "error":
        output.traceback = [f"{output.ename}: {output.evalue}"]
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _few_colours(output.data["image/png"])
        words = alternative_text(after.source if after else "")
        output.metadata = nbformat.from_dict({"image/png": {"alt": words}} if words else {})
    return output


def alternative_text(source: str) -> str:
    """The words of a **Look.** paragraph, for readers who do not see the picture above it."""
    found = re.search(r"^\*\*Look\.\*\* (.*?)(?:\n\n|\Z)", source, re.M | re.S)
    return " ".join(re.sub(r"[*`$]", "", found[1]).split()) if found else ""


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join adjacent pieces of one stream, which is cut at random places."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if output.output_type == "stream" and last and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _few_colours(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(paper, picture).convert("RGB")
    # Maximum coverage keeps the colour of a thin line; a median cut would merge the colours of two
    # experts. Dithering would put dots into flat areas and cost bytes.
    cover = Image.Quantize.MAXCOVERAGE
    few = flat.quantize(COLOURS, method=cover, kmeans=1, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode("ascii")


def disagreement(source: Path, product: Path) -> str | None:
    """Compare a stored notebook with its source: kind, id, text, tags and folding of every cell.

    Args:
        source: the percent-format file.
        product: the notebook that should have been built from it.

    Returns:
        One line that names the first difference, or None.
    """
    if not product.exists():
        return f"{product.name} was not built"
    edition = "student" if product.parent.name == STUDENT else "checked"
    wanted = [_essence(cell) for cell in read_source(source, edition).cells]
    found = [_essence(cell) for cell in nbformat.read(product, as_version=4).cells]
    if len(wanted) != len(found):
        return f"{product.name} has {len(found)} cells, its source {len(wanted)}"
    differing = [n for n, pair in enumerate(zip(wanted, found, strict=True)) if pair[0] != pair[1]]
    return f"{product.name}: cell {differing[0]} differs from its source" if differing else None


def _essence(cell: NotebookNode) -> tuple[str, str, str, str]:
    kept = {key: cell.metadata.get(key) for key in ("tags", "jupyter")}
    return cell.cell_type, cell.id, cell.source, repr(kept)


def build(source: Path, product: Path) -> None:
    """Run a source and store the checked edition; keep the old one if a cell fails.

    Args:
        source: the percent-format file.
        product: the notebook to write; it is replaced in one step.

    Raises:
        BuildError: a cell failed.
    """
    write_file(product, nbformat.writes(run(read_source(source), source.stem)))


def build_student(source: Path, product: Path) -> None:
    """Store the student edition, which nobody has run."""
    product.parent.mkdir(exist_ok=True)
    write_file(product, nbformat.writes(read_source(source, "student")))


def main(arguments: list[str] | None = None) -> int:
    """Build or check the named notebooks, or all of them.

    Returns:
        0; 1 if a notebook failed or differs from its source; 2 for an unknown name.
    """
    parser = argparse.ArgumentParser(description="Build the notebooks from notebooks/source.")
    parser.add_argument("names", nargs="*", help="for example 02_moe_layer or 02; default: all")
    parser.add_argument("--student", action="store_true", help="only the student editions")
    parser.add_argument(
        "--check", action="store_true", help="only name those that are not up to date"
    )
    options = parser.parse_args(arguments)
    sources = sorted((HERE / "source").glob("*.py"))
    for name in options.names:
        if not any(source.stem.startswith(name) for source in sources):
            print(
                f"no notebook {name}; there are {' '.join(s.stem for s in sources)}",
                file=sys.stderr,
            )
            return 2
    chosen = [s for s in sources if not options.names or s.stem.startswith(tuple(options.names))]
    if options.check:
        return max([_compare(source) for source in chosen], default=0)
    return max([_build(source, student=options.student) for source in chosen], default=0)


def _compare(source: Path) -> int:
    name = f"{source.stem}.ipynb"
    complaints = [disagreement(source, folder / name) for folder in (HERE, HERE / STUDENT)]
    for complaint in filter(None, complaints):
        print(f"{complaint}; run: make notebooks", file=sys.stderr)
    return 1 if any(complaints) else 0


def _build(source: Path, *, student: bool) -> int:
    product = HERE / f"{source.stem}.ipynb"
    build_student(source, HERE / STUDENT / product.name)
    if student:
        return 0
    start = time.perf_counter()
    try:
        build(source, product)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    seconds, size = time.perf_counter() - start, product.stat().st_size / 1000
    print(f"{product.name}: {seconds:.0f} s, {size:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
