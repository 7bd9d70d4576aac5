"""An endpoint with several addresses is reached over whichever works (RFC 8305)."""

from collections.abc import Callable
from pathlib import Path

from penstock.core.snapshot import Endpoint, PoolTimeouts, RequestLog
from penstock.dataplane.board.layout import L_ADDRESS, L_CONNECT_FAILURES, L_CONNECTIONS
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import get
from tests.harness.unreachable import black_hole
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, HasAddress, at, pool, world

NOBODY = "127.0.0.3"  # refuses at the endpoint's port


def called(place: HasAddress, *addresses: str, **settings: object) -> Endpoint:
    return at(place, host="engine.invalid", name="engine", addresses=addresses, **settings)


def test_an_address_that_refuses_costs_no_attempt_and_what_works_is_remembered(
    start: Callable[..., Worker], tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    with HttpEndpoint(lambda _: Answer(headers=(("Connection", "close"),))) as endpoint:
        member = called(endpoint, NOBODY, "127.0.0.1")
        worker = start(
            world(
                pool(member, retry=NEVER_REPEAT),
                request_log=RequestLog("file", str(log)),
            )
        )
        client = worker.connect()
        for _ in range(3):
            assert client.get().status == 200
        assert endpoint.last.headers.all("host") == ["site.example"]
        addresses = [line["endpoint_address"] for line in lines_of(log, 3)]
        worker.wait_until_published()
        assert worker.board.load_sum(0, L_ADDRESS) == 2
        assert worker.board.load_sum(0, L_CONNECT_FAILURES) == 0
    assert addresses == [f"127.0.0.1:{endpoint.port}"] * 3


def test_an_address_that_does_not_answer_is_not_waited_for(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    with black_hole("127.0.0.2", endpoint.port):
        member = called(endpoint, "127.0.0.2", NOBODY, "127.0.0.1")
        timeouts = PoolTimeouts(connect_s=60.0)
        worker = start(world(pool(member, timeouts=timeouts, retry=NEVER_REPEAT)), held=True)
        client = worker.connect()
        client.send(get())
        wait_until(lambda: worker.in_flight() == 1, "it is under way")
        worker.pass_time(0.6)
        assert client.read_response().status == 200
        assert client.get().status == 200
    assert worker.open_descriptors() < 30


def test_when_all_fail_the_log_says_what_each_did_and_nothing_is_left(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    port = endpoint.port
    with black_hole("127.0.0.2", port):
        member = called(endpoint, "127.0.0.2", NOBODY)
        worker = start(
            world(
                pool(member, timeouts=PoolTimeouts(connect_s=5.0), retry=NEVER_REPEAT),
                request_log=RequestLog("file", str(log)),
            ),
            held=True,
        )
        before = worker.open_descriptors()
        client = worker.connect()
        client.send(get())
        wait_until(lambda: worker.in_flight() == 1, "it is under way")
        worker.pass_time(0.6)
        worker.pass_time(5.0)
        assert client.read_response().status == 504
        worker.pass_time(0.3)
        [line] = lines_of(log, 1)
    assert f"{NOBODY}:{port}: ECONNREFUSED, 127.0.0.2:{port} does not answer" in line["why"]
    assert worker.open_descriptors() == before + 1, "the client's"


def test_a_client_that_leaves_meanwhile_ends_all_attempts(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    with black_hole("127.0.0.2", endpoint.port), black_hole("127.0.0.4", endpoint.port):
        member = called(endpoint, "127.0.0.2", "127.0.0.4")
        worker = start(world(pool(member, timeouts=PoolTimeouts(connect_s=60.0))), held=True)
        before = worker.open_descriptors()
        client = worker.connect()
        client.send(get())
        wait_until(lambda: worker.in_flight() == 1, "it is under way")
        worker.pass_time(0.6)
        assert worker.open_descriptors() == before + 3
        client.close()
        worker.wait_until_idle()
        wait_until(lambda: worker.open_descriptors() == before, "all is closed")


def test_connections_to_an_address_that_went_away_are_not_used_again(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(called(endpoint, "127.0.0.1"))))
    client = worker.connect()
    client.get()
    worker.apply(world(pool(called(endpoint, "127.0.0.1", NOBODY))))
    client.get()
    assert worker.board.load_sum(0, L_CONNECTIONS) <= 1, "one that is left stays in use"
    worker.apply(world(pool(called(endpoint, NOBODY), retry=NEVER_REPEAT)))
    assert client.get().status == 502
