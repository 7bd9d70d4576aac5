"""A turn that names the answer before it goes to the endpoint that made that answer."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from penstock.core.snapshot import Sticky
from tests.harness.client import Client, Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import answer, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world
from tests.scenario.conftest import Serve

TURNS = 6


class Engine(HttpEndpoint):
    """It keeps its answers, and can go on from no other's."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self._numbers = count(1)
        super().__init__(self._answer)

    def _answer(self, request: Recorded) -> Answer:
        if request.method == "GET":
            return Answer(200 if request.target.rpartition("/")[2] in self.kept else 404)
        asked = json.loads(request.body)
        if asked.get("previous_response_id", "") not in {"", *self.kept}:
            return Answer(404, b"no such response")
        name = f"resp_{self.port}_{next(self._numbers)}"
        self.kept.add(name)
        response = {"object": "response", "id": name, "status": "completed", "output": []}
        if not asked.get("stream"):
            return Answer(
                headers=(("content-type", "application/json"),), body=json.dumps(response).encode()
            )
        events = [
            {"type": "response.created", "response": {**response, "status": "in_progress"}},
            {"type": "response.output_text.delta", "delta": "a"},
            {"type": "response.completed", "response": response},
        ]
        chunks = tuple(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        return Answer(headers=(("content-type", "text/event-stream"),), chunks=chunks)


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Engine()) for _ in range(3)]


def turn(previous: str = "", *fields: str, stream: bool = False) -> bytes:
    asked = {"model": "m", "input": "a", "stream": stream}
    if previous:
        asked["previous_response_id"] = previous
    body = json.dumps(asked).encode()
    more = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    return post(*fields, *more, body=body, target="/v1/responses")


def ask(client: Client, previous: str = "", *, stream: bool = False) -> Response:
    return client.request(turn(previous, stream=stream), "POST")


def name_of(found: Response) -> str:
    assert found.status == 200, found.body
    if b"data: " not in found.body:
        return str(json.loads(found.body)["id"])
    first = found.body.partition(b"data: ")[2].partition(b"\n\n")[0]
    return str(json.loads(first)["response"]["id"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_conversation_goes_on_where_its_answers_are(
    start: Callable[..., Worker], engines: list[Engine], stream: bool
) -> None:
    """Whatever the policy: this one takes the endpoints in turn."""
    worker = start(world(pool(*engines, kind="llm")))
    for _ in engines:
        name = ""
        for _ in range(TURNS):
            name = name_of(ask(worker.connect(), name, stream=stream))
    assert [len(engine.kept) for engine in engines] == [TURNS] * 3


def begin_to_answer(connection: EndpointConnection) -> None:
    """Its name is the endpoint's port; the rest of it waits."""
    connection.receive_head()
    port = connection.socket.getsockname()[1]
    events = [
        {"type": "response.created", "response": {"id": f"resp_{port}"}},
        {"type": "response.output_text.delta", "delta": f"of {port}."},
    ]
    connection.send(
        answer("Content-Type: text/event-stream", "Transfer-Encoding: chunked", body=b"")
    )
    for event in events:
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        connection.send(b"%x\r\n%b\r\n" % (len(data), data))
    connection.go_on.wait()


def test_an_answer_is_known_from_its_first_token_on(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """A client need not have read it to the end to go on."""
    endpoints = [scripted(begin_to_answer) for _ in range(2)]
    worker = start(world(pool(*endpoints, kind="llm")))
    for endpoint in endpoints:
        for _ in range(2):
            client = worker.connect()
            client.send(turn(f"resp_{endpoint.port}" if endpoint.connections else "", stream=True))
            client.read_until(b"of %d." % endpoint.port)


def test_an_answer_is_looked_up_where_it_is(
    start: Callable[..., Worker], engines: list[Engine]
) -> None:
    worker = start(world(pool(*engines, kind="llm")))
    name = name_of(ask(worker.connect()))
    for _ in range(TURNS):
        assert worker.connect().get(f"/v1/responses/{name}").status == 200


def test_an_answer_that_nobody_knows_is_asked_of_any(
    start: Callable[..., Worker], engines: list[Engine]
) -> None:
    worker = start(world(pool(*engines, kind="llm")))
    for _ in engines:
        assert ask(worker.connect(), "resp_unknown").status == 404
    assert [len(engine.requests) for engine in engines] == [1, 1, 1]


def test_a_turn_whose_endpoint_takes_no_work_goes_to_another(
    start: Callable[..., Worker], engines: list[Engine]
) -> None:
    worker = start(world(pool(*engines, kind="llm")))
    name = name_of(ask(worker.connect()))
    [home] = [engine for engine in engines if engine.kept]
    worker.drain("main", home)
    assert ask(worker.connect(), name).status == 404
    assert len(home.requests) == 1


def test_the_answer_counts_more_than_a_cookie(
    start: Callable[..., Worker], engines: list[Engine]
) -> None:
    sticky = Sticky(cookie="lb", keys=("the first key signs, all keys verify",))
    worker = start(world(pool(*engines, kind="llm", sticky=sticky)))
    name = name_of(ask(worker.connect()))
    cookie = ask(worker.connect()).headers["set-cookie"].partition(";")[0]
    assert worker.connect().request(turn(name, f"Cookie: {cookie}"), "POST").status == 200


@pytest.mark.parametrize("policy", ["round-robin", "marginal-cost"])
def test_workers_tell_each_other_who_made_an_answer(
    serve: Serve, engines: list[Engine], policy: str
) -> None:
    members = [f"http://127.0.0.1:{engine.port}" for engine in engines]
    described = {"kind": "llm", "policy": policy, "endpoints": members, "engine": "off"}
    balancer = serve({"pools": {"main": described}}).wait_until_ready()
    name = ""

    def both_served() -> bool:
        nonlocal name
        name = name_of(ask(balancer.connect(), name))  # each connection may meet another worker
        return all(worker["requests"] > TURNS for worker in balancer.status()["workers"])

    wait_until(both_served, "both workers served turns of the conversation")
    assert len([engine for engine in engines if engine.kept]) == 1
