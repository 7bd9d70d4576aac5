"""A browser's WebSocket over TLS and HTTP/2, where it uses extended CONNECT (RFC 8441)."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.core.snapshot import Match, RequestLog
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.log import lines_of
from tests.harness.waiting import wait_until
from tests.harness.websocket_endpoint import WebSocketEndpoint
from tests.harness.websocket_over_http2 import Http2WebSocketEndpoint
from tests.harness.worker import Worker
from tests.harness.world import at, listener, pool, route, world
from tests.scenario.certificates import Authority

# As root and in a container, alone, and without asking its maker anything.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--ignore-certificate-errors",
)
STARTS_WITHIN_S = 120.0
LENGTH = 300_000  # of a text, over every window
PAGE = """<!doctype html><title>echo</title><script>
const got = [];
const socket = new WebSocket(`wss://${location.host}/echo`, ["chat", "secret.of.client"]);
socket.binaryType = "arraybuffer";
socket.onopen = () => {
  socket.send("hello");
  socket.send(new Uint8Array([0, 255, 128]));
  socket.send("x".repeat(LENGTH));
};
socket.onmessage = ({data}) => {
  got.push(typeof data === "string" ? (data.length > 99 ? data.length : data)
                                    : Array.from(new Uint8Array(data)));
  if (got.length === 3) socket.close(1000, "enough");
};
socket.onclose = ({code, wasClean}) => {
  const {protocol, extensions} = socket;
  const spoken = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  const body = JSON.stringify({got, code, wasClean, protocol, extensions, spoken});
  fetch("/report", {method: "POST", body});
};
</script>""".replace("LENGTH", str(LENGTH))


def browser() -> str:
    found = shutil.which("chromium")
    assert found is not None, "no browser is installed: `make browser` installs Debian's Chromium"
    return found


@contextmanager
def visit(url: str, directory: Path) -> Iterator[None]:
    """A browser that shows that page."""
    command = [browser(), *OPTIONS, f"--user-data-dir={directory / 'profile'}", url]
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def echo(connection: Any) -> None:
    for message in connection:
        connection.send(message)


@pytest.mark.parametrize("spoken", ["http1", "http2"])
def test_a_browsers_websocket_passes_over_http2(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path, spoken: str
) -> None:
    def answer(request: Recorded) -> Answer:
        return Answer(body=PAGE.encode(), headers=(("Content-Type", "text/html"),))

    endpoint.answer = answer
    certificate = Authority(tmp_path).issue("localhost", "127.0.0.1")
    log = tmp_path / "log.jsonl"
    with Http2WebSocketEndpoint(echo) if spoken == "http2" else WebSocketEndpoint(echo) as echoing:
        chat = pool(at(echoing, http2=spoken == "http2"), name="chat")
        worker = start(
            world(
                pool(endpoint),
                chat,
                routes=[
                    route("chat", match=Match(path_kind="exact", path="/echo")),
                    route("main"),
                ],
                listeners=[listener(certificates=(certificate,))],
                request_log=RequestLog("file", str(log)),
            )
        )
        with visit(f"https://localhost:{worker.address()[1]}/", tmp_path):
            wait_until(
                lambda: any(each.target == "/report" and each.whole for each in endpoint.requests),
                f"the browser told how it went; see {tmp_path / 'browser.log'}",
                timeout_s=STARTS_WITHIN_S,
            )
    [report] = [json.loads(each.body) for each in endpoint.requests if each.target == "/report"]
    assert report["got"] == ["hello", [0, 255, 128], LENGTH]
    assert (report["code"], report["wasClean"], report["protocol"]) == (1000, True, "chat")
    assert "permessage-deflate" in report["extensions"]
    assert report["spoken"] == "h2"
    worker.stop()
    lines = lines_of(log, len(log.read_text().splitlines()))
    [line] = [each for each in lines if each["target"] == "/echo"]
    assert (line["protocol"], line["status"], line["end"]) == ("http/2", 101, "done")
    assert "secret.of.client" not in log.read_text()
