"""Admission and circuit breakers on live pools: who waits, who is refused, who is spared."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.core.admission.refusals import FULL, LATE, THROTTLED
from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import (
    Admission,
    Breaker,
    LimitChoice,
    PolicyChoice,
    Queue,
    RequestLog,
    SuccessRate,
    Throttle,
)
from penstock.dataplane.board.layout import (
    L_BREAKER_OPENED,
    P_LIMIT_MILLI,
    P_QUEUE_SUM_US,
    P_QUEUED,
    P_REFUSED,
    P_WAITING,
    S_HEALTH,
)
from tests.harness.client import Client
from tests.harness.endpoint import refuse_connections
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.log import lines_of
from tests.harness.messages import get, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, HasAddress, at, pool, world

pytestmark = pytest.mark.both_fronts

ONE_AT_A_TIME = LimitChoice("aimd", {"initial": 1.0, "minimum": 1.0, "maximum": 1.0})
IN_QUEUE = Admission(queue=Queue(length=10, timeout_s=60.0))
SOON_S = 0.3
CHAT = "/v1/chat/completions"


def chat(model: str) -> bytes:
    """A request for that model."""
    asked = {"model": model, "messages": [{"role": "user", "content": "a"}]}
    body = json.dumps(asked).encode()
    kind = "Content-Type: application/json"
    return post(f"Content-Length: {len(body)}", kind, body=body, target=CHAT)


class Gate:
    """An endpoint that holds each answer until it is told to give one."""

    def __init__(self) -> None:
        self.endpoint = HttpEndpoint(self._answer)
        self._permits = threading.Semaphore(0)
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()

    def give(self, answers: int = 1) -> None:
        for _ in range(answers):
            self._permits.release()

    def targets(self) -> list[str]:
        return [request.target for request in self.endpoint.requests]

    def wait_for(self, count: int) -> None:
        self.endpoint.wait_for_requests(count)

    def _answer(self, request: Recorded) -> Answer:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self._permits.acquire()
        with self._lock:
            self._inside -= 1
        return Answer(body=request.target.encode())


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    with made.endpoint:
        yield made
        made.give(1000)


def waiting(worker: Worker, count: int) -> None:
    """Wait until so many requests wait in the pool."""
    wait_until(lambda: worker.pool_count(P_WAITING) == count, f"{count} requests wait")


def asked(worker: Worker, target: str, *fields: str) -> Client:
    client = worker.connect()
    client.send(get(target, *fields))
    return client


def bounded(gate: Gate) -> HasAddress:
    return at(gate.endpoint, max_in_flight=1)


def test_requests_wait_for_an_endpoint_that_is_full(
    start: Callable[..., Worker], gate: Gate, tmp_path: Path
) -> None:
    """In order, none lost, never more there than it takes; the log says how long they waited."""
    log = tmp_path / "requests.log"
    members = pool(bounded(gate), admission=IN_QUEUE)
    worker = start(world(members, request_log=RequestLog("file", str(log))))
    clients = [asked(worker, "/0")]
    gate.wait_for(1)
    for number in range(1, 4):
        clients.append(asked(worker, f"/{number}"))
        waiting(worker, number)
    gate.give(4)
    assert [client.read_response().body for client in clients] == [b"/0", b"/1", b"/2", b"/3"]
    assert gate.targets() == ["/0", "/1", "/2", "/3"]
    assert gate.most == 1
    worker.wait_until_published()
    assert worker.pool_count(P_QUEUED) == 3
    assert worker.pool_count(P_WAITING) == 0
    lines = {line["target"]: line for line in lines_of(log, 4)}
    assert lines["/0"]["t_queue"] == 0.0
    assert 0.0 < lines["/1"]["t_queue"] <= lines["/1"]["t_total"]


@pytest.mark.http1_only
def test_a_body_that_comes_while_its_request_waits_is_sent_whole(
    start: Callable[..., Worker], gate: Gate
) -> None:
    worker = start(world(pool(bounded(gate), admission=IN_QUEUE)))
    first = asked(worker, "/first")
    gate.wait_for(1)
    second = worker.connect()
    second.send(b"POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
    waiting(worker, 1)
    sender = threading.Thread(target=second.send, args=(b"x" * 500_000,))
    sender.start()
    gate.give(2)
    assert first.read_response().status == 200
    assert second.read_response("POST").status == 200
    sender.join()
    assert gate.endpoint.last.body == b"x" * 500_000


def test_a_full_queue_refuses_with_a_reason(start: Callable[..., Worker], gate: Gate) -> None:
    settings = Admission(queue=Queue(length=1, timeout_s=60.0))
    worker = start(world(pool(bounded(gate), admission=settings)))
    first = asked(worker, "/first")
    gate.wait_for(1)
    second = asked(worker, "/second")
    waiting(worker, 1)
    refused = worker.connect().get("/third")
    assert refused.status == 503
    assert b"overloaded" in refused.body
    assert b"queue is full" in refused.body
    assert int(refused.headers["retry-after"]) >= 1
    gate.give(2)
    assert first.read_response().status == second.read_response().status == 200
    worker.wait_until_published()
    assert worker.pool_count(P_REFUSED + FULL) == 1


def test_room_that_a_request_cannot_use_is_none(
    start: Callable[..., Worker], gate: Gate, endpoint: HttpEndpoint
) -> None:
    """An engine idles that serves another model: what waits is told so in time, and counted once.

    Requests for the other model pass it meanwhile.
    """
    settings = Admission(queue=Queue(length=10, timeout_s=1.0))
    members = pool(
        at(gate.endpoint, max_in_flight=1, models=("a",)),
        at(endpoint, max_in_flight=1, models=("b",)),
        kind="llm",
        admission=settings,
    )
    worker = start(world(members), held=True)
    first, second = worker.connect(), worker.connect()
    first.send(chat("a"))
    gate.wait_for(1)
    second.send(chat("a"))
    for _ in range(4):
        other = worker.connect()
        other.send(chat("b"))
        assert other.read_response("POST").status == 200  # so the second was read before it
        worker.pass_time(SOON_S)
    refused = second.read_response("POST")
    assert refused.status == 503
    assert b"found no room" in refused.body
    gate.give()
    assert first.read_response("POST").status == 200
    worker.wait_until_published()
    assert worker.pool_count(P_QUEUED) == worker.pool_count(P_REFUSED + LATE) == 1
    assert worker.pool_count(P_QUEUE_SUM_US) == 0, "none waited and went on"


def test_those_that_wait_go_on_when_the_last_endpoint_is_back(
    start: Callable[..., Worker], gate: Gate
) -> None:
    """Whether new ones wait while nothing is up is a setting."""
    worker = start(world(pool(bounded(gate), admission=IN_QUEUE)))
    clients = [asked(worker, "/0")]
    gate.wait_for(1)
    for number in range(1, 4):
        clients.append(asked(worker, f"/{number}"))
        waiting(worker, number)
    worker.set_state("main", gate.endpoint, S_HEALTH, DOWN)
    gate.give()
    assert clients[0].read_response().status == 200
    assert worker.connect().get("/new").status == 503
    assert worker.pool_count(P_WAITING) == 3
    patient = Admission(queue=Queue(length=10, timeout_s=60.0, while_down="wait"))
    worker.apply(world(pool(bounded(gate), admission=patient)))
    clients.append(asked(worker, "/new"))
    waiting(worker, 4)
    worker.set_state("main", gate.endpoint, S_HEALTH, UP)
    gate.give(4)
    assert [client.read_response().status for client in clients[1:]] == [200] * 4
    assert gate.targets() == ["/0", "/1", "/2", "/3", "/new"]


def test_a_request_that_waits_too_long_is_told_so(start: Callable[..., Worker], gate: Gate) -> None:
    settings = Admission(queue=Queue(length=10, timeout_s=SOON_S))
    worker = start(world(pool(bounded(gate), admission=settings)))
    first = asked(worker, "/first")
    gate.wait_for(1)
    refused = worker.connect().get("/second")
    assert refused.status == 503
    assert b"found no room" in refused.body
    gate.give()
    assert first.read_response().status == 200
    worker.wait_until_published()
    assert worker.pool_count(P_REFUSED + LATE) == 1
    assert gate.targets() == ["/first"]


def test_a_client_that_leaves_the_queue_is_forgotten(
    start: Callable[..., Worker], gate: Gate, tmp_path: Path
) -> None:
    """But for the log, which tells how long it waited."""
    log = tmp_path / "requests.log"
    members = pool(bounded(gate), admission=IN_QUEUE)
    worker = start(world(members, request_log=RequestLog("file", str(log))))
    first = asked(worker, "/first")
    gate.wait_for(1)
    leaver = asked(worker, "/leaver")
    waiting(worker, 1)
    last = asked(worker, "/last")
    waiting(worker, 2)
    leaver.close()
    waiting(worker, 1)
    gate.give(2)
    assert [first.read_response().body, last.read_response().body] == [b"/first", b"/last"]
    assert gate.targets() == ["/first", "/last"]
    [left] = [line for line in lines_of(log, 3) if line["target"] == "/leaver"]
    assert left["end"] == "client_gone"
    assert 0.0 < left["t_queue"] <= left["t_total"]


def test_more_important_requests_leave_first(start: Callable[..., Worker], gate: Gate) -> None:
    settings = Admission(
        queue=Queue(length=10, timeout_s=60.0),
        priority_header="x-priority",
        priority_clients=("127.0.0.0/8",),
    )
    worker = start(world(pool(bounded(gate), admission=settings)))
    clients = [asked(worker, "/running")]
    gate.wait_for(1)
    for number, priority in enumerate(["70", "not a number", "9", "9"], 1):
        clients.append(asked(worker, f"/{priority[:2]}-{number}", f"X-Priority: {priority}"))
        waiting(worker, number)
    gate.give(5)
    assert all(client.read_response().status == 200 for client in clients)
    assert gate.targets() == ["/running", "/9-3", "/9-4", "/no-2", "/70-1"]


def test_only_those_who_may_say_how_important_they_are(
    start: Callable[..., Worker], gate: Gate
) -> None:
    """Clients of another network get the route's priority, whatever they say."""
    settings = Admission(
        queue=Queue(length=10, timeout_s=60.0),
        priority_header="x-priority",
        priority_clients=("10.0.0.0/8",),
    )
    worker = start(world(pool(bounded(gate), admission=settings)))
    clients = [asked(worker, "/running")]
    gate.wait_for(1)
    for number, priority in enumerate(["70", "9"], 1):
        clients.append(asked(worker, f"/{priority}", f"X-Priority: {priority}"))
        waiting(worker, number)
    gate.give(3)
    assert all(client.read_response().status == 200 for client in clients)
    assert gate.targets() == ["/running", "/70", "/9"]


@pytest.mark.parametrize("after", ["other settings", "no admission", "no such pool"])
def test_a_reload_loses_nobody_who_waits(
    start: Callable[..., Worker], gate: Gate, endpoint: HttpEndpoint, after: str
) -> None:
    worker = start(world(pool(bounded(gate), admission=IN_QUEUE)))
    clients = [asked(worker, "/first")]
    gate.wait_for(1)
    clients += [asked(worker, f"/{number}") for number in range(3)]
    waiting(worker, 3)
    if after == "no such pool":
        worker.apply(world(pool(endpoint, name="other")))
    else:
        unbounded = at(gate.endpoint)
        settings = Admission(queue=Queue(length=5)) if after == "other settings" else Admission()
        worker.apply(world(pool(unbounded, admission=settings)))
    gate.give(4)
    assert {client.read_response().status for client in clients} == {200}
    assert sorted(gate.targets()) == ["/0", "/1", "/2", "/first"]


def test_metrics_tell_the_limit_that_holds_after_a_reload(
    start: Callable[..., Worker], gate: Gate
) -> None:
    """Not that of before, which the requests that it let in still move."""

    def limited_to(initial: float) -> Admission:
        return Admission(limit=LimitChoice("aimd", {"initial": initial, "minimum": 1.0}))

    worker = start(world(pool(gate.endpoint, admission=limited_to(7.0))))
    first = asked(worker, "/first")
    gate.wait_for(1)
    worker.apply(world(pool(gate.endpoint, admission=limited_to(9.0))))
    gate.give()
    assert first.read_response().status == 200
    worker.wait_until_published()
    assert worker.pool_count(P_LIMIT_MILLI) == 9000


def test_a_limit_turns_away_what_is_too_much(start: Callable[..., Worker], gate: Gate) -> None:
    worker = start(world(pool(gate.endpoint, admission=Admission(limit=ONE_AT_A_TIME))))
    first = asked(worker, "/first")
    gate.wait_for(1)
    refused = worker.connect().get("/second")
    assert refused.status == 503
    assert b"overloaded" in refused.body
    gate.give(2)
    assert first.read_response().status == 200
    assert worker.connect().get("/third").status == 200


def test_a_limit_lets_the_next_in_when_one_ends(start: Callable[..., Worker], gate: Gate) -> None:
    """However it ends: here by its client's leaving."""
    settings = Admission(limit=ONE_AT_A_TIME, queue=Queue(length=10, timeout_s=60.0))
    worker = start(world(pool(gate.endpoint, admission=settings)))
    first = asked(worker, "/first")
    gate.wait_for(1)
    second = asked(worker, "/second")
    waiting(worker, 1)
    first.close()
    gate.wait_for(2)
    gate.give(2)
    assert second.read_response().status == 200


def test_a_queue_in_front_of_endpoints_that_fail_empties(start: Callable[..., Worker]) -> None:
    """Each that leaves it fails at once, which lets in the next: a loop, and no stack of calls."""
    count = 300
    with refuse_connections() as nobody:
        dead = at(Address(nobody.getsockname()[1]), max_in_flight=1)
        settings = Admission(queue=Queue(length=1000, timeout_s=60.0), limit=ONE_AT_A_TIME)
        worker = start(world(pool(dead, admission=settings, retry=NEVER_REPEAT)))
        clients = [asked(worker, f"/{number}") for number in range(count)]
        assert {client.read_response().status for client in clients} == {502}


def test_a_throttle_spares_endpoints_that_refuse(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """With K = 2 every other request may be sent in vain; 40 in a row all sent is 1 in 10^12."""
    endpoint.answer = lambda _: Answer(503)
    settings = Admission(throttle=Throttle(k=2.0))
    worker = start(world(pool(endpoint, admission=settings, retry=NEVER_REPEAT)))
    client = worker.connect()
    assert {client.get().status for _ in range(200)} == {503}
    worker.wait_until_published()
    assert worker.pool_count(P_REFUSED + THROTTLED) > 0
    assert len(endpoint.requests) == 200 - worker.pool_count(P_REFUSED + THROTTLED)


def test_admission_by_success_rate_spares_endpoints_that_fail(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda _: Answer(500)
    settings = Admission(success_rate=SuccessRate())
    worker = start(world(pool(endpoint, admission=settings, retry=NEVER_REPEAT)))
    client = worker.connect()
    assert {client.get().status for _ in range(200)} == {500, 503}
    worker.wait_until_published()
    assert worker.pool_count(P_REFUSED + THROTTLED) > 0


def test_a_breaker_opens_and_closes_again(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda _: Answer(500)
    settings = Breaker(failures=3, open_s=SOON_S)
    worker = start(world(pool(endpoint, breaker=settings, retry=NEVER_REPEAT)), held=True)
    client = worker.connect()
    assert [client.get().status for _ in range(4)] == [500, 500, 500, 503]
    refused = client.get()
    assert b"circuit breaker of every endpoint" in refused.body
    assert int(refused.headers["retry-after"]) >= 1
    assert len(endpoint.requests) == 3
    endpoint.answer = lambda _: Answer(200)
    worker.pass_time(SOON_S)
    assert {client.get().status for _ in range(10)} == {200}, "a trial closes the circuit"
    worker.wait_until_published()
    assert worker.load(endpoint, L_BREAKER_OPENED) == 1


def test_a_half_open_breaker_lets_one_trial_through_at_a_time(
    start: Callable[..., Worker], gate: Gate
) -> None:
    serve = gate.endpoint.answer
    gate.endpoint.answer = lambda _: Answer(500)
    settings = Breaker(failures=1, open_s=SOON_S)
    worker = start(world(pool(gate.endpoint, breaker=settings, retry=NEVER_REPEAT)), held=True)
    others = worker.connect()
    assert [others.get().status for _ in range(2)] == [500, 503]
    gate.endpoint.answer = serve
    worker.pass_time(SOON_S)
    trial = asked(worker, "/trial")
    gate.wait_for(2)
    assert {others.get().status for _ in range(5)} == {503}
    gate.give(2)
    assert trial.read_response().status == 200
    assert others.get().status == 200


def test_a_breaker_spares_one_endpoint_and_loses_no_request(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    with refuse_connections() as nobody:
        dead = Address(nobody.getsockname()[1])
        worker = start(world(pool(dead, endpoint, breaker=Breaker(failures=3, open_s=60.0))))
        client = worker.connect()
        assert {client.get().status for _ in range(50)} == {200}
        worker.wait_until_published()
        assert worker.load(dead, L_BREAKER_OPENED) == 1
        assert len(endpoint.requests) == 50


def test_settings_that_make_no_sense_are_refused(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    unknown = pool(endpoint, admission=Admission(limit=LimitChoice("nothing")))
    answer = worker.publish(world(unknown))
    assert (answer["kind"], "nothing" in str(answer["reason"])) == ("refused", True)
    assert worker.connect().get().status == 200


def test_hashing_policies_stay_right_while_endpoints_are_cut_out(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    with refuse_connections() as nobody:
        members = pool(
            Address(nobody.getsockname()[1]),
            endpoint,
            breaker=Breaker(failures=1, open_s=60.0),
            policy=PolicyChoice("consistent-hash"),
        )
        client = start(world(members)).connect()
        assert {client.get().status for _ in range(20)} == {200}
