"""Calls that end without a message are made again where the pool says so, and no others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from penstock.core.snapshot import Outlier, Retry
from penstock.dataplane.board.layout import L_FAILURES, P_RETRIES, P_RETRIES_DENIED
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.grpc_server import SERVICE, GrpcEndpoint
from tests.harness.waiting import PATIENCE_S
from tests.harness.worker import Worker
from tests.harness.world import HasAddress, at, pool, world

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
AGAIN = Retry(on_grpc_statuses=(14,))

Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]


@pytest.fixture
def ill() -> Iterator[GrpcEndpoint]:
    with GrpcEndpoint() as made:
        made.fails_with = UNAVAILABLE
        yield made


@pytest.fixture
def well() -> Iterator[GrpcEndpoint]:
    with GrpcEndpoint() as made:
        yield made


@pytest.fixture
def channels() -> Iterator[Callable[[Worker], grpc.Channel]]:
    with ExitStack() as stack:

        def dial(worker: Worker) -> grpc.Channel:
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
            host, port = worker.address()
            return stack.enter_context(grpc.insecure_channel(f"{host}:{port}", options))

        yield dial


Dial = Callable[[Worker], grpc.Channel]


def before(start: Start, *servers: HasAddress, retry: Retry = AGAIN) -> Worker:
    """The first is asked first."""
    endpoints = [at(each, http2=True) for each in servers]
    return start(world(pool(*endpoints, retry=retry, outlier=Outlier(enabled=False))))


def echo(channel: grpc.Channel, message: bytes) -> bytes:
    reply: bytes = channel.unary_unary(SERVICE + "Echo")(message, timeout=PATIENCE_S)
    return reply


def status_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert isinstance(caught.value, grpc.Call)
    return caught.value.code()


def test_call_is_made_again_with_its_message(
    start: Start, ill: GrpcEndpoint, well: GrpcEndpoint, channels: Dial
) -> None:
    worker = before(start, ill, well)
    channel = channels(worker)
    message = bytes(range(256)) * 200
    assert [echo(channel, message) for _ in range(4)] == [message] * 4
    assert len(well.calls) == 4
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) == len(ill.calls) == worker.load(ill, L_FAILURES)
    assert len(ill.calls) > 0


def test_call_is_made_once_unless_the_pool_says_so(
    start: Start, ill: GrpcEndpoint, well: GrpcEndpoint, channels: Dial
) -> None:
    channel = channels(before(start, ill, well, retry=Retry()))
    assert status_of(lambda: echo(channel, b"x")) == UNAVAILABLE
    assert well.calls == []


def test_other_statuses_are_passed_on(
    start: Start, ill: GrpcEndpoint, well: GrpcEndpoint, channels: Dial
) -> None:
    ill.fails_with = grpc.StatusCode.INTERNAL
    channel = channels(before(start, ill, well))
    assert status_of(lambda: echo(channel, b"x")) == grpc.StatusCode.INTERNAL
    assert well.calls == []


def test_servers_that_push_back_are_heeded(
    start: Start, ill: GrpcEndpoint, well: GrpcEndpoint, channels: Dial
) -> None:
    ill.pushes_back = True
    channel = channels(before(start, ill, well))
    assert status_of(lambda: echo(channel, b"x")) == UNAVAILABLE
    assert well.calls == []


def test_call_that_answered_with_a_message_is_never_made_again(
    start: Start, ill: GrpcEndpoint, well: GrpcEndpoint, channels: Dial
) -> None:
    channel = channels(before(start, ill, well))
    split = channel.unary_stream(SERVICE + "Split")(b"ab", timeout=PATIENCE_S)
    assert next(split) == b"a"
    assert next(split) == b"b"
    assert status_of(lambda: next(split)) == UNAVAILABLE
    assert well.calls == []


def test_last_attempts_status_is_the_clients(
    start: Start, ill: GrpcEndpoint, channels: Dial
) -> None:
    worker = before(start, ill, retry=Retry(attempts=2, on_grpc_statuses=(14,)))
    channel = channels(worker)
    assert status_of(lambda: echo(channel, b"x")) == UNAVAILABLE
    assert len(ill.calls) == 2


def test_budget_bounds_calls_that_are_made_again(
    start: Start, ill: GrpcEndpoint, channels: Dial
) -> None:
    spent = Retry(attempts=9, on_grpc_statuses=(14,), budget_share=0.0, budget_min_per_s=0.3)
    worker = before(start, ill, retry=spent)
    channel = channels(worker)
    assert status_of(lambda: echo(channel, b"x")) == UNAVAILABLE
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) == 3
    assert worker.pool_count(P_RETRIES_DENIED) == 1
    assert len(ill.calls) == 4


@pytest.mark.parametrize("in_head", [True, False])
def test_status_behind_an_empty_body_is_one_of_no_message(
    start: Start, well: GrpcEndpoint, scripted: Scripted, channels: Dial, in_head: bool
) -> None:
    """Some servers send a head and trailers with nothing between."""
    first = scripted(lambda connection: answer_unavailable(connection, in_head))
    worker = before(start, first, well)
    channel = channels(worker)
    assert [echo(channel, b"x"), echo(channel, b"y")] == [b"x", b"y"]
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) > 0


def test_what_a_proxy_answers_in_a_servers_place_is_unavailable_too(
    start: Start, well: GrpcEndpoint, scripted: Scripted, channels: Dial
) -> None:
    def busy(connection: EndpointConnection) -> None:
        serve(connection, [(":status", "503")], [])

    worker = before(start, scripted(busy), well)
    channel = channels(worker)
    assert [echo(channel, b"x"), echo(channel, b"y")] == [b"x", b"y"]


def answer_unavailable(connection: EndpointConnection, in_head: bool) -> None:
    head = [(":status", "200"), ("content-type", "application/grpc")]
    trailers = [("grpc-status", "14"), ("grpc-message", "busy")]
    if in_head:
        serve(connection, head + trailers, [])
    else:
        serve(connection, head, trailers)


def serve(
    connection: EndpointConnection,
    head: list[tuple[str, str]],
    trailers: list[tuple[str, str]],
) -> None:
    """Answers every stream so, all of an answer in one write."""
    config = h2.config.H2Configuration(client_side=False)
    server = h2.connection.H2Connection(config)
    server.initiate_connection()
    connection.send(server.data_to_send())
    while data := connection.receive():
        for event in server.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                server.send_headers(event.stream_id, head, end_stream=not trailers)
                if trailers:
                    server.send_headers(event.stream_id, trailers, end_stream=True)
        connection.send(server.data_to_send())
