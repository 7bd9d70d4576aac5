"""What a worker tells of requests that are traced, and what their endpoints are told."""

import re
from typing import Any

import msgspec
import pytest

from penstock.control.traces.spans import ToldRequest, spans_of
from penstock.core.snapshot import Admission, Queue, Retry, Snapshot, Traces
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.messages import answer_of, get
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.streaming import (
    DONE,
    HEAD,
    LAST,
    asking,
    chat,
    chunk,
    engines,
    event,
    token,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-00"
ALL = Traces("http://127.0.0.1:4318", sample=1.0)
NONE = Traces("http://127.0.0.1:4318", sample=0.0)


def traced(traces: Traces | None, *rows: int, trusts: bool = False) -> Snapshot:
    """A world with these endpoints, and a listener that believes its clients or does not."""
    pool = pool_of(*(rows or (0,)), retry=Retry(attempts=2))
    trusted = ("0.0.0.0/0", "::/0") if trusts else ()
    return world(pool, traces=traces, listeners=[listener(trusted_proxies=trusted)])


def forwarded(sent: bytes) -> list[str]:
    """All that the endpoint's head says of a trace."""
    return re.findall(r"(?im)^traceparent: (\S+)\r$", sent.decode())


def told(stage: Stage) -> list[dict[str, Any]]:
    tracer = stage.context.tracer
    assert tracer is not None
    return tracer.take()[0]


def exchanged(stage: Stage, *fields: str) -> list[str]:
    """One request and its answer; what its endpoint was told of a trace."""
    client = stage.client()
    stage.send(client, get("/a?key=secret", *fields))
    endpoint, sent = stage.asked()
    stage.send(endpoint, answer_of(b"hello"))
    stage.received(client)
    return forwarded(sent)


def test_without_traces_a_traceparent_passes_as_it_came() -> None:
    with Stage(traced(None)) as stage:
        assert exchanged(stage, SAMPLED) == [SAMPLED.partition(" ")[2]]
        assert exchanged(stage) == []
        assert stage.context.tracer is None


def test_the_endpoints_parent_is_the_span_of_the_attempt() -> None:
    with Stage(traced(ALL)) as stage:
        (value,) = exchanged(stage)
        (request,) = told(stage)
        (attempt,) = request["attempts"]
        assert value == f"00-{request['trace']}-{attempt['span']}-01"
        assert request["span"] != attempt["span"]
        assert "parent" not in request
        assert (attempt["endpoint"], attempt["outcome"], attempt["status"]) == ("e0", "done", 200)
        assert (request["path"], request["status"], request["end"]) == ("/a", 200, "done")


def test_a_trace_is_continued_below_the_clients_span() -> None:
    with Stage(traced(ALL)) as stage:
        (value,) = exchanged(stage, UNSAMPLED, "tracestate: a=1")
        (request,) = told(stage)
        assert (request["trace"], request["parent"]) == (TRACE, SPAN)
        assert value == f"00-{TRACE}-{request['attempts'][0]['span']}-01"


def test_the_state_of_a_trace_that_cannot_be_read_is_dropped_with_it() -> None:
    with Stage(traced(ALL)) as stage:
        client = stage.client()
        stage.send(client, get("/", "traceparent: 00-abc", "tracestate: a=1"))
        endpoint, sent = stage.asked()
        assert b"tracestate" not in sent.lower()
        assert len(forwarded(sent)) == 1
        stage.send(endpoint, answer_of(b""))


@pytest.mark.parametrize("trusts", [True, False])
def test_who_is_trusted_says_what_is_sampled_and_nobody_else(trusts: bool) -> None:
    with Stage(traced(NONE, trusts=trusts)) as stage:
        (value,) = exchanged(stage, SAMPLED)
        assert value.endswith("-01" if trusts else "-00")
        assert len(told(stage)) == int(trusts)
    with Stage(traced(ALL, trusts=trusts)) as stage:
        (value,) = exchanged(stage, UNSAMPLED)
        assert value.endswith("-00" if trusts else "-01")
        assert len(told(stage)) == int(not trusts)


def test_one_that_is_not_sampled_is_told_to_nobody() -> None:
    with Stage(traced(NONE)) as stage:
        assert exchanged(stage) == []
        assert told(stage) == []


def test_of_one_that_went_wrong_all_attempts_are_told_though_it_was_not_sampled() -> None:
    with Stage(traced(NONE, 0, 1)) as stage:
        for server in stage.servers:
            server.manner = "refuse"
        client = stage.client()
        stage.send(client, get())
        (request,) = told(stage)
        assert request["status"] == 502
        outcomes = [(each["endpoint"], each["outcome"]) for each in request["attempts"]]
        assert set(outcomes) == {("e0", "connect_failed"), ("e1", "connect_failed")}
        assert len({each["span"] for each in request["attempts"]}) == len(outcomes)


def test_one_that_took_long_is_told_though_it_was_not_sampled() -> None:
    slow = Traces("http://127.0.0.1:4318", sample=0.0, slower_than_s=2.0)
    with Stage(traced(slow)) as stage:
        stage.send(stage.client(), get())
        endpoint, _ = stage.asked()
        stage.pass_time(2.5)
        stage.send(endpoint, answer_of(b""))
        (request,) = told(stage)
        assert request["took"] >= 2.0


def test_more_than_there_is_room_for_are_dropped_and_counted() -> None:
    with Stage(traced(ALL)) as stage:
        tracer = stage.context.tracer
        assert tracer is not None
        while tracer.has_room():
            tracer.tell({})
        exchanged(stage)
        requests, dropped = tracer.take()
        assert (len(requests), dropped) == (500, 2)
        assert tracer.take() == ([], 0)


def test_what_clients_choose_is_told_in_part() -> None:
    with Stage(traced(ALL)) as stage:
        client = stage.client()
        stage.send(client, get("/" + "a" * 5000))
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b""))
        (request,) = told(stage)
        assert request["path"] == "/" + "a" * 1023


def test_what_others_say_of_traces_passes_unchanged() -> None:
    others = (
        "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678;Sampled=1",
        "b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
        "X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7",
        "X-B3-Sampled: 1",
    )
    with Stage(traced(ALL)) as stage:
        client = stage.client()
        stage.send(client, get("/", *others))
        endpoint, sent = stage.asked()
        for line in others:
            assert line.encode() in sent
        stage.send(endpoint, answer_of(b""))


def test_the_wait_in_the_queue_is_told() -> None:
    room = Admission(queue=Queue(length=2))
    pool = pool_of(member(0, max_in_flight=1), admission=room)
    with Stage(world(pool, traces=ALL)) as stage:
        for target in ("/first", "/second"):
            stage.send(stage.client(), get(target))
        stage.pass_time(1.5)
        for _ in range(2):
            endpoint, _ = stage.asked()
            stage.send(endpoint, answer_of(b""))
        requests = {each["path"]: each for each in told(stage)}
        assert requests["/first"]["queued"] == 0.0
        assert requests["/second"]["queued"] >= 1.5
        (attempt,) = requests["/second"]["attempts"]
        assert attempt["began"] >= 1.5


def test_of_a_language_model_its_name_and_tokens_are_told() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    with Stage(world(engines(0, usage="asked"), traces=ALL)) as stage:
        _, engine = asking(stage, chat(stream_options={"include_usage": True}))
        stage.send(engine, HEAD + chunk(token("a")) + chunk(token("b")))
        stage.send(engine, chunk(event(finish="stop", usage=usage)) + chunk(DONE) + LAST)
        (request,) = told(stage)
        assert (request["asked"], request["model"], request["finish"]) == ("m", "m", "stop")
        assert (request["input_tokens"], request["output_tokens"]) == (7, 2)
        msgspec.convert(request, ToldRequest)


def test_traces_that_are_turned_on_or_off_meanwhile_harm_no_request() -> None:
    with Stage(traced(ALL)) as stage:
        client = stage.client()
        stage.send(client, get())
        stage.apply(traced(None))
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(stage.received(client)) == 200
        stage.send(client, get())
        stage.apply(traced(ALL))
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(stage.received(client)) == 200
        (request,) = told(stage)
        assert (request["status"], request["attempts"]) == (200, [])


def test_what_is_told_can_be_read_by_the_supervisor() -> None:
    with Stage(traced(ALL)) as stage:
        exchanged(stage, SAMPLED)
        (request,) = told(stage)
        assert len(spans_of(msgspec.convert(request, ToldRequest), {"main": "p2c"})) == 2
