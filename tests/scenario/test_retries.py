"""What is tried again, where, and what never is: a request is not done twice unasked."""

from collections.abc import Callable

import pytest

from penstock.core.retry import MOST_PASSED_OVER
from penstock.core.snapshot import PoolTimeouts, Retry
from penstock.dataplane.board.layout import P_RETRIES, P_RETRIES_DENIED
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, chunked, get, head, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, at, pool, world

pytestmark = pytest.mark.both_fronts

BODY = b"hello"
POST = post("Content-Length: 5", body=BODY)
PUT = POST.replace(b"POST", b"PUT", 1)
UNAVAILABLE = answer_of(b"busy", status="503 Service Unavailable")


def reset_after_head(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.reset()


def close_after_head(connection: EndpointConnection) -> None:
    connection.receive_head()


def be_busy(connection: EndpointConnection) -> None:
    while True:
        connection.receive_head()
        connection.send(UNAVAILABLE)


def babble(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(b"\x00garbage\r\n\r\n")


FAILING = [reset_after_head, close_after_head, be_busy]


def ask(worker: Worker, request: bytes) -> Response:
    with worker.connect() as client:
        return client.request(request, request.split()[0].decode())


# Repeated elsewhere


@pytest.mark.parametrize("request_bytes", [get(), POST, chunked(b"5\r\nhello\r\n0\r\n\r\n")])
def test_request_that_was_never_sent_goes_elsewhere_whatever_its_method(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address, request_bytes: bytes
) -> None:
    worker = start(world(pool(refusing, endpoint)))
    assert ask(worker, request_bytes).status == 200
    assert endpoint.last.body == (b"" if request_bytes.startswith(b"GET") else BODY)
    wait_until(lambda: worker.pool_count(P_RETRIES) == 1, "the retry was counted")


def test_any_number_of_endpoints_that_refuse_connections_is_passed_over(
    start: Callable[..., Worker], endpoint: HttpEndpoint, dead: Callable[[int], list[Address]]
) -> None:
    worker = start(world(pool(*dead(5), endpoint)))
    assert ask(worker, POST).status == 200
    assert endpoint.last.body == BODY
    wait_until(lambda: worker.pool_count(P_RETRIES) == 5, "the retries were counted")


def test_attempts_that_reached_an_endpoint_count_also_behind_some_that_did_not(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    dead: Callable[[int], list[Address]],
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    failing = [scripted(be_busy) for _ in range(2)]
    retry = Retry(attempts=2)
    worker = start(world(pool(*dead(3), *failing, endpoint, retry=retry)))
    response = ask(worker, get())
    assert (response.status, response.body) == (503, b"busy")
    assert [each.requests_begun for each in failing] == [1, 1]
    assert endpoint.requests == []


def test_with_nobody_to_connect_to_attempts_end(
    start: Callable[..., Worker], dead: Callable[[int], list[Address]]
) -> None:
    """Each is tried once, and then as many attempts as the pool allows are over."""
    worker = start(world(pool(*dead(5), retry=Retry(attempts=3))))
    assert ask(worker, get()).status == 502
    wait_until(lambda: worker.pool_count(P_RETRIES) == 6, "the retries were counted")


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_dead_endpoints_are_passed_over_and_no_more(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    dead: Callable[[int], list[Address]],
    more: int,
) -> None:
    retry = Retry(attempts=2, budget_min_per_s=100.0)
    backup = at(endpoint, backup=True)
    worker = start(world(pool(*dead(MOST_PASSED_OVER + 1 + more), backup, retry=retry)))
    assert ask(worker, get()).status == (502 if more else 200)


def test_connections_that_the_system_refuses_within_the_call_nest_without_harm(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """TCP has no broadcast: the kernel says so at once, and sends nothing."""
    nowhere = [Address(1 + number, "255.255.255.255") for number in range(MOST_PASSED_OVER)]
    retry = Retry(budget_min_per_s=100.0)
    worker = start(world(pool(*nowhere, at(endpoint, backup=True), retry=retry)))
    assert ask(worker, get()).status == 200


def test_connections_that_run_out_of_time_are_attempts(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    black_holes: Callable[[int], list[Address]],
) -> None:
    backup = at(endpoint, backup=True)
    timeouts = PoolTimeouts(connect_s=0.1)
    members = pool(*black_holes(2), backup, retry=Retry(attempts=2), timeouts=timeouts)
    worker = start(world(members))
    assert ask(worker, get()).status == 504
    assert endpoint.requests == []


def test_a_backup_is_asked_when_no_other_endpoint_can_be_reached(
    start: Callable[..., Worker], endpoint: HttpEndpoint, dead: Callable[[int], list[Address]]
) -> None:
    worker = start(world(pool(*dead(4), at(endpoint, backup=True))))
    assert ask(worker, get()).status == 200


@pytest.mark.parametrize("script", FAILING)
@pytest.mark.parametrize("request_bytes", [get(), PUT, head("DELETE / HTTP/1.1")])
def test_idempotent_request_is_repeated_elsewhere_with_its_body(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
    request_bytes: bytes,
) -> None:
    failing = scripted(script)
    worker = start(world(pool(failing, endpoint)))
    assert ask(worker, request_bytes).status == 200
    assert failing.requests_begun == 1
    assert endpoint.last.method.encode() == request_bytes.split()[0]
    assert endpoint.last.body == (BODY if request_bytes is PUT else b"")
    wait_until(lambda: worker.pool_count(P_RETRIES) == 1, "the retry was counted")


@pytest.mark.parametrize("script", [reset_after_head, close_after_head, be_busy, babble])
def test_post_that_was_sent_is_never_repeated(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
) -> None:
    worker = start(world(pool(scripted(script), endpoint)))
    assert ask(worker, POST).status == (503 if script is be_busy else 502)
    assert endpoint.requests == []
    assert worker.pool_count(P_RETRIES) == 0


def test_post_is_repeated_when_the_pool_allows_it(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    members = pool(scripted(be_busy), endpoint, retry=Retry(non_idempotent=True))
    assert ask(start(world(members)), POST).status == 200
    assert endpoint.last.body == BODY


def test_answer_is_passed_on_when_every_attempt_met_the_same(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoints = [scripted(be_busy) for _ in range(5)]
    worker = start(world(pool(*endpoints, retry=Retry(attempts=3))))
    response = ask(worker, get())
    assert (response.status, response.body) == (503, b"busy")
    assert sum(endpoint.requests_begun for endpoint in endpoints) == 3


def test_status_not_named_is_passed_on(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    worker = start(world(pool(scripted(be_busy), endpoint, retry=Retry(on_statuses=(502,)))))
    assert ask(worker, get()).status == 503
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("script", "retry"),
    [
        (reset_after_head, Retry(on_reset=False)),
        (be_busy, Retry(on_statuses=())),
        (be_busy, NEVER_REPEAT),
    ],
)
def test_what_is_switched_off_is_not_repeated(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
    retry: Retry,
) -> None:
    worker = start(world(pool(scripted(script), endpoint, retry=retry)))
    assert ask(worker, get()).status in (502, 503)
    assert endpoint.requests == []


def test_connect_failure_is_not_repeated_when_switched_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    members = pool(refusing, endpoint, retry=Retry(on_connect_failure=False))
    assert ask(start(world(members)), get()).status == 502
    assert endpoint.requests == []


def test_an_endpoint_that_refuses_connections_is_final_with_retries_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    worker = start(world(pool(refusing, endpoint, retry=NEVER_REPEAT)))
    assert ask(worker, get()).status == 502
    assert endpoint.requests == []


def test_large_body_is_repeated_whole_or_not_at_all(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    """What was sent on and not kept cannot be sent again."""
    size = 5_000_000

    def take_all_and_reset(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.receive_bytes(size)
        connection.reset()

    worker = start(world(pool(scripted(take_all_and_reset), endpoint)))
    request = head("PUT / HTTP/1.1", f"Content-Length: {size}") + b"x" * size
    with worker.connect() as client:
        client.send_while_open(request)
        status = client.read_response("PUT").status
    assert status in (200, 502)
    assert [len(r.body) for r in endpoint.requests if r.whole] == [size] * (status == 200)


def test_budget_bounds_how_many_dead_endpoints_are_passed_over(
    start: Callable[..., Worker], endpoint: HttpEndpoint, dead: Callable[[int], list[Address]]
) -> None:
    retry = Retry(budget_share=0.0, budget_min_per_s=0.2)  # two in ten seconds
    worker = start(world(pool(*dead(3), endpoint, retry=retry)))
    assert ask(worker, get()).status == 502
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) == 2
    assert worker.pool_count(P_RETRIES_DENIED) == 1


def test_budget_bounds_the_retries(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    """A fifth of the requests at most, whatever fails."""
    retry = Retry(attempts=2, budget_share=0.2, budget_min_per_s=0.0)
    worker = start(world(pool(scripted(be_busy), endpoint, retry=retry)))
    client = worker.connect()
    statuses = [client.get().status for _ in range(100)]
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES_DENIED) == statuses.count(503) > 0
    assert 10 <= worker.pool_count(P_RETRIES) <= 20
