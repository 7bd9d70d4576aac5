"""Limits of bytes: answers count as they are sent, and what is used up refuses what comes next."""

from typing import Any

from penstock.core.snapshot import Snapshot
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer, answer_of, get
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.test_limits import Supervisor, budget, limit


def counting(*limits: Any) -> Snapshot:
    return world(pool_of(0, limits=limits))


def download(stage: Stage) -> End:
    client = stage.client(room=1 << 20)
    stage.send(client, get("/"))
    return client


def answered(stage: Stage, size: int) -> int:
    """How a download of that many bytes is answered."""
    client = download(stage)
    if stage.in_flight():
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"x" * size))
    return status_of(stage.received(client))


def test_downloads_are_refused_once_their_bytes_are_used_up() -> None:
    with Stage(counting(budget("bytes", 1000.0))) as stage:
        Supervisor(stage)
        assert [answered(stage, 600) for _ in range(3)] == [200, 200, 429]


def test_what_is_sent_of_an_answer_counts_while_it_is_under_way() -> None:
    with Stage(counting(budget("bytes", 1000.0))) as stage:
        owner = Supervisor(stage)
        running = download(stage)
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer("Content-Length: 5000", body=b"x" * 1500))
        stage.received(running)
        stage.pass_time(0.5)
        assert status_of(stage.received(download(stage))) == 429
        stage.send(endpoint, b"x" * 3500)
        assert stage.received(running).count(b"x") == 3500
        stage.pass_time(0.5)
        assert owner.owner.beyond["it"] > 4000.0


def test_bytes_of_a_rate_flow_back_and_retry_after_says_when() -> None:
    with Stage(counting(limit("it", "bytes", 600.0, "minute"))) as stage:
        Supervisor(stage)
        assert answered(stage, 1000) == 200
        stage.pass_time(0.5)
        told = stage.received(download(stage))
        assert status_of(told) == 429
        wait_s = int(told.partition(b"Retry-After: ")[2].partition(b"\r")[0])
        assert 35 <= wait_s <= 70
        stage.pass_time(wait_s - 3.0)
        assert status_of(stage.received(download(stage))) == 429
        stage.pass_time(4.0)
        assert answered(stage, 10) == 200


def test_a_download_that_no_endpoint_got_costs_nothing() -> None:
    with Stage(counting(budget("bytes", 1000.0))) as stage:
        owner = Supervisor(stage)
        stage.set_health(0, 2)
        assert answered(stage, 10) == 503
        assert owner.spent("it") == 0.0
