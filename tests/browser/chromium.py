"""A page in headless Chromium, told what to do by the DevTools protocol."""

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.browser.test_websocket import OPTIONS, STARTS_WITHIN_S, browser
from tests.harness.waiting import PATIENCE_S, wait_until

_ANSWER_S = 60.0


class Page:
    """One page. ``logged`` is what it complained of: violations of its policy, and errors."""

    def __init__(self, connection: ClientConnection) -> None:
        self.logged: list[str] = []
        self._connection = connection
        self._number = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command, and its answer."""
        self._number += 1
        said = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(said))
        while True:
            message = json.loads(self._connection.recv(_ANSWER_S))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Log.entryAdded":
            entry = parameters["entry"]
            if entry["level"] == "error" and entry["source"] != "network":
                self.logged.append(entry["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.logged.append(details.get("exception", {}).get("description", str(details)))

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        given = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.do("Runtime.evaluate", **given)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def visit(self, url: str) -> None:
        self.do("Page.navigate", url=url)

    def wait_for(self, script: str, what: str) -> None:
        """Until the expression is true in the page."""
        wait_until(lambda: self.run(f"Boolean({script})") is True, what, timeout_s=PATIENCE_S)

    def look_like(self, width: int, height: int, *, scheme: str, phone: bool = False) -> None:
        """The size of its window, and whether light or dark is preferred."""
        scale = 2 if phone else 1
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.do("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str) -> None:
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        code = {"Enter": 13, "Escape": 27, "ArrowDown": 40}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            given = {"type": kind, "key": key, "windowsVirtualKeyCode": code}
            if text and kind == "keyDown":
                given["text"] = text
            self.do("Input.dispatchKeyEvent", **given)

    def screenshot(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.do("Page.captureScreenshot")["data"]))


@contextmanager
def opened(directory: Path) -> Iterator[Page]:
    """A browser with one empty page."""
    profile = directory / "profile"
    options = [*OPTIONS, "--remote-debugging-port=0", "--window-size=1440,900", "--lang=en-US"]
    command = [browser(), *options, f"--user-data-dir={profile}", "about:blank"]
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            told = profile / "DevToolsActivePort"
            wait_until(told.exists, "the browser runs", timeout_s=STARTS_WITHIN_S)
            wait_until(lambda: "\n" in told.read_text(), "its port is told")
            port = told.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                targets = json.load(answer)
            [target] = [each for each in targets if each["type"] == "page"]
            url = target["webSocketDebuggerUrl"]
            # No pings: a browser that draws on a busy machine may not answer them in time.
            with connect(
                url, max_size=None, compression=None, proxy=None, ping_interval=None
            ) as connection:
                yield Page(connection)
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def contrasts(page: Page) -> list[Any]:
    """Texts whose contrast with what they stand on is below WCAG's AA (1.4.3)."""
    found: list[Any] = page.run(CONTRASTS)
    return found


CONTRASTS = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const each of document.querySelectorAll("body *")) {
    const text = [...each.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!text.length || !each.checkVisibility()) continue;
    const [one, other] = [light(rgba(getComputedStyle(each).color)), light(ground(each))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) bad.push([each.className, text[0].data.trim(), ratio.toFixed(2)]);
  }
  return bad;
})()"""
