"""A client that did not ask for usage gets what the engine would have sent it, byte for byte."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from penstock.wire.content_coding import accepted_codings
from tests.harness.client import Response
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import post
from tests.harness.worker import Worker
from tests.harness.world import pool, world

pytestmark = pytest.mark.both_fronts

KIND = ("Content-Type", "text/event-stream")
TOKEN = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'
FINISH = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"
PLAIN = TOKEN * 2 + FINISH + DONE

Send = Callable[[Recorded, bytes], Answer]


def in_chunks(_: Recorded, stream: bytes) -> Answer:
    return Answer(chunks=(stream[:60], stream[60:]), headers=(KIND,))


def with_length(_: Recorded, stream: bytes) -> Answer:
    return Answer(body=stream, headers=(KIND,))


def of_no_type(_: Recorded, stream: bytes) -> Answer:
    return Answer(chunks=(stream,), headers=(("Content-Type", "text/plain"),))


def compressed_where_accepted(request: Recorded, stream: bytes) -> Answer:
    if "gzip" not in request.headers["accept-encoding"]:
        return in_chunks(request, stream)
    fields = (KIND, ("Content-Encoding", "gzip"))
    return Answer(chunks=(gzip.compress(stream),), headers=fields)


def compressed_always(_: Recorded, stream: bytes) -> Answer:
    packed = gzip.compress(stream)
    fields = (KIND, ("Content-Encoding", "gzip"))
    return Answer(chunks=(packed[:30], packed[30:]), headers=fields)


def compressed_with_length(_: Recorded, stream: bytes) -> Answer:
    return Answer(body=zlib.compress(stream), headers=(KIND, ("Content-Encoding", "deflate")))


SENDS = (
    in_chunks,
    with_length,
    of_no_type,
    compressed_where_accepted,
    compressed_always,
    compressed_with_length,
)


def telling(send: Send, usage: bytes = USAGE, plain: bytes = PLAIN) -> Callable[[Recorded], Answer]:
    def answer(request: Recorded) -> Answer:
        asked = b"include_usage" in request.body
        return send(request, plain.replace(DONE, usage + DONE) if asked else plain)

    return answer


def ask(worker: Worker, *, version: str = "1.1") -> Response:
    body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
    fields = (f"Content-Length: {len(body)}", "Accept-Encoding: gzip, deflate")
    request = post(*fields, body=body, target="/v1/chat/completions")
    with worker.connect() as client:
        return client.request(request.replace(b"HTTP/1.1", f"HTTP/{version}".encode()), "POST")


def read(answer: Response) -> bytes:
    coding = answer.headers.all("content-encoding")
    if coding == ["gzip"]:
        return gzip.decompress(answer.body)
    return zlib.decompress(answer.body) if coding else answer.body


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("send", SENDS)
def test_however_the_engine_sends_its_stream(
    start: Callable[..., Worker], endpoint: HttpEndpoint, send: Send, version: str
) -> None:
    endpoint.answer = telling(send)
    worker = start(world(pool(endpoint, kind="llm")))
    answers = [ask(worker, version=version) for _ in range(4)]
    assert [(answer.status, read(answer)) for answer in answers] == [(200, PLAIN)] * 4
    if send in (compressed_always, compressed_with_length, of_no_type):
        # What came unasked could not be read, so usage was never asked for.
        assert not any([b"include_usage" in request.body for request in endpoint.requests])
        return
    asked = [b"include_usage" in request.body for request in endpoint.requests]
    assert asked == [False, True, True, True]
    assert endpoint.last.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("send", [compressed_always, compressed_with_length, of_no_type])
def test_a_coding_that_comes_though_it_was_not_asked_for_is_taken_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint, send: Send
) -> None:
    endpoint.answer = telling(in_chunks)
    worker = start(world(pool(endpoint, kind="llm")))
    assert ask(worker).body == PLAIN
    endpoint.answer = telling(send)
    for version in ("1.1", "1.0"):
        answer = ask(worker, version=version)
        assert (answer.headers.all("content-encoding"), answer.body) == ([], PLAIN)
    assert b"include_usage" in endpoint.last.body


def test_usage_that_comes_unasked_stays(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    told = TOKEN + FINISH + USAGE + DONE
    endpoint.answer = lambda request: in_chunks(request, told)
    worker = start(world(pool(endpoint, kind="llm")))
    assert [ask(worker).body for _ in range(3)] == [told] * 3
    assert not any([b"include_usage" in request.body for request in endpoint.requests])


def test_what_the_wish_moves_goes_back(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """As vLLM 0.32 does with its fingerprint."""
    mark = b', "system_fingerprint": "vllm-0.32.0"}'
    plain = TOKEN + FINISH.replace(b"}\n\n", mark + b"\n\n") + DONE
    asked = TOKEN + FINISH + USAGE.replace(b"}\n\n", mark + b"\n\n") + DONE

    def answer(request: Recorded) -> Answer:
        return in_chunks(request, asked if b"include_usage" in request.body else plain)

    endpoint.answer = answer
    worker = start(world(pool(endpoint, kind="llm")))
    for _ in range(3):
        passed = ask(worker).body
        assert passed.replace(b',"system_fingerprint":', b', "system_fingerprint": ') == plain
    assert b"include_usage" in endpoint.last.body


def test_codings_that_need_a_package_are_listed_where_it_is() -> None:
    assert accepted_codings().startswith(b"gzip, deflate")
