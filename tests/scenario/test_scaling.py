"""A pool that has as many endpoints as its load needs, from none, with real processes."""

import sys
from pathlib import Path

from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

SERVER = """\
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.5)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_the_first_request_waits_for_an_endpoint_and_the_last_is_not_cut(
    serve: Serve, tmp_path: Path
) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    balancer = serve(
        {
            "workers": 1,
            "pools": {
                "main": {
                    "forecast": "off",
                    "admission": {"queue": {"while_down": "wait", "timeout": "30s"}},
                    "scale": {
                        "min": 0,
                        "max": 2,
                        "concurrency": 4,
                        "start_time": "1s",
                        "cool_down": "0s",
                        "idle": "1s",
                        "interval": "250ms",
                        "process": {
                            "command": [sys.executable, "-S", str(script), "{port}"],
                            "ports": "29300-29399",
                            "ready": "/",
                        },
                    },
                }
            },
        }
    )
    assert balancer.status()["ready"]
    assert balancer.status()["pools"][0]["endpoints"] == []

    first = balancer.connect().get("/slow")
    assert (first.status, first.body) == (200, b"ok")

    def is_empty() -> bool:
        scale = balancer.status()["pools"][0]["scale"]
        return bool(scale["actual"] == 0 and scale["draining"] == 0)

    wait_until(is_empty, "the pool is empty again")
    assert [e["message"] for e in balancer.events() if e["level"] in ("error", "bug")] == []
    assert balancer.connect().get("/").status == 200  # and once more from nothing
