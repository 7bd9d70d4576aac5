"""Cut answers go on from another endpoint, and their clients see one stream."""

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from penstock.core.measure.histogram import BUCKETS
from penstock.core.snapshot import Drain, PoolTimeouts, RequestLog, Resume, Retry
from penstock.dataplane.board.layout import (
    P_CUT,
    P_KEPT_BYTES,
    P_NOT_RESUMED,
    P_RESUMED,
    P_SERVING_HISTOGRAMS,
    RESUME_REFUSALS,
    S_DRAINING,
)
from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.harness.messages import post
from tests.harness.world import world
from tests.unit.dataplane.stage.emulating import MODEL, PlayedEngine
from tests.unit.dataplane.stage.streaming import (
    DONE,
    HEAD,
    LAST,
    ROLE,
    Answered,
    asking,
    chat,
    chunk,
    engines,
    event,
    newest,
    token,
)
from tests.unit.dataplane.stage.watching import outcomes, watched

CUTS = 15  # each for every way, and form of an answer
RESUME = Resume()
BY_IDS = Resume(token_ids=True)
EXACT = Resume(token_ids=True, exact=True)
PATHS = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "messages": "/v1/messages",
}


def counted(stage: Stage, cell: int) -> int:
    return stage.pool().counters.values[cell]


def not_resumed(stage: Stage) -> list[str]:
    """Why answers were not gone on with."""
    values = stage.pool().counters.values
    return [
        why for at, why in enumerate(RESUME_REFUSALS) for _ in range(values[P_NOT_RESUMED + at])
    ]


def asked(api: str, **more: Any) -> bytes:
    body: dict[str, Any] = {"model": MODEL, "stream": True, **more}
    if api == "completion":
        body["prompt"] = "the water flows through the gate"
    else:
        body["messages"] = [{"role": "user", "content": "the water flows"}]
    data = json.dumps(body).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(data)}")
    return post(*fields, body=data, target=PATHS[api])


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def begun(stage: Stage, request: bytes = b"") -> tuple[Answered, End]:
    """A client that got two tokens, and the engine that sent them."""
    client, engine = asking(stage, request)
    stage.send(engine, HEAD + chunk(ROLE) + chunk(token("one")) + chunk(token(" two")))
    answered = Answered(stage, client)
    assert answered.text == "one two"
    return answered, engine


def cut(stage: Stage, engine: End) -> tuple[End, dict[str, Any]]:
    """Its connection breaks; who is asked for the rest, and what for."""
    engine.reset()
    stage.settle()
    _, other, request = newest(stage)
    return other, json.loads(body_of(request))


REST = (
    HEAD
    + chunk(event({"role": "assistant", "content": ""}, name="b"))
    + chunk(token(" three", "b"))
    + chunk(event(finish="stop", name="b"))
    + chunk(DONE)
    + LAST
)


@pytest.mark.parametrize(
    ("usage", "resume"),
    [("off", RESUME), ("hidden", RESUME), ("hidden", BY_IDS), ("off", EXACT)],
)
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize(
    "more", [{}, {"max_tokens": 50}, {"stream_options": {"include_usage": True}}]
)
def test_wherever_an_answer_is_cut_the_client_gets_the_same_bytes(
    usage: str, resume: Resume, api: str, more: dict[str, Any]
) -> None:
    rng = Random(f"{usage} {api} {more}")
    if resume is EXACT:
        more = {"max_tokens": 60, **more}  # else the model's room would have to be known
    if api == "messages":
        more = {"max_tokens": 50}
        if resume is EXACT:
            pytest.skip("this API tells no token ids")
    by_ids = resume.token_ids and "max_tokens" in more and api != "messages"
    with Stage(world(engines(0, 1, resume=resume, usage=usage))) as stage:
        request = asked(api, **more)
        whole = b""
        for number in range(CUTS):
            first, second = PlayedEngine("a"), PlayedEngine("b", created=2)
            client = stage.client(room=1 << 20)
            stage.send(client, request)
            answered = Answered(stage, client)
            _, engine, sent = newest(stage)
            events = first.events(PATHS[api], body_of(sent))
            data = b"".join(chunk(each) for each in events)
            # An emulated model ends with a token, and not by one of its own: between the last text
            # and the end that is told of it, another would say more.
            last = data.rindex(b"event: content_block_delta") if api == "messages" else len(data)
            at = len(data) if number == 0 else rng.randrange(len(chunk(events[0])), last)
            stage.send(engine, HEAD + data[:at])
            if number == 0:
                stage.send(engine, LAST)
                whole = answered.body
                assert answered.complete
                client.close()
                stage.settle()
                continue
            engine.reset()
            stage.settle()
            if not_resumed(stage):  # all of it came but the usage, which nobody else can tell
                assert whole.startswith(answered.body)
                assert data.index(b'"usage":{') > at > data.rindex(b'"finish_reason":"')
                stage.pool().counters.values[P_NOT_RESUMED + 1] = 0
                continue
            if not answered.complete:
                _, engine, sent = newest(stage)
                path = sent.split(b" ")[1].decode()
                assert path == PATHS["completion" if by_ids else api]
                rest = second.events(path, body_of(sent))
                stage.send(engine, HEAD + b"".join(chunk(each) for each in rest) + LAST)
            assert answered.body == whole, at
            assert b"token_ids" not in whole
            assert answered.complete
            client.close()
            stage.settle()
        assert counted(stage, P_RESUMED) > CUTS - 6
        assert counted(stage, P_KEPT_BYTES) == 0
        assert stage.context.prompt_bytes == 0


def test_the_rest_is_asked_for_as_engines_go_on() -> None:
    with Stage(world(watched(engines(0, 1, resume=RESUME)))) as stage:
        answered, engine = begun(stage, chat(max_tokens=10, temperature=0))
        other, request = cut(stage, engine)
        assert request == {
            "model": "m",
            "stream": True,
            "max_tokens": 8,
            "temperature": 0,
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "one two"},
            ],
            "continue_final_message": True,
            "add_generation_prompt": False,
        }
        stage.send(other, REST)
        assert answered.text == "one two three"
        assert {each["id"] for each in answered.events} == {"a"}
        assert [each["choices"][0]["finish_reason"] for each in answered.events].count("stop") == 1
        roles = [each for each in answered.events if each["choices"][0]["delta"].get("role")]
        assert len(roles) == 1
        assert answered.complete
        assert counted(stage, P_RESUMED) == 1
        assert counted(stage, P_CUT) == 0
        assert outcomes() == ["reset", "done"]


@pytest.mark.parametrize("when", ["with tokens", "alone"])
def test_an_error_that_an_engine_tells_is_a_cut(when: str) -> None:
    """vLLM's, whose core died: then [DONE], and a clean end."""
    told = b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'
    with Stage(world(watched(engines(0, 1, resume=RESUME)))) as stage:
        answered, engine = begun(stage)
        before = token(" 2b") if when == "with tokens" else b""
        engine.offer(chunk(before + told + DONE) + LAST)
        stage.settle()
        _, other, request = newest(stage)
        assert json.loads(body_of(request))["messages"][-1]["content"].startswith("one two")
        stage.send(other, REST)
        assert answered.text == ("one two 2b three" if before else "one two three")
        assert b"EngineCore" not in answered.body
        assert outcomes() == ["garbage", "done"]


def test_a_stalled_answer_is_a_cut() -> None:
    with Stage(world(engines(0, 1, resume=RESUME, token_s=2.0))) as stage:
        answered, engine = begun(stage)
        stage.pass_time(3.0)
        assert engine.dead or engine.ended
        _, other, _ = newest(stage)
        stage.send(other, REST)
        assert answered.text == "one two three"


def test_an_answer_may_be_cut_twice_and_no_more() -> None:
    with Stage(world(engines(0, 1, 2, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        for number in range(2):
            engine, _ = cut(stage, engine)
            stage.send(engine, HEAD + chunk(token(f" {number}", "b")))
        engine.reset()
        stage.settle()
        assert answered.text == "one two 0 1"
        assert not answered.complete
        assert not_resumed(stage) == ["max_resumes"]
        assert counted(stage, P_CUT) == 1


def test_who_refuses_to_go_on_is_passed_over() -> None:
    refusal = b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno"
    with Stage(world(engines(0, 1, 2, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        other, _ = cut(stage, engine)
        stage.send(other, refusal)
        _, third, _ = newest(stage)
        stage.send(third, REST)
        assert answered.text == "one two three"


def test_an_answer_that_was_whole_needs_nobody_to_go_on() -> None:
    with Stage(world(engines(0, 1, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        stage.send(engine, chunk(event(finish="stop")))
        engine.reset()
        stage.settle()
        assert answered.complete
        assert answered.body.endswith(DONE)
        assert counted(stage, P_RESUMED) == 0


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"response_format": {"type": "json_object"}}, "request"),
        ({"guided_regex": "a+"}, "request"),
        ({"n": 2}, "request"),
        ({"logprobs": True}, "request"),
        ({"tools": [{"type": "function"}], "tool_choice": "required"}, "request"),
        ({"max_tokens": 2}, "request"),
        ({"stop": ["two and"]}, "answer"),
    ],
)
def test_what_could_not_be_right_is_cut_as_before_and_says_why(
    more: dict[str, Any], why: str
) -> None:
    with Stage(world(engines(0, 1, resume=RESUME))) as stage:
        answered, engine = begun(stage, chat(**more))
        engine.reset()
        stage.settle()
        assert not answered.complete
        assert stage.in_flight() == 0
        assert not_resumed(stage) == [why]
        assert counted(stage, P_KEPT_BYTES) == 0


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]},
        {"reasoning_content": "hm"},
    ],
)
def test_nor_is_what_text_alone_does_not_tell(delta: dict[str, Any]) -> None:
    with Stage(world(engines(0, 1, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        stage.send(engine, chunk(event(delta)))
        engine.reset()
        stage.settle()
        assert not answered.complete
        assert not_resumed(stage) == ["answer"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"resume": EXACT}, "exact"),
        ({"retry": Retry(budget_share=0.0, budget_min_per_s=0.0)}, "budget"),
        ({"resume": Resume(answer_bytes=1)}, "memory"),
    ],
)
def test_bounds_hold(settings: dict[str, Any], why: str) -> None:
    with Stage(world(engines(0, 1, **{"resume": RESUME, **settings}))) as stage:
        answered, engine = begun(stage)
        stage.send(engine, chunk(token("x" * 3000)) + chunk(token("x" * 3000)))
        engine.reset()
        stage.settle()
        assert not answered.complete
        assert not_resumed(stage) == [why]
        assert counted(stage, P_KEPT_BYTES) == 0


@pytest.mark.parametrize(
    "more", [{"seed": 1}, {"frequency_penalty": 0.5}, {"tools": [{"type": "function"}]}]
)
def test_exact_is_only_what_another_engine_would_say_too(more: dict[str, Any]) -> None:
    with Stage(world(engines(0, 1, resume=EXACT))) as stage:
        answered, engine = begun(stage, chat(max_tokens=9, **more))
        engine.reset()
        stage.settle()
        assert not answered.complete
        assert not_resumed(stage) == ["exact"]


def test_ids_that_the_client_asks_for_are_its_own() -> None:
    with Stage(world(engines(0, 1, resume=BY_IDS))) as stage:
        client, engine = asking(stage, chat(return_token_ids=True))
        told = event({"content": "x"}, token_ids=[7])
        stage.send(engine, HEAD + chunk(told) + chunk(DONE) + LAST)
        assert Answered(stage, client).body == told + DONE


def test_without_another_endpoint_it_is_cut() -> None:
    with Stage(world(engines(0, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        engine.reset()
        stage.settle()
        assert not answered.complete
        assert not_resumed(stage) == ["no_endpoint"]


def test_an_error_with_which_nobody_goes_on_passes_as_it_came() -> None:
    told = b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'
    with Stage(world(engines(0, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        stage.send(engine, chunk(told) + chunk(DONE) + LAST)
        assert answered.body.endswith(told + DONE)
        assert answered.complete


def test_a_client_that_leaves_while_another_is_asked_stops_that() -> None:
    with Stage(world(engines(0, 1, resume=RESUME))) as stage:
        client, engine = asking(stage)
        stage.send(engine, HEAD + chunk(token("one")))
        other, _ = cut(stage, engine)
        client.reset()
        stage.settle()
        assert other.dead or other.ended
        assert stage.in_flight() == 0


def test_what_is_counted_of_a_resumed_answer_is_that_of_one() -> None:
    """Usage as of one answer, and one first token."""
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    with Stage(world(engines(0, 1, resume=RESUME, usage="asked"))) as stage:
        request = chat(stream_options={"include_usage": True})
        answered, engine = begun(stage, request)
        other, _ = cut(stage, engine)
        told = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
        stage.send(other, HEAD + chunk(token(" three", "b")) + chunk(told + DONE) + LAST)
        assert answered.events[-1]["usage"] == {
            **usage,
            "prompt_tokens": 10,
            "completion_tokens": 5,
        }
        values = stage.pool().counters.values
        first_tokens = values[P_SERVING_HISTOGRAMS : P_SERVING_HISTOGRAMS + BUCKETS]
        assert sum(first_tokens) == 1


def drain(stage: Stage, row: int) -> None:
    stage.board.cells[stage.board.state(row) + S_DRAINING] = 1
    stage.board.state_changed(row)


def test_streams_of_an_endpoint_that_drains_move_when_they_are_to() -> None:
    settings: dict[str, Any] = {"resume": RESUME, "drain": Drain(move_streams_s=5.0)}
    with Stage(world(watched(engines(0, 1, **settings)))) as stage:
        client, engine = asking(stage)
        row = next(row for row in (0, 1) if engine in stage.servers[row].accepted)
        answered = Answered(stage, client)
        stage.send(engine, HEAD + chunk(token("one two")))
        drain(stage, row)
        stage.pass_time(4.0)
        assert not engine.dead
        assert not engine.ended
        stage.pass_time(2.0)
        assert engine.dead or engine.ended
        _, other, _ = newest(stage)
        stage.send(other, REST)
        assert answered.text == "one two three"
        assert answered.complete
        assert outcomes() == ["abandoned", "done"]  # which is not held against it
        assert all(not endpoint.long_lived.streams for endpoint in stage.pool().members)


@pytest.mark.parametrize("rows", [(0,), (0, 1)])
def test_those_that_cannot_move_end_where_they_are(rows: tuple[int, ...]) -> None:
    settings: dict[str, Any] = {"resume": RESUME, "drain": Drain(move_streams_s=5.0)}
    asked_for = {"n": 2} if len(rows) > 1 else {}
    with Stage(world(engines(*rows, **settings))) as stage:
        client, engine = asking(stage, chat(**asked_for))
        row = next(row for row in rows if engine in stage.servers[row].accepted)
        stage.send(engine, HEAD + chunk(token("one")))
        drain(stage, row)
        stage.pass_time(20.0)
        stage.send(engine, chunk(token(" two")) + chunk(DONE) + LAST)
        answered = Answered(stage, client)
        assert (answered.text, answered.complete) == ("one two", True)
        assert not_resumed(stage) == []


# --- what an operator reads of it ---------------------------------------------------------------

SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {}}}
FUNCTION = {"type": "function", "function": {"name": "f"}}
CALL = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}
TOLD: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    # Of the request and of the pool what is out of the way; the metric's reason, words of the log.
    "a schema": (SCHEMA, {}, "request", "grammar or schema"),
    "a grammar": ({"grammar": "root ::= x"}, {}, "request", "grammar or schema"),
    "several answers": ({"n": 2}, {}, "request", "several answers"),
    "probabilities": ({"logprobs": True}, {}, "request", "log probabilities"),
    "a tool that must be called": (
        {"tools": [FUNCTION], "tool_choice": "required"},
        {},
        "request",
        "a tool must be called",
    ),
    "as many tokens as asked for": ({"max_tokens": 2}, {}, "request", "as many tokens came"),
    "a stored answer": ({"store": True}, {}, "request", "stays behind"),
    "tools of the server's": ({"web_search_options": {}}, {}, "request", "carries out tools"),
    "a tool call under way": ({"tools": [FUNCTION]}, {}, "answer", "a tool call is under way"),
    "a stop string half seen": ({"stop": "two and"}, {}, "answer", "a text that is to stop it"),
    "a seed": ({"seed": 1, "max_tokens": 9}, {"resume": EXACT}, "exact", "chances of a `seed`"),
    "a penalty": ({"presence_penalty": 1}, {"resume": EXACT}, "exact", "`presence_penalty`"),
    "tools on offer, exactly": (
        {"tools": [FUNCTION]},
        {"resume": EXACT},
        "exact",
        "tools are on offer",
    ),
    "a stop string, exactly": ({"stop": "x"}, {"resume": EXACT}, "exact", "`stop` withholds"),
    "no ids": ({"max_tokens": 9}, {"resume": EXACT}, "exact", "token ids were not told"),
    "no budget": (
        {},
        {"retry": Retry(budget_share=0.0, budget_min_per_s=0.0)},
        "budget",
        "retry budget is used up",
    ),
    "no memory": ({}, {"resume": Resume(answer_bytes=1)}, "memory", "too much"),
    "no time": ({}, {"timeouts": PoolTimeouts(request_s=5.0)}, "deadline", "time is over"),
}


def why_nobody_goes_on(name: str, log: Path) -> tuple[str, str]:
    """What metric and log tell of that answer, once it was cut."""
    asked_for, settings, _, _ = TOLD[name]
    log.unlink(missing_ok=True)
    pool = engines(0, 1, **{"resume": RESUME, **settings})
    logged = msgspec.structs.replace(world(pool), request_log=RequestLog("file", str(log)))
    with Stage(logged) as stage:
        answered, engine = begun(stage, chat(**asked_for))
        if name == "a tool call under way":
            stage.send(engine, chunk(event(CALL)))
        if name == "no memory":
            stage.send(engine, chunk(token("x" * 3000)) + chunk(token("x" * 3000)))
        if name == "no time":
            stage.pass_time(6.0)
        else:
            engine.reset()
        stage.settle()
        assert not answered.complete
        assert counted(stage, P_CUT) == 1
        assert counted(stage, P_KEPT_BYTES) == 0
        assert stage.in_flight() == 0
        [reason] = not_resumed(stage)
    told = json.loads(log.read_text())
    assert told["end"] == "cut"
    return reason, told["why"]


@pytest.mark.parametrize("name", TOLD)
def test_metric_and_log_say_why_nobody_goes_on(name: str, tmp_path: Path) -> None:
    _, _, expected, words = TOLD[name]
    reason, why = why_nobody_goes_on(name, tmp_path / "requests.log")
    assert reason == expected
    assert words in why
