"""gRPC that the balancer answers itself: its own health, by clients of another make."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock.core.health.health import DOWN
from penstock.core.snapshot import Match, RequestLog
from penstock.dataplane.board.layout import S_HEALTH
from tests.harness.grpc_server import SERVICE, GrpcEndpoint
from tests.harness.http2_client import Http2Client
from tests.harness.log import lines_of
from tests.harness.messages import get, post
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, pool, route, world

Start = Callable[..., Worker]

HEALTH = "grpc.health.v1.Health"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OURS = route(name="health", match=Match(path_kind="prefix", path=f"/{HEALTH}"), grpc_service=HEALTH)
NOWHERE = Address(1)


@pytest.fixture
def dial() -> Iterator[Callable[[Worker], grpc.Channel]]:
    with ExitStack() as stack:

        def open_one(worker: Worker) -> grpc.Channel:
            host, port = worker.address()
            options = [("grpc.use_local_subchannel_pool", 1)]
            return stack.enter_context(grpc.insecure_channel(f"{host}:{port}", options))

        yield open_one


Dial = Callable[[Worker], grpc.Channel]


def health_of(channel: grpc.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S)
    status: int = answer.status
    return status


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert isinstance(caught.value, grpc.Call)
    return caught.value.code()


def two_pools(start: Start) -> Worker:
    cart = at(NOWHERE, http2=True)
    routes = [
        OURS,
        route("cart", match=Match(path_kind="prefix", path="/shop.Cart")),
        route("till", match=Match(path_kind="exact", path="/shop.Till/Add")),
    ]
    return start(world(pool(cart, name="cart"), pool(cart, name="till"), routes=routes))


def test_balancer_and_pools_say_whether_they_serve(start: Start, dial: Dial) -> None:
    worker = two_pools(start)
    channel = dial(worker)
    for asked in ("", "cart", "shop.Cart", "till"):
        assert health_of(channel, asked) == SERVING
    worker.set_state("cart", NOWHERE, S_HEALTH, DOWN)
    wait_until(lambda: health_of(channel, "cart") == NOT_SERVING, "the worker knows")
    assert health_of(channel, "shop.Cart") == NOT_SERVING
    assert health_of(channel, "till") == SERVING
    assert health_of(channel) == SERVING
    assert code_of(lambda: health_of(channel, "shop.Cellar")) == grpc.StatusCode.NOT_FOUND


def test_who_watches_is_told_what_changes_until_the_balancer_stops(
    start: Start, dial: Dial
) -> None:
    worker = two_pools(start)
    stub = health_pb2_grpc.HealthStub(dial(worker))
    cart = stub.Watch(health_pb2.HealthCheckRequest(service="shop.Cart"), timeout=PATIENCE_S)
    assert next(cart).status == SERVING
    worker.set_state("cart", NOWHERE, S_HEALTH, DOWN)
    assert next(cart).status == NOT_SERVING
    cart.cancel()
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="shop.Cellar"), timeout=PATIENCE_S)
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    whole = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
    assert next(whole).status == SERVING
    worker.stop()
    assert next(whole).status == NOT_SERVING
    assert code_of(lambda: next(whole)) == grpc.StatusCode.UNAVAILABLE


def test_what_is_no_call_of_it_is_refused(start: Start, dial: Dial) -> None:
    worker = two_pools(start)
    channel = dial(worker)
    unknown = channel.unary_unary(f"/{HEALTH}/List")
    found = code_of(lambda: unknown(b"", timeout=PATIENCE_S))
    assert found == grpc.StatusCode.UNIMPLEMENTED
    check = channel.unary_unary(f"/{HEALTH}/Check")
    for message in (b"\x0a\xff", b"\x0a\x01\xff"):
        found = code_of(partial(check, message, timeout=PATIENCE_S))
        assert found == grpc.StatusCode.INVALID_ARGUMENT
    found = code_of(lambda: check(bytes(1 << 20), timeout=PATIENCE_S))
    assert found == grpc.StatusCode.RESOURCE_EXHAUSTED
    with Http2Client(worker.address()) as client:
        told = ("content-type", "application/grpc")
        answer = client.wait(client.begin(f"/{HEALTH}/Check", told, method="POST"))
    assert answer.value("grpc-status") == "13"
    over_http1 = worker.connect()
    over_http1.send(get(f"/{HEALTH}/Check"))
    assert over_http1.read_response().status == 415
    over_http1.send(post("Content-Type: application/grpc", target=f"/{HEALTH}/Check"))
    refused = over_http1.read_response("POST")
    assert (refused.status, refused.headers["grpc-status"]) == (200, "12")


def test_endpoints_own_health_passes_unless_a_route_says_so(start: Start, dial: Dial) -> None:
    with GrpcEndpoint() as server:
        channel = dial(start(world(pool(at(server, http2=True)))))
        assert code_of(lambda: health_of(channel)) == grpc.StatusCode.UNIMPLEMENTED  # its own word
        echo = channel.unary_unary(SERVICE + "Echo")
        assert echo(b"x", timeout=PATIENCE_S) == b"x"


def test_calls_answered_here_are_logged(start: Start, dial: Dial, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(
        world(
            pool(at(NOWHERE, http2=True)),
            routes=[OURS],
            request_log=RequestLog("file", str(log)),
        )
    )
    assert health_of(dial(worker)) == SERVING
    (line,) = lines_of(log, 1)
    assert (line["route"], line["end"], line["grpc_status"]) == ("health", "fixed", 0)
