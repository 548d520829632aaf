"""Build the notebooks from their sources: run each in a fresh kernel and store it.

python notebooks/build.py                build every notebook
python notebooks/build.py 02_moe_layer   build one (02 is enough)
python notebooks/build.py --check        name the notebooks that differ from their source
"""

import argparse
import base64
import hashlib
import io
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

HERE = Path(__file__).resolve().parent
COLOURS = 64  # of a stored picture; a quarter of the bytes of full colour
CELL_SECONDS = 300
# One thread gives the same digits everywhere. Another backend would draw into no notebook.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# A kernel would add the patch version of Python here, which would change the stored file.
LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}


class BuildError(Exception):
    """A cell failed; the message is one line with the notebook, the cell and the error."""


def read_source(path: Path) -> NotebookNode:
    """Read a percent-format source as a notebook that has not run.

    Args:
        path: a file `NN_name.py`.

    Returns:
        The notebook. A cell's id is a hash of its place and its text, so two builds agree.
    """
    cells = []
    for place, cell in enumerate(jupytext.read(path, fmt="py:percent").cells):
        new = (
            nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        )
        name = hashlib.sha256(f"{place}\n{cell.source}".encode()).hexdigest()[:8]
        tags = cell.metadata.get("tags", [])
        cells.append(new(cell.source, id=name, metadata={"tags": tags} if tags else {}))
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": dict(KERNEL), "language_info": dict(LANGUAGE)}
    )


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
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined([_tidied(output) for output in cell.outputs])
    return book


def _tidied(output: NotebookNode) -> NotebookNode:
    if output.output_type == "error":
        output.traceback = [f"{output.ename}: {output.evalue}"]
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _few_colours(output.data["image/png"])
    return output


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
    """Compare a stored notebook with its source: kind, id, text and tags of every cell.

    Args:
        source: the percent-format file.
        product: the notebook that should have been built from it.

    Returns:
        One line that names the first difference, or None.
    """
    if not product.exists():
        return f"{product.name} was not built"
    wanted = [_essence(cell) for cell in read_source(source).cells]
    found = [_essence(cell) for cell in nbformat.read(product, as_version=4).cells]
    if len(wanted) != len(found):
        return f"{product.name} has {len(found)} cells, its source {len(wanted)}"
    differing = [n for n, pair in enumerate(zip(wanted, found, strict=True)) if pair[0] != pair[1]]
    return f"{product.name}: cell {differing[0]} differs from its source" if differing else None


def _essence(cell: NotebookNode) -> tuple[str, str, str, tuple[str, ...]]:
    return cell.cell_type, cell.id, cell.source, tuple(cell.metadata.get("tags", []))


def build(source: Path, product: Path) -> None:
    """Run a source and store the notebook; keep the old one if a cell fails.

    Args:
        source: the percent-format file.
        product: the notebook to write; it is replaced in one step.

    Raises:
        BuildError: a cell failed.
    """
    book = run(read_source(source), source.stem)
    half = product.with_suffix(f".{os.getpid()}.tmp")
    try:
        half.write_text(nbformat.writes(book), encoding="utf-8")
        os.replace(half, product)
    finally:
        half.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Build or check the named notebooks, or all of them.

    Returns:
        0; 1 if a notebook failed or differs from its source; 2 for an unknown name.
    """
    parser = argparse.ArgumentParser(description="Build the notebooks from notebooks/source.")
    parser.add_argument("names", nargs="*", help="for example 02_moe_layer or 02; default: all")
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
    return max([_one(source, check=options.check) for source in chosen], default=0)


def _one(source: Path, *, check: bool) -> int:
    product = HERE / f"{source.stem}.ipynb"
    if check:
        complaint = disagreement(source, product)
        if complaint:
            print(f"{complaint}; run: make notebooks", file=sys.stderr)
        return 1 if complaint else 0
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
