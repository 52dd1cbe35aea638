"""A headless Chromium for tests of HTML pages, driven over HTTP by chromedriver (W3C WebDriver), without a library.

    with chromium() as browser:
        browser.show(path, width=400, dark=True)
        assert browser.problems() == []
        browser.run("document.querySelector('button').click()")

Debian and Ubuntu: ``apt-get install chromium chromium-driver``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

_DRIVERS, _BROWSERS = ("chromedriver",), ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")

# Texts whose contrast with what is below them is lower than WCAG AA requires: 4.5, and 3 for large letters.
_LOW_CONTRAST = """
const channels = (text) => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
const over = (top, below) => [0, 1, 2].map((at) => top[3] * top[at] + (1 - top[3]) * below[at]).concat(1);
const light = (colour) => {
  const parts = colour.slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const ground = (element) => {
  if (!element) return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
  const own = channels(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, ground(element.parentElement));
};
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let count = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, style = getComputedStyle(element);
  if (!walker.currentNode.data.trim() || !element.getClientRects().length || style.visibility === "hidden") continue;
  if (["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const below = ground(element), [a, b] = [light(over(channels(style.color), below)), light(below)];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  count += 1;
  if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)} of "${walker.currentNode.data.trim()}"`);
}
return count ? found : ["no text"];
"""
_IMAGES_NOT_SHOWN = """
const images = [...document.images];
for (const image of images) image.loading = "eager";
await Promise.all(images.map((image) => image.decode().catch(() => null)));
return images.filter((image) => image.naturalWidth === 0).map((image) => `not shown: ${image.src}`);
"""
_OVERFLOW = """
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.querySelectorAll("body *")].filter((each) => each.getBoundingClientRect().right > width + 1)
  .slice(0, 5).map((each) => `wider than ${width} pixels: ${each.outerHTML.slice(0, 80)}`);
"""


class Chromium:
    """A browser with one page."""

    def __init__(self, driver: str, session: str):
        self._driver, self._session = driver, session

    def _send(self, path: str, **body: Any) -> Any:
        return _sent(f"{self._driver}/session/{self._session}{path}", body)

    def _tell(self, command: str, **parameters: Any) -> Any:
        return self._send("/goog/cdp/execute", cmd=command, params=parameters)

    def show(self, path: Path, *, width: int = 1600, height: int = 1000, dark: bool = False) -> None:
        """Open a file in a window of this size in pixels."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[scheme])
        self._send("/se/log", type="browser")  # what an earlier page wrote
        self._send("/url", url=path.absolute().as_uri())

    def resize(self, width: int, height: int = 1000) -> None:
        """Set the size of the page's window in pixels; windows of the system cannot be as narrow as a telephone."""
        size = dict(width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._tell("Emulation.setDeviceMetricsOverride", **size)

    def run(self, script: str) -> Any:
        """Return what a JavaScript function with this body returns. The body may use ``await``."""
        whole = f"const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done(String(error)));"
        return self._send("/execute/async", script=whole, args=[])

    def press(self, keys: str) -> None:
        """Press keys one after another. Special ones are characters of WebDriver: Tab is \\ue004, Enter \\ue007."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._send("/actions", actions=[{"type": "key", "id": "keyboard", "actions": steps}])

    def errors(self) -> list[str]:
        """Return the warnings and errors of the console since the last call, or since the page was opened."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._send("/se/log", type="browser")]

    def problems(self) -> list[str]:
        """Return what is wrong with the page as it is shown now.

        That is: errors of the console, images that are not shown, a page that is wider than its window, and texts with
        less contrast than WCAG AA requires.
        """
        return [*self.run(_IMAGES_NOT_SHOWN), *self.run(_OVERFLOW), *self.run(_LOW_CONTRAST), *self.errors()]

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG file, at most 8000 pixels high."""
        size = self.run("const page = document.documentElement; return [page.clientWidth, page.scrollHeight];")
        clip = dict(x=0, y=0, width=size[0], height=min(size[1], 8000), scale=1)
        shot = self._tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))


def _sent(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["value"]


def _program(names: tuple[str, ...]) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed (Debian: apt-get install chromium chromium-driver)")
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Chromium]:
    """Start a browser, and end it after the block. The test is skipped where none is installed."""
    browser, driver = _program(_BROWSERS), _program(_DRIVERS)
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            address = f"http://localhost:{_port(process)}"
            options = {"binary": browser, "args": list(_OPTIONS)}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "WARNING"}}
            session = _sent(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            try:
                yield Chromium(address, session)
            finally:
                _sent(f"{address}/session/{session}", method="DELETE")
        finally:
            process.terminate()


def _port(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if port := re.search(r"started successfully on port (\d+)", line):
            return port[1]
    raise RuntimeError("chromedriver did not start")
