"""KEDA's external scaler, asked by gRPC's own client."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from penstock.control.events import Events
from penstock.control.scale.external_scaler import METRIC, ExternalScalers
from penstock.core.snapshot import ActuatorChoice, Pool, Scale, Snapshot
from penstock.wire.external_scaler import SERVICE
from penstock.wire.protobuf import DELIMITED, VARINT, Fields, delimited
from tests.unit.control.waiting import until

ADDRESS = ("127.0.0.1", 0)
Value = tuple[int, object]  # a field, and what it holds


def decode(message: bytes) -> list[Value]:
    fields = Fields(message)
    found: list[Value] = []
    while fields.advance():
        values = {VARINT: fields.number, DELIMITED: fields.octets()}
        found.append((fields.field, values.get(fields.kind)))
    assert not fields.malformed
    return found


def asking(**metadata: str) -> bytes:
    """A ScaledObjectRef, as KEDA sends it."""
    entries = [
        delimited(3, delimited(1, key.encode()) + delimited(2, value.encode()))
        for key, value in metadata.items()
    ]
    return delimited(1, b"app") + delimited(2, b"default") + b"".join(entries)


class Keda:
    """A client, and the numbers that it asks for."""

    def __init__(self, events: Events) -> None:
        self.wanted: dict[str, int | None] = {"main": 3}
        self.scalers = ExternalScalers(self._desired, events, self._sleep)
        self.channel: grpc.aio.Channel | None = None

    def _desired(self, pool: str) -> int | None:
        if pool not in self.wanted:
            raise KeyError(f"no pool that is scaled is called {pool!r}; there are: main")
        return self.wanted[pool]

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)

    async def open(self) -> None:
        choice = ActuatorChoice("publish", {"host": ADDRESS[0], "port": ADDRESS[1]})
        pool = Pool("main", (), scale=Scale(max=9, actuator=choice))
        self.scalers.configure(Snapshot(1, (), (), pools=(pool,)))
        await until(lambda: ADDRESS in self.scalers.ports, "it listens")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.scalers.ports[ADDRESS]}")

    async def call(self, method: str, message: bytes) -> list[Value]:
        assert self.channel is not None
        return decode(await self.channel.unary_unary(f"/{SERVICE}/{method}")(message))

    async def close(self) -> None:
        if self.channel is not None:
            await self.channel.close()
        await self.scalers.stop()


@pytest.fixture
async def keda(events: Events) -> AsyncIterator[Keda]:
    made = Keda(events)
    await made.open()
    yield made
    await made.close()


def metric(fields: list[Value]) -> tuple[str, int]:
    ((_, each),) = fields
    assert isinstance(each, bytes)
    (_, name), (_, number), _ = decode(each)
    assert isinstance(name, bytes)
    assert isinstance(number, int)
    return name.decode(), number


async def test_a_pool_wants_so_many_of_one_each(keda: Keda) -> None:
    assert metric(await keda.call("GetMetricSpec", asking(pool="main"))) == (METRIC, 1)
    request = delimited(1, asking(pool="main")) + delimited(2, METRIC.encode())
    assert metric(await keda.call("GetMetrics", request)) == (METRIC, 3)


async def test_a_pool_is_active_as_long_as_it_wants_any(keda: Keda) -> None:
    assert await keda.call("IsActive", asking(pool="main")) == [(1, 1)]
    keda.wanted["main"] = 0
    assert await keda.call("IsActive", asking(pool="main")) == []


async def test_a_stream_tells_at_once_and_with_each_change(keda: Keda) -> None:
    assert keda.channel is not None
    keda.wanted["main"] = 0
    call = keda.channel.unary_stream(f"/{SERVICE}/StreamIsActive")(asking(pool="main"))
    assert decode(await call.read()) == []
    keda.wanted["main"] = 2
    assert decode(await call.read()) == [(1, 1)]
    keda.wanted["main"] = None  # not known any more: what was told holds
    keda.wanted["main"] = 0
    assert decode(await call.read()) == []
    call.cancel()


@pytest.mark.parametrize(
    ("method", "message", "code", "told"),
    [
        ("IsActive", asking(pool="mian"), grpc.StatusCode.NOT_FOUND, "there are: main"),
        ("GetMetricSpec", asking(), grpc.StatusCode.NOT_FOUND, "there are: main"),
        ("IsActive", b"\xff", grpc.StatusCode.INVALID_ARGUMENT, "is not understood"),
        ("Scale", asking(pool="main"), grpc.StatusCode.UNIMPLEMENTED, "no method 'Scale'"),
        ("IsActive", asking(pool="cold"), grpc.StatusCode.UNAVAILABLE, "not known yet"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    keda: Keda, method: str, message: bytes, code: grpc.StatusCode, told: str
) -> None:
    keda.wanted["cold"] = None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await keda.call(method, message)
    assert caught.value.code() == code
    assert told in (caught.value.details() or "")


async def test_who_asks_no_more_is_forgotten_and_the_address_is_let_go(keda: Keda) -> None:
    await keda.call("IsActive", asking(pool="main"))
    keda.scalers.configure(Snapshot(2, (), (), pools=()))
    with pytest.raises(grpc.aio.AioRpcError):
        await keda.call("IsActive", asking(pool="main"))


async def test_an_address_that_is_taken_is_told_of_and_tried_again(events: Events) -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keda = Keda(events)
    choice = ActuatorChoice("publish", {"host": "127.0.0.1", "port": port})
    pool = Pool("main", (), scale=Scale(max=9, actuator=choice))
    keda.scalers.configure(Snapshot(1, (), (), pools=(pool,)))
    await until(lambda: any(e.kind == "scale.keda" for e in events.recent(9)), "it is told of")
    server.close()
    await until(lambda: ("127.0.0.1", port) in keda.scalers.ports, "it listens")
    await keda.close()
