"""Spans of what workers tell, and a collector that gets them, is down, or refuses some."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from penstock.control.events import Events
from penstock.control.otlp import headers_of
from penstock.control.traces import collector
from penstock.control.traces.collector import SpanSender, refused_of
from penstock.control.traces.spans import MOST_SPANS, ToldAttempt, ToldRequest, spans_of
from penstock.core.snapshot import PolicyChoice, Pool, Snapshot, Traces
from tests.unit.control.waiting import PATIENCE_S, until

ATTEMPT = ToldAttempt("00000000000000a1", "e1", "192.0.2.9:80", 1.0, 0.5, 0.01, "reset", 0)
AGAIN = ToldAttempt("00000000000000a2", "e2", "[2001:db8::1]:80", 1.5, 2.5, 0.0, "done", 200)


def request(**others: object) -> ToldRequest:
    given: dict[str, Any] = {
        "trace": "0" * 31 + "1",
        "span": "00000000000000ff",
        "began": 1000.0,
        "took": 4.0,
        "queued": 0.75,
        "method": "POST",
        "path": "/v1/chat/completions",
        "host": "site.example",
        "version": "1.1",
        "client": "192.0.2.1",
        "id": "abc",
        "route": "all",
        "pool": "main",
        "status": 200,
        "end": "done",
        "why": "",
        "attempts": [ATTEMPT, AGAIN],
    }
    return ToldRequest(**{**given, **others})


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Of a span, as plain values."""
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def spans(told: ToldRequest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spans_of(told, {"main": "least-load"})
    return found


def test_a_request_has_a_span_for_itself_its_queue_and_each_attempt() -> None:
    server, queue, first, second = spans(request(parent="00000000000000ee"))
    assert [each["kind"] for each in (server, queue, first, second)] == [2, 1, 3, 3]
    assert server["parentSpanId"] == "00000000000000ee"
    assert {each["parentSpanId"] for each in (queue, first, second)} == {server["spanId"]}
    assert len({each["spanId"] for each in (server, queue, first, second)}) == 4
    assert server["startTimeUnixNano"] == "1000000000000"
    assert server["endTimeUnixNano"] == "1004000000000"
    assert (queue["startTimeUnixNano"], queue["endTimeUnixNano"]) == (
        "1000250000000",
        "1001000000000",
    )
    assert first["endTimeUnixNano"] == second["startTimeUnixNano"]


def test_an_attempt_says_where_it_went_by_which_policy_and_how_it_ended() -> None:
    _, _, first, second = spans(request())
    assert attributes(first)["penstock.endpoint"] == "e1"
    assert attributes(first)["penstock.policy"] == "least-load"
    assert (attributes(first)["server.address"], attributes(first)["server.port"]) == (
        "192.0.2.9",
        "80",
    )
    assert attributes(first)["error.type"] == "reset"
    assert first["status"]["code"] == 2
    assert attributes(second)["server.address"] == "2001:db8::1"
    assert attributes(second)["http.request.resend_count"] == "1"
    assert "status" not in second


@pytest.mark.parametrize(
    ("status", "end", "error"), [(503, "refused", "503"), (200, "cut", "cut"), (404, "done", "")]
)
def test_what_is_the_servers_fault_is_an_error(status: int, end: str, error: str) -> None:
    server = spans(request(status=status, end=end, why="because"))[0]
    assert attributes(server).get("error.type", "") == error
    assert server.get("status", {}).get("code", 0) == (2 if error else 0)


def test_tokens_and_models_stand_once_at_the_attempt_that_answered() -> None:
    told = request(
        asked="fast",
        model="llama",
        input_tokens=10,
        cached_tokens=-1,
        output_tokens=3,
        first_token=0.25,
        finish="stop",
    )
    server, _, first, second = spans(told)
    assert second["name"] == "chat llama"
    found = attributes(second)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == ("10", "3")
    assert found["gen_ai.operation.name"] == "chat"
    assert found["penstock.time_to_first_token"] == 0.25
    assert "gen_ai.usage.cache_read.input_tokens" not in found
    assert "gen_ai.usage.output_tokens" not in {**attributes(first), **attributes(server)}
    assert attributes(server)["gen_ai.request.model"] == "fast"


class Collector:
    """Answers with what the test wants, and keeps what it got."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []  # then 200
        self.got: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.url = ""

    async def take(self, asked: web.Request) -> web.Response:
        assert asked.content_type == "application/json"
        self.headers = dict(asked.headers)
        self.got.append(json.loads(await asked.read()))
        status, body = self.answers.pop(0) if self.answers else (200, "{}")
        return web.Response(status=status, text=body)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def sender(events: Events, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SpanSender]:
    monkeypatch.setattr(collector, "_PAUSE_S", 0.01)
    monkeypatch.setattr(collector, "_FIRST_BACK_OFF_S", 0.01)
    made = SpanSender(events)
    monkeypatch.setattr(collector, "_LAST_S", 0.1)
    yield made
    await made.close()


def to(url: str, headers_file: str = "") -> Snapshot:
    policy = PolicyChoice(name="round-robin")
    return Snapshot(
        generation=1,
        listeners=(),
        routes=(),
        pools=(Pool(name="main", endpoints=(), policy=policy),),
        traces=Traces(url, service_name="shop", headers_file=headers_file),
    )


def message(count: int = 1, dropped: int = 0) -> dict[str, object]:
    requests = [msgspec.to_builtins(request()) for _ in range(count)]
    return {"kind": "traces", "requests": requests, "dropped": dropped}


@pytest.mark.asyncio
async def test_a_collector_gets_them_with_headers_of_a_file(
    receiver: Collector, sender: SpanSender, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    file.write_text("# of the collector\nAuthorization: Bearer abc\n")
    sender.configure(to(receiver.url, str(file)))
    sender.take(message(2))
    await until(lambda: sender.sent == 8, "all were sent")
    (export,) = receiver.got
    (resource,) = export["resourceSpans"]
    assert attributes(resource["resource"])["service.name"] == "shop"
    (scope,) = resource["scopeSpans"]
    assert len(scope["spans"]) == 8
    assert receiver.headers["Authorization"] == "Bearer abc"
    assert sender.dropped == 0


@pytest.mark.asyncio
async def test_a_batch_is_sent_once_more_where_that_may_help(
    receiver: Collector, sender: SpanSender, events: Events
) -> None:
    receiver.answers = [(503, ""), (429, "")]
    sender.configure(to(receiver.url))
    sender.take(message())
    await until(lambda: sender.sent == 4, "they were taken in the end")
    assert receiver.got[0] == receiver.got[1] == receiver.got[2]
    assert [each.kind for each in events.recent(9)].count("traces.failing") == 1


@pytest.mark.asyncio
async def test_what_would_be_refused_again_is_dropped_and_counted(
    receiver: Collector, sender: SpanSender
) -> None:
    receiver.answers = [(400, ""), (200, '{"partialSuccess": {"rejectedSpans": "3"}}')]
    sender.configure(to(receiver.url))
    sender.take(message())
    await until(lambda: sender.dropped == 4, "a batch was dropped")
    sender.take(message())
    await until(lambda: sender.sent == 1, "the rest was sent")
    assert sender.dropped == 7


@pytest.mark.asyncio
async def test_a_collector_that_is_down_costs_no_more_than_what_has_room(
    sender: SpanSender,
) -> None:
    sender.configure(to("http://127.0.0.1:1"))
    sender.take(message(3000, dropped=5))
    kept = (8192 - MOST_SPANS) // 4 + 1  # each has four spans, and might have had more
    assert sender.dropped == 5 + 3000 - kept


@pytest.mark.asyncio
async def test_at_the_end_what_waits_is_sent(
    receiver: Collector, sender: SpanSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_PAUSE_S", 1000.0)
    monkeypatch.setattr(collector, "_LAST_S", PATIENCE_S)
    sender.configure(to(receiver.url))
    sender.take(message())
    await sender.close()
    assert sender.sent == 4


@pytest.mark.asyncio
async def test_halves_of_surrogate_pairs_in_what_clients_choose_harm_nobody(
    receiver: Collector, sender: SpanSender
) -> None:
    told = msgspec.structs.replace(request(), model="a\ud800", asked="\udfff", why="\ud800")
    sender.configure(to(receiver.url))
    sender.take({"requests": [msgspec.to_builtins(told)], "dropped": 0})
    await until(lambda: sender.sent == 4, "they were taken")
    assert "chat a?" in json.dumps(receiver.got)


def test_lines_of_a_headers_file_that_are_none_are_told(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("A: b\nnonsense\n")
    with pytest.raises(ValueError, match="line 2: write"):
        headers_of(str(file))
    assert headers_of("") == {}


@pytest.mark.parametrize("said", [b"", b"{}", b"\x0a\x00", b"[]", b'{"partialSuccess": {}}'])
def test_an_answer_that_refuses_none(said: bytes) -> None:
    assert refused_of(said) == 0
