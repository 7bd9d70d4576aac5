"""Whatever becomes of a request, nothing of it is left for the collector, which seldom runs.

A cycle of references would keep the request with its body, and up to a MiB of its answer, until the
collector looks.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from penstock.core.snapshot import (
    Admission,
    Breaker,
    Decisions,
    LimitChoice,
    PolicyChoice,
    Queue,
    RequestLog,
    Sticky,
)
from penstock.dataplane.board.layout import P_PROBES, P_WAITING
from tests.harness.client import Client, IncompleteResponse
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import answer, get, head, post
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, route, world
from tests.scenario.certificates import Authority

ROUNDS = 3
QUEUE = Admission(queue=Queue(timeout_s=60.0))
CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def chat(**settings: object) -> bytes:
    body = json.dumps(CHAT | settings).encode()
    fields = (f"Content-Length: {len(body)}", "Content-Type: application/json")
    return post(*fields, body=body, target="/v1/chat/completions")


class Engine(HttpEndpoint):
    """It streams to those who ask for that, and holds its answers back while ``held``."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        super().__init__(self._answer)

    def _answer(self, request: Recorded) -> Answer:
        self.open.wait(PATIENCE_S)
        if b'"stream": true' in request.body:
            events = (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n")
            return Answer(headers=(("content-type", "text/event-stream"),), chunks=events)
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        body = json.dumps({"id": "x", "choices": [], "usage": usage}).encode()
        return Answer(headers=(("content-type", "application/json"),), body=body)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made
        made.open.set()


@dataclass
class Site:
    """A worker whose collector does not run, and its engine."""

    worker: Worker
    engine: Engine

    def connect(self) -> Client:
        return self.worker.connect()

    def waiting(self, count: int) -> None:
        wait_until(lambda: self.worker.pool_count(P_WAITING) == count, f"{count} wait")

    def full(self) -> Client:
        """A client whose request fills the engine until that is open again."""
        self.engine.open.clear()
        client = self.connect()
        client.send(get("/"))
        wait_until(lambda: self.worker.in_flight() == 1, "the engine is full")
        return client


def plain(site: Site) -> None:
    client = site.connect()
    assert client.get().status == 200
    assert client.get().status == 200


def uploaded(site: Site) -> None:
    client = site.connect()
    client.send(post("Transfer-Encoding: chunked"))
    client.send(b"5\r\nhello\r\n")
    client.send(b"0\r\n\r\n")
    assert client.read_response("POST").status == 200


def queued(site: Site) -> None:
    busy = site.full()
    waits = site.connect()
    waits.send(get("/"))
    site.waiting(1)
    site.engine.open.set()
    assert busy.read_response().status == waits.read_response().status == 200


def left_the_queue(site: Site) -> None:
    busy = site.full()
    waits = site.connect()
    waits.send(get("/"))
    site.waiting(1)
    waits.close()
    site.waiting(0)
    site.engine.open.set()
    assert busy.read_response().status == 200


def turned_away(site: Site) -> None:
    busy = site.full()
    waiting = [site.connect() for _ in range(2)]
    for client in waiting:
        client.send(get("/"))
    site.waiting(2)
    assert site.connect().get().status == 503
    site.engine.open.set()
    assert {client.read_response().status for client in (busy, *waiting)} == {200}


def left(site: Site) -> None:
    client = site.full()
    client.close()
    site.worker.wait_until_idle()
    site.engine.open.set()


def answered_here(site: Site) -> None:
    client = site.connect()
    client.send(head("OPTIONS / HTTP/1.1", "Max-Forwards: 0"))
    assert client.read_response("OPTIONS").status == 200


def malformed(site: Site) -> None:
    client = site.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
    assert client.read_response().status == 400
    client = site.connect()
    client.send(post("Transfer-Encoding: chunked") + b"nonsense\r\n")
    assert client.read_response("POST").status == 400


def asked(site: Site) -> None:
    client = site.connect()
    client.send(chat())
    assert client.read_response("POST").status == 200


def streamed(site: Site) -> None:
    client = site.connect()
    client.send(chat(stream=True))
    assert b"[DONE]" in client.read_response("POST").body


def unknown_model(site: Site) -> None:
    client = site.connect()
    client.send(chat(model="other"))
    assert client.read_response("POST").status in (200, 404)


PATHS = [
    plain,
    uploaded,
    queued,
    left_the_queue,
    turned_away,
    left,
    answered_here,
    malformed,
    asked,
    streamed,
    unknown_model,
]


@pytest.fixture
def site(
    start: Callable[..., Worker], engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    log = tmp_path_factory.mktemp("log") / "requests.log"
    members = pool(
        at(engine, max_in_flight=1, models=("m",)),
        kind="llm",
        admission=Admission(
            queue=Queue(length=2, timeout_s=60.0), limit=LimitChoice("vegas", {"minimum": 20.0})
        ),
        breaker=Breaker(),
        sticky=Sticky(cookie="lb", keys=("0123456789abcdef",)),
        decisions=Decisions(sample=1.0),
    )
    snapshot = world(members, request_log=RequestLog("file", str(log)))
    return Site(start(snapshot, uncollected=True), engine)


def leaves_nothing(worker: Worker, path: Callable[[], None]) -> None:
    path()  # the first time makes what is kept
    worker.wait_until_published()
    worker.take_garbage()
    for _ in range(ROUNDS):
        path()
    worker.wait_until_published()
    assert worker.take_garbage() == {}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_nothing_is_left_of_a_request(site: Site, path: Callable[[Site], None]) -> None:
    leaves_nothing(site.worker, lambda: path(site))


def closes(connection: EndpointConnection) -> None:
    connection.receive_head()


def speaks_nonsense(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(b"nonsense\r\n\r\n")


def stops_half_way(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(answer("Content-Length: 50", body=b"half"))


@pytest.mark.parametrize("script", [closes, speaks_nonsense, stops_half_way])
@pytest.mark.parametrize("admission", [Admission(), QUEUE], ids=["plain", "admitted"])
def test_nothing_is_left_of_an_answer_that_fails(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
    admission: Admission,
) -> None:
    members = pool(scripted(script), admission=admission)
    worker = start(world(members), uncollected=True)

    def path() -> None:
        client = worker.connect()
        client.send(post())
        with suppress(IncompleteResponse):
            assert client.read_response("POST").status == 502

    leaves_nothing(worker, path)


@pytest.mark.parametrize("admission", [Admission(), QUEUE], ids=["plain", "admitted"])
def test_nothing_is_left_of_a_request_that_is_repeated_and_mirrored(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    refusing: Address,
    admission: Admission,
) -> None:
    first = PolicyChoice("first-available")
    main = pool(refusing, endpoint, policy=first, admission=admission)
    snapshot = world(
        main,
        pool(other_endpoint, name="shadow"),
        routes=[route("main", mirror="shadow")],
    )
    worker = start(snapshot, uncollected=True)

    def path() -> None:
        assert worker.connect().get().status == 200
        worker.wait_until_idle()

    leaves_nothing(worker, path)


def test_nothing_is_left_of_endpoints_that_are_asked_for_their_load(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    asking = PolicyChoice("prequal", {"answers": "asked"})
    members = pool(endpoint, other_endpoint, policy=asking, admission=QUEUE)
    worker = start(world(members), uncollected=True)

    def path() -> None:
        assert worker.connect().get().status == 200

    leaves_nothing(worker, path)
    assert worker.pool_count(P_PROBES) > 0


def test_nothing_is_left_of_a_request_that_a_bug_ends(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": "pick"})
    worker = start(world(pool(endpoint, policy=faulty, admission=QUEUE)), uncollected=True)
    worker.may_report_bugs = True

    def path() -> None:
        assert worker.connect().get().status == 500

    leaves_nothing(worker, path)


def test_nothing_is_left_of_clients_that_come_by_tls(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    listeners = [listener(certificates=(authority.issue("localhost"),))]
    members = pool(endpoint, admission=QUEUE)
    worker = start(world(members, listeners=listeners), uncollected=True)
    context = authority.client()

    def path() -> None:
        client = worker.connect(tls=context)
        assert client.get().status == 200
        client.close()
        hasty = worker.connect()
        hasty.send(b"GET / HTTP/1.1\r\n\r\n")
        hasty.read_to_end()

    leaves_nothing(worker, path)
