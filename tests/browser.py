"""A page in a headless Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

MILLISECONDS = 30_000  # a browser that takes longer for one action has hung


@contextmanager
def chromium_page(width: int = 1100, height: int = 900) -> Iterator[tuple[Page, list[str]]]:
    """Open an empty page in the system's Chromium; without one the test is skipped.

    Yields:
        The page, and a list that collects what it must not do: errors, and requests for anything
        outside the file that is shown.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-proxy-server"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(MILLISECONDS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: _note(problems, said.type == "error", said.text))
        inside = ("file:", "data:", "about:")
        page.on("request", lambda sent: _note(problems, not sent.url.startswith(inside), sent.url))
        yield page, problems
        browser.close()


def _note(problems: list[str], is_problem: bool, text: str) -> None:
    if is_problem:
        problems.append(text)
