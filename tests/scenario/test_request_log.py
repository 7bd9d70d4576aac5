"""The request log: one line of JSON for each request, whatever was in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.core.snapshot import FixedResponse, Match, RequestLog
from tests.harness.endpoint import refuse_connections
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, listener, pool, route, world


def lines_of(log: Path, count: int) -> list[dict[str, Any]]:
    """The first lines, once they are written."""
    wait_until(lambda: len(log.read_bytes().splitlines()) >= count, f"{count} lines are written")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_line_says_who_asked_for_what_and_how_it_ended(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    routes = [
        route(
            name="gone", match=Match(path_kind="exact", path="/gone"), respond=FixedResponse(410)
        ),
        route("main"),
    ]
    worker = start(
        world(
            pool(endpoint),
            routes=routes,
            listeners=[listener(trusted_proxies=("127.0.0.1",))],
            request_log=RequestLog("file", str(log)),
        )
    )
    client = worker.connect()
    answer = client.get("/one?two", "X-Request-ID: abc-1")
    client.get("/one?two", "X-Request-ID: abc-1")
    client.get("/gone")
    first, second, gone = lines_of(log, 3)
    assert first["id"] == second["id"] == "abc-1"
    assert (first["client"], first["method"], first["target"]) == ("127.0.0.1", "GET", "/one?two")
    assert (first["route"], first["pool"], first["endpoint"]) == ("main", "main", endpoint.name)
    assert (first["status"], first["attempts"], first["end"]) == (200, 1, "done")
    assert first["bytes"] > len(answer.body)
    assert first["t_connect"] > 0.0
    assert second["t_connect"] == -1.0
    assert 0.0 < second["t_first_byte"] <= second["t_total"]
    assert (gone["pool"], gone["endpoint"], gone["status"]) == ("-", "-", 410)
    assert gone["t_first_byte"] == -1.0


def test_what_clients_send_cannot_break_a_line(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    listeners = [listener(trusted_proxies=("127.0.0.1",))]
    worker = start(
        world(pool(endpoint), listeners=listeners, request_log=RequestLog("file", str(log)))
    )
    client = worker.connect()
    target = '/"},{"status":200/\\u0000'
    client.send(get(target))
    client.read_response()
    client.get("/", 'X-Request-ID: a"b\\c')
    client.get("/", 'X-Forwarded-For: 9.9.9.9","status":999}\\\xe9')
    first, second, third = lines_of(log, 3)
    assert first["target"] == target
    assert second["end"] == "done"
    assert (third["client"], third["status"]) == ('"status":999}\\\xe9', 200)


def test_a_line_says_why_a_request_was_refused(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    with refuse_connections() as nobody:
        dead = pool(Address(nobody.getsockname()[1]), name="dead", retry=NEVER_REPEAT)
        worker = start(
            world(
                pool(endpoint),
                dead,
                routes=[route("dead", match=Match(path_kind="exact", path="/dead")), route("main")],
                request_log=RequestLog("file", str(log)),
            )
        )
        client = worker.connect()
        client.get("/dead")
        client.get("/")
        refused, done = lines_of(log, 2)
    assert (refused["status"], refused["end"]) == (502, "refused")
    assert "ECONNREFUSED" in refused["why"]
    assert "why" not in done
