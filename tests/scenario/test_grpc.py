"""gRPC, by clients and servers of another make: each call is a request of its own."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from penstock.core.snapshot import Admission, Match, Outlier, Pool, Queue, RequestLog
from penstock.dataplane.board.layout import L_FAILURES, P_RETRIES, W_CONNECTIONS
from tests.harness.grpc_server import SERVICE, GrpcEndpoint
from tests.harness.log import lines_of
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, HasAddress, at, pool, route, world

Start = Callable[..., Worker]
Dial = Callable[[Worker], grpc.Channel]


@pytest.fixture
def server() -> Iterator[GrpcEndpoint]:
    with GrpcEndpoint() as made:
        yield made


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Channels to a worker, each with a connection of its own."""
    with ExitStack() as stack:

        def open_one(worker: Worker) -> grpc.Channel:
            host, port = worker.address()
            options = [
                ("grpc.max_receive_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_retries", 0),
            ]
            return stack.enter_context(grpc.insecure_channel(f"{host}:{port}", options))

        yield open_one


def rpc(*servers: HasAddress, **settings: Any) -> Pool:
    return pool(*[at(each, http2=True) for each in servers], **settings)


def is_idle(worker: Worker) -> bool:
    worker.wait_until_published()
    return worker.in_flight() == 0 and worker.count(W_CONNECTIONS) == 0


def code_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    assert isinstance(error, grpc.Call)
    return error.code(), error.details() or ""


def test_calls_of_all_four_kinds(start: Start, server: GrpcEndpoint, dial: Dial) -> None:
    channel = dial(start(world(rpc(server))))
    echo = channel.unary_unary(SERVICE + "Echo")
    reply, call = echo.with_call(b"hello", timeout=PATIENCE_S, metadata=(("x-own", "a"),))
    assert reply == b"hello"
    assert ("x-served-by", server.name) in call.trailing_metadata()
    assert ("x-initial", "1") in call.initial_metadata()
    assert server.calls[-1][1]["x-own"] == "a"
    split = channel.unary_stream(SERVICE + "Split")
    assert list(split(b"abc", timeout=PATIENCE_S)) == [b"a", b"b", b"c"]
    join = channel.stream_unary(SERVICE + "Join")
    assert join(iter([b"a", b"b"]), timeout=PATIENCE_S) == b"ab"
    chat = channel.stream_stream(SERVICE + "Chat")
    assert list(chat(iter([b"x", b"y"]), timeout=PATIENCE_S)) == [b"X", b"Y"]


def test_large_messages_pass(start: Start, server: GrpcEndpoint, dial: Dial) -> None:
    message = bytes(range(256)) * 4096 * 4
    echo = dial(start(world(rpc(server)))).unary_unary(SERVICE + "Echo")
    assert echo(message, timeout=PATIENCE_S) == message


def test_messages_of_a_stream_pass_one_by_one(
    start: Start, server: GrpcEndpoint, dial: Dial
) -> None:
    chat = dial(start(world(rpc(server)))).stream_stream(SERVICE + "Chat")
    sent: list[bytes] = []

    def speak() -> Iterator[bytes]:
        while len(sent) < 3:
            sent.append(b"m%d" % len(sent))
            yield sent[-1]
            while len(heard) < len(sent):
                time.sleep(0.001)

    heard: list[bytes] = []
    for reply in chat(speak(), timeout=PATIENCE_S):
        heard += [reply]
    assert heard == [b"M0", b"M1", b"M2"]


def test_streams_of_one_connection_are_balanced(start: Start, dial: Dial) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(GrpcEndpoint()) for _ in range(3)]
        worker = start(world(rpc(*servers)))
        echo = dial(worker).unary_unary(SERVICE + "Echo")
        calls = [echo.future(b"%d" % number, timeout=PATIENCE_S) for number in range(300)]
        assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]
        assert [len(server.calls) for server in servers] == [100, 100, 100]


def test_status_and_message_of_the_endpoint_pass(
    start: Start, server: GrpcEndpoint, dial: Dial, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    worker = start(world(rpc(server), request_log=RequestLog("file", str(log))))
    fail = dial(worker).unary_unary(SERVICE + "Fail")
    found = code_of(lambda: fail(b"FAILED_PRECONDITION", timeout=PATIENCE_S))
    assert found == (grpc.StatusCode.FAILED_PRECONDITION, "because: 100% ü")
    found = code_of(lambda: fail(b"UNAVAILABLE", timeout=PATIENCE_S))
    assert found[0] == grpc.StatusCode.UNAVAILABLE
    lines = lines_of(log, 2)
    assert [line["grpc_status"] for line in lines] == [9, 14]
    assert [line["status"] for line in lines] == [200, 200]
    worker.wait_until_published()
    assert worker.load(server, L_FAILURES) == 1  # 9 is the client's fault


def test_calls_without_an_endpoint_are_unavailable(
    start: Start, refusing: Address, dial: Dial
) -> None:
    echo = dial(start(world(rpc(refusing)))).unary_unary(SERVICE + "Echo")
    code, text = code_of(lambda: echo(b"", timeout=PATIENCE_S))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert text == "the endpoint failed before it answered"


def test_unknown_routes_are_unimplemented(start: Start, server: GrpcEndpoint, dial: Dial) -> None:
    only = route("main", match=Match(path_kind="prefix", path="/other"))
    echo = dial(start(world(rpc(server), routes=[only]))).unary_unary(SERVICE + "Echo")
    code, text = code_of(lambda: echo(b"", timeout=PATIENCE_S))
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "no route matches" in text


def test_endpoint_that_refuses_is_passed_over(
    start: Start, server: GrpcEndpoint, refusing: Address, dial: Dial
) -> None:
    worker = start(world(rpc(refusing, server)))
    echo = dial(worker).unary_unary(SERVICE + "Echo")
    for _ in range(4):
        assert echo(b"x", timeout=PATIENCE_S) == b"x"
    wait_until(lambda: worker.pool_count(P_RETRIES) > 0, "it was passed over")


def test_cancelled_call_is_cancelled_at_the_endpoint(
    start: Start, server: GrpcEndpoint, dial: Dial
) -> None:
    worker = start(world(rpc(server)))
    held = dial(worker).unary_unary(SERVICE + "Held").future(b"", timeout=PATIENCE_S)
    wait_until(lambda: len(server.calls) == 1, "it is under way")
    held.cancel()
    assert server.cancelled.wait(PATIENCE_S)
    worker.wait_until_idle()


def test_deadline_is_handed_on_and_kept(start: Start, server: GrpcEndpoint, dial: Dial) -> None:
    worker = start(world(rpc(server)))
    held = dial(worker).unary_unary(SERVICE + "Held")
    code, _ = code_of(lambda: held(b"", timeout=0.5))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.cancelled.wait(PATIENCE_S)
    worker.wait_until_idle()


def test_calls_wait_in_the_pools_queue(start: Start, server: GrpcEndpoint, dial: Dial) -> None:
    bounded = pool(
        at(server, http2=True, max_in_flight=1), admission=Admission(queue=Queue(length=1))
    )
    held = dial(start(world(bounded))).unary_unary(SERVICE + "Held")
    first = held.future(b"1", timeout=PATIENCE_S)
    wait_until(lambda: len(server.calls) == 1, "it is under way")
    second = held.future(b"2", timeout=PATIENCE_S)
    code, _ = code_of(lambda: held(b"3", timeout=PATIENCE_S))
    assert code == grpc.StatusCode.UNAVAILABLE
    server.hold.set()
    assert (first.result(), second.result()) == (b"1", b"2")


def test_killed_server_costs_only_calls_under_way_there(start: Start, dial: Dial) -> None:
    with GrpcEndpoint() as one, GrpcEndpoint() as other:
        worker = start(world(rpc(one, other, outlier=Outlier(enabled=False))))
        channel = dial(worker)
        held = channel.unary_unary(SERVICE + "Held")
        calls = [held.future(b"", timeout=PATIENCE_S) for _ in range(20)]
        wait_until(lambda: len(one.calls) + len(other.calls) == 20, "all are under way")
        one.stop()
        echo = channel.unary_unary(SERVICE + "Echo")
        for number in range(50):
            assert echo(b"%d" % number, timeout=PATIENCE_S) == b"%d" % number
        other.hold.set()
        codes = Counter(call.code() for call in calls)
        assert codes[grpc.StatusCode.OK] >= 10
        assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    worker.wait_until_idle()


def test_reflection_passes(start: Start, dial: Dial) -> None:
    """A stream in both directions, and descriptors of services that the endpoint tells."""
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    reflection.enable_server_reflection((health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    place = Address(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    try:
        told = ProtoReflectionDescriptorDatabase(dial(start(world(rpc(place)))))
        assert set(told.get_services()) == {health.SERVICE_NAME, reflection.SERVICE_NAME}
        described = DescriptorPool(told).FindServiceByName(health.SERVICE_NAME)
        assert "Check" in [method.name for method in described.methods]
    finally:
        server.stop(None).wait()


def test_nothing_is_left_of_calls(start: Start, server: GrpcEndpoint, dial: Dial) -> None:
    worker = start(world(rpc(server)))
    channel = dial(worker)
    echo = channel.unary_unary(SERVICE + "Echo")
    for _ in range(20):
        echo(b"x", timeout=PATIENCE_S)
    channel.close()
    wait_until(lambda: is_idle(worker), "nothing is left of them")
