"""Export the notebooks as HTML pages that need no network: formulas become MathML.

python notebooks/pages.py DIR       write one page for each notebook into DIR
"""

import re
import sys
from html import escape
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter

from minimoe.files import usable_folder, write_file

HERE = Path(__file__).resolve().parent
# A code block or a code span (left as it is), or a formula between one or two dollar signs.
FORMULA = re.compile(r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+?(?:\n[^$\n]+?)?)\$", re.S)


def with_mathml(markdown: str) -> str:
    """Replace the formulas of a text cell by MathML, which browsers draw by themselves.

    `with_mathml("$x$")` starts with `<math`; a dollar sign inside code stays.
    """

    def one(found: re.Match[str]) -> str:
        code, block, inline = found.groups()
        if code is not None:
            return code
        display = "block" if block is not None else "inline"
        return str(convert(" ".join((block or inline).split()), display=display))

    return FORMULA.sub(one, markdown)


def page(notebook: Path) -> str:
    """One notebook as an HTML page without a script or a style from elsewhere.

    Links to other notebooks lead to their pages.
    """
    book = nbformat.read(notebook, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"(\]\([\w-]+)\.ipynb\b", r"\1.html", with_mathml(cell.source))
    html, _ = HTMLExporter(template_name="lab").from_notebook_node(
        book, resources={"metadata": {"name": notebook.stem}}
    )
    from_elsewhere = r'<script[^>]*src="https?:[^"]*"[^>]*>\s*</script>'
    mathjax = r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->"
    mermaid = r'<script type="module">(?:(?!</script>).)*https?:(?:(?!</script>).)*</script>'
    for pattern in (mathjax, from_elsewhere, mermaid):
        html = re.sub(pattern, "", html, flags=re.S)
    return with_alternative_texts(html, book)


def with_alternative_texts(html: str, book: nbformat.NotebookNode) -> str:
    """Give each picture the words that are stored with it; nbconvert's template drops them."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    words = iter([p.metadata.get("image/png", {}).get("alt", "a figure") for p in pictures])
    missing = r'alt="No description has been provided for this image"'
    return re.sub(missing, lambda _: f'alt="{escape(next(words))}"', html)


def main(folder: str) -> None:
    """Write a page for each checked notebook."""
    target = usable_folder(folder)
    for notebook in sorted(HERE.glob("*.ipynb")):
        write_file(target / f"{notebook.stem}.html", page(notebook))
    print(f"the pages are in {target}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python notebooks/pages.py DIR")
    main(sys.argv[1])
