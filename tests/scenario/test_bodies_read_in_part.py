"""Whatever form a body has, its model decides who answers, and what is not read is not changed."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from penstock.core.snapshot import Models, Pool, RequestLog
from tests.harness.client import Response
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import at, pool, world

Start = Callable[..., Worker]
ROUNDS = 3
CHAT = "/v1/chat/completions"
FORM = "multipart/form-data; boundary=----WebKitFormBoundaryX"
JSON = "application/json"


def engines(endpoint: HttpEndpoint, other: HttpEndpoint, **settings: Any) -> Pool:
    """The first serves the large model, which is also the best; the other one the small model."""
    names = Models(aliases={"best": {"large": 1.0}}, default=settings.pop("default", ""))
    members = (at(endpoint, models=("large",)), at(other, models=("small",)))
    return pool(*members, kind="llm", models=names, **settings)


def ask(
    worker: Worker, target: str, body: bytes, kind: str, *more: str, chunks: int = 0
) -> Response:
    fields = [f"Content-Type: {kind}", *more]
    with worker.connect() as client:
        if not chunks:
            request = post(*fields, f"Content-Length: {len(body)}", body=body, target=target)
            return client.request(request, "POST")
        pieces = [body[at : at + chunks] for at in range(0, len(body), chunks)]
        framed = b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])
        request = post(*fields, "Transfer-Encoding: chunked", body=b"", target=target)
        client.send(request)
        return client.request(framed + b"0\r\n\r\n", "POST")


def part(name: str, content: bytes, *, file: str = "") -> bytes:
    file = f'; filename="{file}"' if file else ""
    head = (
        f'------WebKitFormBoundaryX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    )
    return head.encode() + content + b"\r\n"


SOUND = part("file", b"RIFF\x00\xff\r\n--" * 30_000, file="a.wav")
END = b"------WebKitFormBoundaryX--\r\n"


def form(model: str, *, first: bool) -> bytes:
    named = part("model", model.encode())
    return (named + SOUND if first else SOUND + named) + part("language", b"en") + END


@pytest.mark.parametrize("chunks", [0, 50_000])
@pytest.mark.parametrize("first", [True, False])
def test_a_form_goes_where_its_model_is(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, first: bool, chunks: int
) -> None:
    worker = start(world(engines(endpoint, other_endpoint)))
    target = "/v1/audio/transcriptions"
    for _ in range(ROUNDS):
        sent = form("small", first=first)
        assert ask(worker, target, sent, FORM, chunks=chunks).status == 200
        assert other_endpoint.last.body == sent
        assert ask(worker, target, form("best", first=first), FORM, chunks=chunks).status == 200
        assert endpoint.last.body == form("large", first=first)
    answer = ask(worker, target, form("none", first=first), FORM, chunks=chunks)
    assert answer.status == 404
    assert json.loads(answer.body)["error"]["code"] == "model_not_found"
    assert len(endpoint.requests) == len(other_endpoint.requests) == ROUNDS


def test_a_file_is_not_awaited_when_the_model_stands_before_it(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(engines(endpoint, other_endpoint)))
    body = form("best", first=True)
    target = "/v1/audio/transcriptions"
    head = post(f"Content-Length: {len(body)}", f"Content-Type: {FORM}", target=target)
    with worker.connect() as client:
        client.send(head + body[:5000])
        wait_until(lambda: len(endpoint.requests) == 1, "the form was begun")
        assert client.request(body[5000:], "POST").status == 200
    assert endpoint.last.body == form("large", first=True)


def test_a_form_is_kept_within_the_bound_only(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    members = engines(endpoint, other_endpoint, prompt_bytes=100_000)
    worker = start(world(members, request_log=RequestLog("file", str(log))))
    sent = form("small", first=False)
    assert ask(worker, "/v1/audio/transcriptions", sent, FORM).status == 200
    assert lines_of(log, 1)[0]["unread"] == "no model was found in the form"
    assert [*endpoint.requests, *other_endpoint.requests][0].body == sent


def chat(model: str, length: int = 400) -> bytes:
    prompt = [{"role": "user", "content": "x" * length}]
    return json.dumps({"model": model, "messages": prompt}).encode()


def zstd(data: bytes) -> bytes:
    module = pytest.importorskip("backports.zstd")
    return bytes(module.compress(data))


def brotli(data: bytes) -> bytes:
    return bytes(pytest.importorskip("brotli").compress(data))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd,
    "br": brotli,
}


@pytest.mark.parametrize("chunks", [0, 100])
@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("target", [CHAT, "/tokenize"])
def test_a_compressed_body_goes_where_its_model_is(
    start: Start,
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    target: str,
    coding: str,
    chunks: int,
) -> None:
    worker = start(world(engines(endpoint, other_endpoint)))
    field = f"Content-Encoding: {coding}"
    pack = PACKERS[coding]
    for _ in range(ROUNDS):
        packed = pack(chat("small"))
        assert ask(worker, target, packed, JSON, field, chunks=chunks).status == 200
        assert other_endpoint.last.body == packed  # as it came
        assert other_endpoint.last.headers["content-encoding"] == coding
        assert ask(worker, target, pack(chat("best")), JSON, field, chunks=chunks).status == 200
        assert json.loads(endpoint.last.body) == json.loads(chat("large"))
        assert "content-encoding" not in endpoint.last.headers
    if target == CHAT:
        assert ask(worker, target, pack(chat("none")), JSON, field, chunks=chunks).status == 404


@pytest.mark.parametrize("coding", PACKERS)
def test_a_bomb_is_refused_and_costs_its_bound(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, coding: str
) -> None:
    worker = start(world(engines(endpoint, other_endpoint, prompt_bytes=1_000_000)))
    bomb = PACKERS[coding](chat("small", 100_000_000))
    before = worker.memory_bytes("VmHWM")
    assert ask(worker, CHAT, bomb, JSON, f"Content-Encoding: {coding}").status == 413
    assert worker.memory_bytes("VmHWM") - before < 30_000_000
    assert ask(worker, CHAT, chat("small"), JSON).status == 200


def test_a_coding_that_is_not_read_is_refused_where_models_are_told_apart(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(engines(endpoint, other_endpoint)))
    answer = ask(worker, CHAT, b"...", JSON, "Content-Encoding: compress")
    assert answer.status == 415
    assert answer.headers["accept-encoding"].startswith("gzip, deflate")
    assert (
        ask(worker, "/v1/files", b"...", "text/plain", "Content-Encoding: compress").status == 200
    )


def test_it_passes_where_they_are_not(start: Start, endpoint: HttpEndpoint, tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = start(world(pool(endpoint, kind="llm"), request_log=RequestLog("file", str(log))))
    assert ask(worker, CHAT, b"...", JSON, "Content-Encoding: compress").status == 200
    assert endpoint.last.body == b"..."
    assert ask(worker, CHAT, b"no gzip", JSON, "Content-Encoding: gzip").status == 200
    first, second = lines_of(log, 2)
    assert first["unread"] == "the body is compressed (compress), which is not read"
    assert second["unread"].startswith("the body's content coding is broken")


@pytest.mark.parametrize("chunks", [0, 50_000])
def test_of_a_body_over_the_bound_the_model_at_the_front_counts(
    start: Start,
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    tmp_path: Path,
    chunks: int,
) -> None:
    log = tmp_path / "log"
    members = engines(endpoint, other_endpoint, prompt_bytes=150_000)
    worker = start(world(members, request_log=RequestLog("file", str(log))))
    for _ in range(ROUNDS):
        sent = chat("small", 400_000)
        assert ask(worker, CHAT, sent, JSON, chunks=chunks).status == 200
        assert other_endpoint.last.body == sent
        assert ask(worker, CHAT, chat("best", 400_000), JSON, chunks=chunks).status == 200
        assert endpoint.last.body == chat("large", 400_000)
    assert ask(worker, CHAT, chat("none", 400_000), JSON, chunks=chunks).status == 404
    assert lines_of(log, 1)[0]["unread"] == "the body has over 150000 bytes"


@pytest.mark.parametrize("chunks", [0, 90])
def test_a_byte_order_mark_is_read_over_and_stays(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, chunks: int
) -> None:
    worker = start(world(engines(endpoint, other_endpoint)))
    mark = b"\xef\xbb\xbf"
    for _ in range(ROUNDS):
        assert ask(worker, CHAT, mark + chat("small"), JSON, chunks=chunks).status == 200
        assert other_endpoint.last.body == mark + chat("small")
        assert ask(worker, CHAT, mark + chat("best"), JSON, chunks=chunks).status == 200
        assert json.loads(endpoint.last.body) == json.loads(chat("large"))


@pytest.mark.parametrize("default", ["small", "best"])
def test_what_names_no_model_asks_for_the_default(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, default: str
) -> None:
    worker = start(world(engines(endpoint, other_endpoint, default=default)))
    prompt = {"messages": [{"role": "user", "content": "hi"}]}
    for _ in range(ROUNDS):
        assert ask(worker, CHAT, json.dumps(prompt).encode(), JSON).status == 200
    asked, spared = (endpoint, other_endpoint) if default == "best" else (other_endpoint, endpoint)
    model = "large" if default == "best" else "small"
    assert json.loads(asked.last.body) == {"model": model, **prompt}
    assert spared.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answers", ["served", "asked"])
def test_answers_tell_the_name_of_the_model_that_was_chosen_for_them(
    start: Start,
    endpoint: HttpEndpoint,
    tmp_path: Path,
    stream: bool,
    answers: Literal["served", "asked"],
) -> None:
    said = {"id": "1", "model": "large", "choices": [{"message": {"content": '"model":"large"'}}]}
    told = json.dumps(said).encode()
    event = b"data: " + told + b"\n\ndata: [DONE]\n\n"
    endpoint.answer = lambda _: (
        Answer(chunks=(event[:20], event[20:]), headers=(("Content-Type", "text/event-stream"),))
        if stream
        else Answer(body=told, headers=(("Content-Type", JSON),))
    )
    names = Models(aliases={"best": {"large": 1.0}}, answers=answers)
    members = at(endpoint, models=("large",))
    log = tmp_path / "log"
    settings = world(
        pool(members, kind="llm", models=names), request_log=RequestLog("file", str(log))
    )
    worker = start(settings)
    for model in ("best", "large"):
        body = json.dumps({"model": model, "messages": [], "stream": stream}).encode()
        answer = ask(worker, CHAT, body, JSON)
        shown = model if answers == "asked" else "large"
        expected = json.dumps(said | {"model": shown}).encode()
        assert answer.body == (event.replace(told, expected) if stream else expected)
    first, second = lines_of(log, 2)
    assert (first["model"], first["asked"], second["model"]) == ("large", "best", "large")
    assert "asked" not in second
