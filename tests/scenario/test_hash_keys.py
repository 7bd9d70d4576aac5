"""What hashing policies hash by is what a request has to say, else its client's address."""

from collections.abc import Callable

import pytest

from penstock.core.snapshot import HashKey, PolicyChoice
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, world

# So many that by chance all of them have one endpoint in one of a million runs.
CLIENTS = [f"127.0.0.{number}" for number in range(2, 23)]
EVEN = PolicyChoice("rendezvous")


@pytest.mark.parametrize(
    ("key", "target", "lines"),
    [
        (HashKey("header", ("x-user",)), "/", ("X-User:",)),
        (HashKey("header", ("x-user", "x-team")), "/", ("X-User:", "X-Team:  ")),
        (HashKey("cookie", ("user",)), "/", ("Cookie: a=b; user=; c=d",)),
        (HashKey("query", ("user",)), "/?user=&a=b", ()),
    ],
    ids=["header", "headers", "cookie", "query"],
)
def test_empty_key_is_as_none(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    key: HashKey,
    target: str,
    lines: tuple[str, ...],
) -> None:
    members = pool(endpoint, other_endpoint, hash_key=key, policy=EVEN)
    worker = start(world(members))
    without = [worker.connect(source=client).get().body for client in CLIENTS]
    empty = [worker.connect(source=client).get(target, *lines).body for client in CLIENTS]
    assert empty == without
    assert len(set(empty)) == 2


def test_first_value_that_is_not_empty_counts(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    key = HashKey("header", ("x-user", "x-team"))
    members = pool(endpoint, other_endpoint, hash_key=key, policy=EVEN)
    worker = start(world(members))
    lines = ("X-User:", "X-User: ann", "X-Team: one")
    told = {worker.connect(source=client).get("/", *lines).body for client in CLIENTS}
    assert told == {worker.connect().get("/", "X-User: ann").body}


def test_client_behind_proxies_stays_with_one_endpoint_whatever_its_port(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    members = pool(endpoint, other_endpoint, policy=PolicyChoice("source-hash"))
    trusting = listener(trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    worker = start(world(members, listeners=[trusting]))

    def served(told: str) -> bytes:
        return worker.connect().get("/", told).body

    for client in ("203.0.113.9", "203.0.113.10", "203.0.113.11", "203.0.113.12"):
        home = served(f"X-Forwarded-For: {client}")
        ports = range(40_000, 40_008)
        assert {served(f"X-Forwarded-For: {client}:{port}, 10.0.0.6:8443") for port in ports} == {
            home
        }
        assert served(f"X-Forwarded-For: ::ffff:{client}") == home
        assert served(f'Forwarded: for="{client}:4711", for=10.0.0.6') == home
