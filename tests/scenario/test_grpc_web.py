"""gRPC-Web, as browsers speak it: the end of a call stands in the body."""

from base64 import b64encode
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from penstock.core.snapshot import Match, Outlier, RequestLog
from penstock.dataplane.board.layout import L_FAILURES
from penstock.wire.grpc_messages import encode_message
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import post
from tests.harness.worker import Worker
from tests.harness.world import Address, pool, route, world

pytestmark = pytest.mark.both_fronts

Start = Callable[..., Worker]

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"
QUESTION = encode_message(b"hello")
REPLY = encode_message(b"HELLO")


def call(worker: Worker, kind: str, body: bytes = QUESTION) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer."""
    client = worker.connect()
    fields = (f"Content-Type: {kind}", "X-Grpc-Web: 1", f"Content-Length: {len(body)}")
    client.send(post(*fields, body=body, target="/shop.Cart/Add"))
    answer = client.read_response("POST")
    return answer.status, answer.headers["content-type"], answer.body


def trailers(lines: bytes) -> bytes:
    return b"\x80" + len(lines).to_bytes(4, "big") + lines


def test_calls_pass_and_their_status_is_read(
    start: Start, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(
        world(
            pool(endpoint, outlier=Outlier(enabled=False)),
            request_log=RequestLog("file", str(log)),
        )
    )
    replies: list[Answer] = []
    endpoint.answer = lambda request: replies[-1]
    read = []
    for kind, chunked, status in product((BINARY, TEXT), (True, False), (0, 9, 14)):
        end = trailers(b"grpc-status: %d\r\ngrpc-message: why\r\n" % status)
        parts = (REPLY, end) if kind == BINARY else (b64encode(REPLY), b64encode(end))
        told = (("Content-Type", kind),)
        replies.append(
            Answer(headers=told, body=b"".join(parts), chunks=parts if chunked else None)
        )
        assert call(worker, kind) == (200, kind, b"".join(parts))
        assert endpoint.last.body == QUESTION
        read.append(status)
    assert [line["grpc_status"] for line in lines_of(log, len(read))] == read
    worker.wait_until_published()
    assert worker.load(endpoint, L_FAILURES) == read.count(14)


def test_status_in_the_head_is_read_too(
    start: Start, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    endpoint.answer = lambda request: Answer(
        headers=(("Content-Type", BINARY), ("grpc-status", "8"))
    )
    log = tmp_path / "log.jsonl"
    worker = start(world(pool(endpoint), request_log=RequestLog("file", str(log))))
    assert call(worker, BINARY)[0] == 200
    (line,) = lines_of(log, 1)
    assert line["grpc_status"] == 8


def test_errors_of_ours_stand_in_the_body(start: Start, refusing: Address) -> None:
    worker = start(world(pool(refusing)))
    end = trailers(b"grpc-status:14\r\ngrpc-message:the endpoint failed before it answered\r\n")
    assert call(worker, "application/grpc-web") == (200, BINARY, end)
    assert call(worker, BINARY) == (200, BINARY, end)
    assert call(worker, TEXT) == (200, "application/grpc-web-text+proto", b64encode(end))


def test_calls_without_a_route_are_unimplemented(start: Start, endpoint: HttpEndpoint) -> None:
    only = route("main", match=Match(path_kind="prefix", path="/other"))
    _, _, body = call(start(world(pool(endpoint), routes=[only])), BINARY)
    assert body.startswith(b"\x80")
    assert b"grpc-status:12\r\n" in body
