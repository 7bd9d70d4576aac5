"""Many calls on one connection over three servers, of which one is killed and one drained."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import grpc.aio
import pytest

from penstock.core.snapshot import Admission, Http2, Outlier
from penstock.dataplane.board.layout import W_ACCEPTED
from tests.harness.grpc_process import SERVICE, GrpcProcess
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import at, listener, pool, world

Start = Callable[..., Worker]


@pytest.mark.parametrize("count", [90, pytest.param(2000, marks=pytest.mark.large)])
async def test_calls_that_are_safe_to_repeat_are_never_lost(
    start: Start, tmp_path: Path, count: int
) -> None:
    """Each call has one end and reaches one server; those that fail reached the one killed, and
    fail with UNAVAILABLE."""
    with ExitStack() as stack:
        killed, drained, left = [
            stack.enter_context(GrpcProcess(tmp_path / name)) for name in ("a", "b", "c")
        ]
        servers = [at(each, http2=True) for each in (killed, drained, left)]
        worker = start(
            world(
                pool(*servers, outlier=Outlier(enabled=False), admission=Admission()),
                listeners=[listener(http2=Http2(streams=count, connection_bytes=8 << 20))],
            )
        )
        host, port = worker.address()
        async with grpc.aio.insecure_channel(
            f"{host}:{port}", [("grpc.enable_retries", 0)]
        ) as channel:
            wait = channel.unary_unary(SERVICE + "Wait")
            ids = [b"%05d" % number for number in range(count)]
            calls = [asyncio.ensure_future(ended(wait, each)) for each in ids]
            trio = (killed, drained, left)
            await until(lambda: min(len(server.seen()) for server in trio) >= count // 3)
            await until(lambda: sum(len(server.seen()) for server in trio) == count)
            worker.drain("main", drained)
            killed.kill()
            lost = killed.seen()
            await until(lambda: sum(call.done() for call in calls) >= len(lost))
            # Of the three, one is gone, one takes no new calls, and one is as it was.
            more = [b"%05d" % (count + number) for number in range(count // 4)]
            calls += [asyncio.ensure_future(ended(wait, each)) for each in more]
            await until(lambda: len(left.seen()) >= count // 3 + len(more))
            drained.let_go()
            left.let_go()
            ends = dict(zip(ids + more, await asyncio.gather(*calls), strict=True))
        seen = Counter(killed.seen() + drained.seen() + left.seen())
        assert seen == Counter(ids + more)
        assert {each for each in ends if ends[each] == "UNAVAILABLE"} == set(lost)
        assert {ends[each] for each in drained.seen()} == {drained.name}
        assert {ends[each] for each in left.seen()} == {left.name}
        worker.wait_until_published()
        assert worker.count(W_ACCEPTED) == 1
    wait_until(lambda: worker.in_flight() == 0, "nothing is left of them")


async def ended(wait: grpc.aio.UnaryUnaryMultiCallable, message: bytes) -> str:
    """The name of the server that answered, or the status."""
    try:
        name: bytes = await wait(message)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return name.decode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - other processes change it
            await asyncio.sleep(0.01)
