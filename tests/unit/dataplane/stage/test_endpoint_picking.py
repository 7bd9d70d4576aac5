"""Gateways ask which endpoint a request goes to, and carry it themselves (Endpoint Picker)."""

import json
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.config.compile.picking import picking_routes
from penstock.core.health.health import DOWN
from penstock.core.snapshot import (
    Admission,
    Endpoint,
    Http2,
    Key,
    Limits,
    Listener,
    ListenerTimeouts,
    Maintenance,
    Models,
    PolicyChoice,
    Pool,
    Queue,
    Tenant,
)
from penstock.dataplane.board.layout import P_1XX_TO_5XX, P_CLIENT_GONE, P_RETRIES
from tests.harness.ext_proc_messages import ProcessingRequest, body, request_headers
from tests.harness.fake.gateway import Gateway, handed_back, picked, prompt
from tests.harness.fake.stage import Stage, address_of, member, pool_of
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.test_limits import Supervisor, limit


def place(row: int) -> str:
    host, port = address_of(row)
    return f"{host}:{port}"


LISTENER: Listener = listener(
    protocol="epp",
    timeouts=ListenerTimeouts(client_body_idle_s=0.0),
    limits=Limits(body_bytes=0, body_rate=0),
    http2=Http2(streams=1000),
)


def picker(pool: Pool) -> Stage:
    return Stage(world(pool, listeners=[LISTENER], routes=picking_routes("main", "main")))


def llm(*rows: int | Endpoint, **settings: Any) -> Pool:
    return pool_of(*rows, kind="llm", **settings)


# --- a request from its head to its end ---------------------------------------------------------


def test_a_request_is_told_its_endpoint_and_gets_its_body_back() -> None:
    with picker(llm(0, 1)) as stage:
        call = Gateway(stage).call()
        told = {":method": "POST", ":path": "/v1/chat/completions", ":scheme": "http"}
        told |= {":authority": "a", "content-type": "application/json"}
        call.say(request_headers(told))
        text = prompt("x" * 200_000)
        call.say(body("request_body", text[:100_000]))
        assert call.answers() == []  # it is chosen by all of the body
        call.say(body("request_body", text[100_000:], ends=True))
        answers = call.answers()
        assert picked(answers) == [place(0), place(1)]
        assert handed_back(answers) == (text, True)
        assert all(len(each.SerializeToString()) < 65536 for each in answers)
        assert stage.in_flight() == 1
        call.answer(200, b'{"a":', b"1}")
        assert stage.in_flight() == 0
        answers = call.answers()
        assert answers[0].HasField("response_headers")
        assert handed_back(answers, "response_body") == (b'{"a":1}', True)
        call.close()
        assert call.heard.ended
        assert call.grpc_status == 0
        counters = stage.pool().counters
        assert (counters.requests, counters.values[P_1XX_TO_5XX + 1]) == (1, 1)


def test_without_a_body_the_head_is_enough() -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        answers = call.ask(path="/v1/models", headers={":method": "GET"})
        assert picked(answers) == [place(0)]
        assert len(answers) == 1
        call.answer(200)
        assert stage.in_flight() == 0
        call.close()


def test_where_nobody_reads_the_body_it_is_not_awaited() -> None:
    with picker(pool_of(0)) as stage:
        call = Gateway(stage).call()
        call.say(request_headers({":method": "POST", ":path": "/", ":scheme": "http"} | HOST))
        assert picked(call.answers()) == [place(0)]
        call.say(body("request_body", b"a"))
        assert handed_back(call.answers()) == (b"a", False)
        call.say(body("request_body", b"", ends=True))
        assert handed_back(call.answers()) == (b"", True)
        call.peer.reset(call.stream)
        assert stage.in_flight() == 0


HOST = {":authority": "a"}


def test_trailers_end_a_body_too() -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        told = {":method": "POST", ":path": "/v1/completions", ":scheme": "http"} | HOST
        call.say(request_headers(told))
        call.say(body("request_body", b'{"prompt":"a"}'))
        trailers = ProcessingRequest()
        trailers.request_trailers.SetInParent()
        call.say(trailers)
        answers = call.answers()
        assert picked(answers) == [place(0)]
        assert handed_back(answers) == (b'{"prompt":"a"}', False)
        assert answers[-1].HasField("request_trailers")
        call.answer(200)
        call.close()
        assert call.grpc_status == 0


def test_prompts_that_begin_alike_go_to_one_endpoint() -> None:
    policy = PolicyChoice(name="marginal-cost")
    with picker(llm(0, 1, 2, 3, policy=policy)) as stage:
        gateway = Gateway(stage)
        found: dict[int, str] = {}
        for number in range(12):
            conversation = number % 3
            text = prompt(f"{conversation} " + "word " * 2000 + f"turn {number}")
            call = gateway.call()
            first = picked(call.ask(text))[0]
            assert found.setdefault(conversation, first) == first
            call.answer(200, b"{}")
            call.close()


def test_answers_are_read_along() -> None:
    with picker(llm(0)) as stage:
        learning = stage.pool().learning
        assert learning is not None
        before = learning.estimator.bytes_per_token("m")
        call = Gateway(stage).call()
        call.ask(prompt("word " * 1000, stream=True))
        chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
        usage = b'data: {"choices":[],"usage":{"prompt_tokens":5000,"completion_tokens":2}}\n\n'
        events = (chunk, chunk, usage + b"data: [DONE]\n\n")
        call.answer(200, *events, content_type="text/event-stream")
        assert stage.in_flight() == 0
        assert learning.estimator.bytes_per_token("m") < before
        call.close()


# --- who is picked ------------------------------------------------------------------------------


def test_a_subset_is_kept_to() -> None:
    with picker(llm(0, 1, 2)) as stage:
        gateway = Gateway(stage)
        for _ in range(3):
            call = gateway.call()
            assert picked(call.ask(prompt(), subset=[place(1), "192.0.2.77:1"])) == [place(1)]
            call.answer(200)
            call.close()


@pytest.mark.parametrize("subset", [[], ["192.0.2.77:1"], [place(1)]])
def test_no_endpoint_of_a_subset_is_503(subset: list[str]) -> None:
    with picker(llm(0, 1)) as stage:
        stage.set_health(1, DOWN)
        stage.turn()
        call = Gateway(stage).call()
        (answer,) = call.ask(prompt(), subset=subset)
        assert answer.immediate_response.status.code == 503
        assert stage.in_flight() == 0
        call.close()


def test_no_endpoint_at_all_is_503() -> None:
    with picker(llm(0)) as stage:
        stage.set_health(0, DOWN)
        stage.turn()
        call = Gateway(stage).call()
        (answer,) = call.ask(prompt())
        refused = answer.immediate_response
        assert refused.status.code == 503
        assert json.loads(refused.body)["error"]["type"] == "no_endpoint"
        call.close()
        assert call.grpc_status == 0


def test_shed_is_429() -> None:
    full = member(0, max_in_flight=1)
    with picker(llm(full, admission=Admission(queue=Queue(length=1)))) as stage:
        gateway = Gateway(stage)
        first, second, third = gateway.call(), gateway.call(), gateway.call()
        assert picked(first.ask(prompt())) == [place(0)]
        assert second.ask(prompt()) == []  # it waits
        (answer,) = third.ask(prompt())
        refused = answer.immediate_response
        assert refused.status.code == 429
        headers = {each.header.key.lower() for each in refused.headers.set_headers}
        assert "retry-after" in headers
        first.answer(200, b"{}")
        assert picked(second.answers()) == [place(0)]
        for call in (first, second, third):
            call.close()


def test_maintenance_is_503() -> None:
    with picker(llm(0, maintenance=Maintenance(text="back soon"))) as stage:
        call = Gateway(stage).call()
        (answer,) = call.ask(prompt())
        assert answer.immediate_response.status.code == 503
        assert b"back soon" in answer.immediate_response.body
        call.close()


def test_a_body_that_is_wrong_is_refused_in_its_apis_form() -> None:
    with picker(llm(0, malformed="refuse")) as stage:
        call = Gateway(stage).call()
        (answer,) = call.ask(b"{")
        refused = answer.immediate_response
        assert refused.status.code == 400
        assert json.loads(refused.body)["error"]["type"] == "invalid_request_error"
        call.close()


def test_the_model_that_is_meant_is_written_into_the_body() -> None:
    models = Models(aliases={"fast": {"small": 1.0}})
    with picker(llm(0, models=models)) as stage:
        call = Gateway(stage).call()
        answers = call.ask(prompt(model="fast"))
        text, whole = handed_back(answers)
        assert whole
        assert json.loads(text)["model"] == "small"
        options = answers[0].request_headers.response.header_mutation.set_headers
        told = {each.header.key: each.header.raw_value.decode() for each in options}
        assert told["content-length"] == str(len(text))
        call.answer(200)
        call.close()


def test_keys_of_a_gateways_clients_are_judged_and_reach_no_endpoint() -> None:
    digest = sha256(b"sk-good").hexdigest()
    acme = Tenant("acme", (Key("ci", digest),), models=("m",))
    routes = [replace(each, tenants="required") for each in picking_routes("main", "main")]
    with Stage(world(llm(0), listeners=[LISTENER], routes=routes, tenants=(acme,))) as stage:
        gateway = Gateway(stage)
        for key, model, status in (("", "m", 401), ("sk-bad", "m", 401), ("sk-good", "other", 404)):
            call = gateway.call()
            shown = {"authorization": f"Bearer {key}"} if key else {}
            (answer,) = call.ask(prompt(model=model), headers=shown)
            assert answer.immediate_response.status.code == status
            assert stage.in_flight() == 0
            call.close()
        call = gateway.call()
        answers = call.ask(prompt(), headers={"authorization": "Bearer sk-good"})
        assert picked(answers) == [place(0)]
        removed = answers[0].request_headers.response.header_mutation.remove_headers
        assert "authorization" in removed
        call.answer(200)
        call.close()


def test_limits_hold_for_a_gateways_clients() -> None:
    with picker(llm(0, limits=(limit("slow", "requests", 1, "hour"),))) as stage:
        Supervisor(stage)
        gateway = Gateway(stage)
        call = gateway.call()
        assert picked(call.ask(prompt())) == [place(0)]
        call.answer(200, b"{}")
        (head, _) = call.answers()
        told = {
            each.header.key for each in head.response_headers.response.header_mutation.set_headers
        }
        assert "x-ratelimit-remaining-requests" in told
        call.close()
        call = gateway.call()
        (answer,) = call.ask(prompt())
        assert answer.immediate_response.status.code == 429
        assert stage.in_flight() == 0
        call.close()


def test_what_was_reserved_is_given_back_where_no_endpoint_was_picked() -> None:
    with picker(llm(0, limits=(limit("slow", "requests", 1, "hour"),))) as stage:
        Supervisor(stage)
        stage.set_health(0, DOWN)
        stage.turn()
        gateway = Gateway(stage)
        for _ in range(2):
            call = gateway.call()
            (answer,) = call.ask(prompt())
            assert answer.immediate_response.status.code == 503
            call.close()


# --- what comes of it ---------------------------------------------------------------------------


def test_the_load_goes_where_the_gateway_went() -> None:
    with picker(llm(0, 1)) as stage:
        call = Gateway(stage).call()
        assert picked(call.ask(prompt())) == [place(0), place(1)]
        loads = [each.in_flight for each in stage.pool().members]
        assert loads == [1, 0]
        call.answer(200, b"{", served=place(1))
        assert stage.pool().counters.values[P_RETRIES] == 1
        assert stage.in_flight() == 0
        call.close()


def test_a_gateway_that_leaves_frees_the_endpoint() -> None:
    with picker(llm(0)) as stage:
        gateway = Gateway(stage)
        for leave in (gateway.peer.reset, gateway.peer.end_stream):
            call = gateway.call()
            call.ask(prompt())
            assert stage.in_flight() == 1
            leave(call.stream)
            assert stage.in_flight() == 0
        assert stage.pool().counters.values[P_CLIENT_GONE] == 2


def test_before_the_body_is_whole_too() -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        told = {":method": "POST", ":path": "/v1/completions", ":scheme": "http"} | HOST
        call.say(request_headers(told))
        call.say(body("request_body", b'{"prompt'))
        assert stage.context.prompt_bytes > 0
        call.peer.reset(call.stream)
        assert stage.context.prompt_bytes == 0


def test_answers_whose_bodies_are_not_told_end_with_the_call() -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        call.ask(prompt(), modes=(4, 0))
        call.say(_head_only())
        assert stage.in_flight() == 1
        call.close()
        assert stage.in_flight() == 0
        assert stage.pool().counters.values[P_CLIENT_GONE] == 0


def _head_only() -> Any:
    told = ProcessingRequest()
    told.response_headers.headers.headers.add(key=":status", raw_value=b"200")
    return told


def test_bodies_that_are_only_shown_go_on_as_they_are() -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        call.ask(prompt(), modes=(4, 1))
        call.answers()
        call.answer(200, b"a", b"b")
        _, first, second = call.answers()
        assert first.HasField("response_body")
        assert second.response_body.response.body_mutation.ByteSize() == 0
        assert stage.in_flight() == 0
        call.close()


# --- what is no call of a gateway ---------------------------------------------------------------


def _unknown() -> Any:
    return ProcessingRequest()


def _body_first() -> Any:
    return body("request_body", b"a")


def _buffered() -> Any:
    return request_headers(
        {":method": "POST", ":path": "/", ":scheme": "http"} | HOST, modes=(2, 0)
    )


@pytest.mark.parametrize(("make", "status"), [(_unknown, 3), (_body_first, 3), (_buffered, 9)])
def test_what_makes_no_sense_ends_the_call(make: Any, status: int) -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        call.say(make())
        assert call.grpc_status == status
        assert stage.in_flight() == 0


@pytest.mark.parametrize(
    "head",
    [
        {":method": "POST"},
        {":method": "POST", ":path": "/..%2fadmin", ":scheme": "http", ":authority": "a"},
        {":method": "POST", ":path": "/", ":scheme": "http", ":authority": "a", "x": "a\nb"},
    ],
)
def test_a_head_that_is_none_is_refused_as_on_any_listener(head: dict[str, str]) -> None:
    with picker(llm(0)) as stage:
        call = Gateway(stage).call()
        call.say(request_headers(head))
        (answer,) = call.answers()
        assert answer.immediate_response.status.code == 400
        call.say(body("request_body", b"a", ends=True))
        call.close()
        assert call.grpc_status == 0


def test_other_methods_and_paths_are_refused() -> None:
    with picker(llm(0)) as stage:
        gateway = Gateway(stage)
        service = "/envoy.service.ext_proc.v3.ExternalProcessor"
        for path in (f"{service}/Observe", "/other.Service/Process"):
            call = gateway.call(path)
            assert call.grpc_status == 12


# --- a gateway that takes nothing ---------------------------------------------------------------


def test_no_more_is_read_than_the_gateway_takes() -> None:
    with picker(pool_of(0)) as stage:
        gateway = Gateway(stage, window=65535)
        gateway.peer.reading = False
        call = gateway.call()
        call.say(request_headers({":method": "POST", ":path": "/", ":scheme": "http"} | HOST))
        piece = body("request_body", b"x" * 16000).SerializeToString()
        framed = b"\0" + len(piece).to_bytes(4, "big") + piece
        sent = 0
        while sent < 100 and gateway.peer.send(call.stream, framed) == len(framed):
            sent += 1
        assert sent < 40
        gateway.peer.read_on()
        assert len(handed_back(call.answers())[0]) > 16000
        gateway.peer.reset(call.stream)
