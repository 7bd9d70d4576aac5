"""A request that comes back to the balancer that sent it is answered, not sent round again."""

import json
from collections.abc import Callable

import pytest

from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.worker import Worker
from tests.harness.world import Address, pool, route, world
from tests.scenario.conftest import Serve

LOOP = 508


def test_endpoint_that_is_the_listener_gets_one_request(start: Callable[..., Worker]) -> None:
    worker = start(world(pool(Address(1))))
    worker.apply(world(pool(Address(worker.address()[1])), instance="one"))
    response = worker.connect().get()
    assert response.status == LOOP
    assert json.loads(response.body)["error"]["type"] == "loop"


@pytest.mark.parametrize("mirrored", [False, True])
def test_loop_through_another_balancer_is_found(
    start: Callable[..., Worker], endpoint: HttpEndpoint, mirrored: bool
) -> None:
    first = start(world(pool(Address(1))))
    second = start(world(pool(Address(first.address()[1])), instance="two"))
    back = Address(second.address()[1])
    if mirrored:
        pools = (pool(endpoint), pool(back, name="copies"))
        first.apply(world(*pools, routes=[route("main", mirror="copies")], instance="one"))
    else:
        first.apply(world(pool(back), instance="one"))
    assert first.connect().get().status == (200 if mirrored else LOOP)
    assert endpoint.requests_begun == (1 if mirrored else 0)


def test_chain_of_balancers_of_one_name_is_no_loop(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    inner = start(world(pool(endpoint), instance="inner"))
    outer = start(world(pool(Address(inner.address()[1])), instance="outer"))
    assert outer.connect().get().status == 200
    assert endpoint.last.headers["via"] == "1.1 penstock (outer), 1.1 penstock (inner)"


def test_all_workers_of_a_balancer_are_one_instance(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"listen": "127.0.0.1:0", "endpoints": [endpoint.name], "workers": 2})
    for _ in range(8):
        with balancer.connect() as client:
            assert client.get().status == 200
    (via,) = {request.headers["via"] for request in endpoint.requests}
    assert via.startswith("1.1 penstock (")
    with balancer.connect() as client:
        assert client.get("/", f"Via: {via}").status == LOOP
