"""A real JupyterLab on a free port, and one of its notebooks in a browser."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Page

from minimoe.cli.lab import quiet_environment

SECONDS = 120  # for a kernel that imports torch while other tests run


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """Serve a folder with JupyterLab; the address is yielded, and the server ends afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"port": port, "IdentityProvider.token": "", "ServerApp.disable_check_xsrf": True,
               "ServerApp.root_dir": folder, "LabApp.expose_app_in_browser": True}  # fmt: skip
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=quiet_environment(folder), stdout=log, stderr=log
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}/lab"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(SECONDS * 4):
        assert server.poll() is None, log.read_text()
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.25)
    raise AssertionError(f"no answer from {address}: {log.read_text()}")


class LabPage:
    """A notebook that is open in JupyterLab; cells are found by a part of their source."""

    def __init__(self, page: Page, address: str, name: str) -> None:
        self.page = page
        page.set_default_timeout(1000 * SECONDS)
        page.goto(f"{address}/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(
            """() => {
              const panel = window.jupyterapp.shell.currentWidget;
              const kernel = panel?.sessionContext?.session?.kernel;
              return kernel?.status === 'idle' && !panel.content.widgets.some(
                cell => cell.model.type === 'code' && cell.model.executionState === 'running');
            }"""
        )

    def index_of(self, part: str) -> int:
        """The place of the first cell whose source holds `part`."""
        found = self.page.evaluate(
            """part => window.jupyterapp.shell.currentWidget.content.widgets.findIndex(
                 cell => cell.model.sharedModel.source.includes(part))""",
            part,
        )
        assert found >= 0, f"no cell holds {part!r}"
        return int(found)

    def select(self, part: str) -> None:
        """Make a cell the active one and bring it into view."""
        self.page.evaluate(
            """async at => {
              const book = window.jupyterapp.shell.currentWidget.content;
              book.activeCellIndex = at;
              book.deselectAll();
              await book.scrollToItem(at, 'center');
              book.mode = 'command';
              book.node.focus();
            }""",
            self.index_of(part),
        )

    def write(self, part: str, source: str) -> None:
        """Replace a cell's source by typing into it, as a reader does."""
        self.select(part)
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Escape")

    def run(self, part: str) -> str:
        """Run one cell with the keyboard; return the text of its outputs."""
        self.select(part)
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_timeout(100)
        self.wait_until_idle()
        return self.output(part)

    def output(self, part: str) -> str:
        """The text of a cell's outputs."""
        return str(
            self.page.evaluate(
                """at => window.jupyterapp.shell.currentWidget.content.widgets[at].model.outputs
                     .toJSON().map(o => o.text ?? o.data?.['text/html'] ?? o.data?.['text/plain']
                     ?? `${o.ename}: ${o.evalue}`).map(t => Array.isArray(t) ? t.join('') : t)
                     .join('\\n')""",
                self.index_of(part),
            )
        )

    def screens(self) -> list[str]:
        """The text that can be seen on each screen, from the top of the notebook to its end."""
        cells = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
        )
        seen = []
        for at in range(cells):
            seen.append(
                self.page.evaluate(
                    """async at => {
                      const book = window.jupyterapp.shell.currentWidget.content;
                      await book.scrollToItem(at, 'start');
                      await new Promise(done => setTimeout(done, 60));
                      return book.node.innerText;
                    }""",
                    at,
                )
            )
        return seen
