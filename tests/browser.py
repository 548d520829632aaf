"""A real browser without a window: a page is opened, pointed at, clicked, typed into, and read."""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websocket import WebSocket, create_connection

SECONDS = 60  # after which any one answer counts as missing: a hanging browser fails its test
FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync disable-dev-shm-usage "
    "disable-background-networking disable-component-update no-proxy-server mute-audio"
)
# Of keys on a keyboard; a character such as "." must have none, or it would be Delete (46).
CODES = {"Escape": 27, "Enter": 13, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
         "ArrowDown": 40, "End": 35, "Home": 36}  # fmt: skip


def chromium() -> str:
    """The path of the browser; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return found


class Browser:
    """One page of a browser, spoken to by the Chrome DevTools Protocol."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.problems: list[str] = []  # exceptions and requests that the page should not make
        self.hung = False
        self.session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Any:
        """Call a method and wait for its answer; what the page reports meanwhile is kept."""
        assert not self.hung, "the browser has hung before"  # so each further test fails at once
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        answer = self._until(lambda got: got.get("id") == number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _until(self, wanted: Any) -> Any:
        end = time.monotonic() + SECONDS
        self.hung = True  # unless it answers
        while time.monotonic() < end:
            got = json.loads(self.socket.recv())  # raises after SECONDS of silence
            self._note(got)
            if wanted(got):
                self.hung = False
                return got
        raise AssertionError(f"the browser did not answer within {SECONDS} s")

    def _note(self, got: Any) -> None:
        method, params = got.get("method"), got.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"]))
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.problems.append(f"a request to {url}")

    def open(self, path: Path, link: str = "", *, width: int = 1100, height: int = 900) -> None:
        """Open a file and wait until it is loaded."""
        self.size(width, height)
        self.send("Page.navigate", url="about:blank")  # another #link alone would load nothing
        self._until(lambda got: got.get("method") == "Page.loadEventFired")
        self.send("Page.navigate", url=path.as_uri() + link)
        self._until(lambda got: got.get("method") == "Page.loadEventFired")

    def size(self, width: int, height: int) -> None:
        """The size of the window, in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip

    def dark(self, on: bool) -> None:
        """Whether the reader's system is dark."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def read(self, expression: str) -> Any:
        """The value of an expression in the page, once its promise is kept if it is one."""
        got = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def settle(self) -> None:
        """Wait until the events that are waiting, such as a toggle, have been heard."""
        self.read("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")

    def texts(self, selector: str) -> list[str]:
        """The text of every element of that kind that is not hidden."""
        quoted = json.dumps(selector)
        return self.read(
            f"[...document.querySelectorAll({quoted})]"
            ".filter(node => node.checkVisibility()).map(node => node.textContent)"
        )

    def point_at(self, selector: str, nth: int = 0) -> tuple[float, float]:
        """Move the pointer to the middle of an element."""
        place = self.read(
            f"(() => {{ const node = document.querySelectorAll({json.dumps(selector)})[{nth}];"
            "node.scrollIntoView({block: 'center'}); const box = node.getBoundingClientRect();"
            "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        self._mouse("mouseMoved", place)
        return place

    def click(self, selector: str, nth: int = 0) -> None:
        """Press and release the left button over an element."""
        place = self.point_at(selector, nth)
        self._mouse("mousePressed", place, button="left", clickCount=1)
        self._mouse("mouseReleased", place, button="left", clickCount=1)

    def _mouse(self, kind: str, place: tuple[float, float], **more: Any) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **more)

    def press(self, *keys: str) -> None:
        """Press and release keys, such as "ArrowRight", "Shift+Enter" or "a"."""
        for key in keys:
            shift, key = key.startswith("Shift+"), key.removeprefix("Shift+")
            code = CODES.get(key) or (ord(key.upper()) if key.isalnum() else 0)
            about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
            text = key if len(key) == 1 else "\r" if key == "Enter" else ""
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            self.send("Input.dispatchKeyEvent", **down, **about)
            self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.press(*text)

    def picture(self, path: Path) -> None:
        """Save what the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with a new profile in `folder`; whatever happens, it is stopped.

    It listens on a port that the system chooses, on this machine only, and writes the port into
    its profile.
    """
    profile = folder / "profile"
    flags = [*(f"--{flag}" for flag in FLAGS.split()), f"--user-data-dir={profile}"]
    command = [chromium(), *flags, "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        socket = create_connection(
            _address(profile / "DevToolsActivePort", process),
            timeout=SECONDS,
            suppress_origin=True,
            http_no_proxy=["127.0.0.1"],
        )
        try:
            yield Browser(socket)
        finally:
            socket.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # all of its processes: the group is its own
        process.wait(SECONDS)


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        lines = file.read_text().split() if file.is_file() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise AssertionError(f"chromium did not start within {SECONDS} s")
