"""What a balancer adds to the time to first token, worked out of measured times."""

import asyncio
from random import Random

import pytest

from benchmarks.failure import MeasurementError
from benchmarks.first_token import LOADS, Load, added, quantiles, verdict
from benchmarks.load.answer_client import AnswerClient

EVENT = b'data: {"choices": []}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Request-ID: a0\r\n\r\n"
WHOLE = HEAD + b"17\r\n" + EVENT + b"\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def rounds(added_s: float) -> list[list[float]]:
    dice = Random(5)
    return [[dice.uniform(0.01, 0.02) + added_s for _ in range(4)] for _ in range(100)]


def test_quantiles_are_by_nearest_rank_in_milliseconds() -> None:
    times = [
        [number / 1000 for number in range(1, 51)],
        [number / 1000 for number in range(51, 101)],
    ]
    assert quantiles(times) == pytest.approx([50.0, 90.0, 99.0])


def test_what_is_the_same_adds_nothing_for_certain() -> None:
    assert added(rounds(0.0), rounds(0.0)) == [(0.0, 0.0, 0.0)] * 3


def test_what_is_always_later_by_as_much_adds_that() -> None:
    for found in added(rounds(0.001), rounds(0.0)):
        assert found == pytest.approx((1.0, 1.0, 1.0))


def test_a_target_is_met_by_less_only_and_open_where_the_interval_holds_it() -> None:
    assert verdict("it", rounds(0.0005), rounds(0.0)).endswith("ms: met, met, met")
    other = [[first_s + 0.001 for first_s in each] for each in reversed(rounds(0.0))]
    assert verdict("it", other, rounds(0.0)).startswith(
        "- it at p50, p90, p99; target < 1 ms: open"
    )
    missed = "**missed**"
    assert verdict("it", rounds(0.002), rounds(0.0)).endswith(f"ms: {missed}, {missed}, {missed}")


def test_an_interval_holds_the_difference_and_is_no_point_where_times_vary() -> None:
    other = [[first_s + 0.001 for first_s in each] for each in reversed(rounds(0.0))]
    value, low, high = added(other, rounds(0.0))[0]
    assert value == pytest.approx(1.0)
    assert low < value < high


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_requests_differ_between_paths_only_in_their_name(load: Load) -> None:
    one, other = load.requests_of(3, "aa"), load.requests_of(3, "bb")
    assert [len(each) for each in one] == [load.turns] * load.callers
    assert [[each.replace(b'"aa ', b'"bb ') for each in caller] for caller in one] == other


async def first_token_s(*pieces: bytes) -> float:
    """Of an answer that comes in these pieces, each after the one before was read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = await AnswerClient.connect("it", server.sockets[0].getsockname()[1])
        try:
            return await client.first_token_s(b"GET / HTTP/1.1\r\n\r\n")
        finally:
            client.close()


@pytest.mark.parametrize("cut_at", [len(HEAD), len(HEAD) + 3, len(WHOLE) - 2])
async def test_a_whole_answer_is_timed_however_it_comes(cut_at: int) -> None:
    assert await first_token_s(WHOLE[:cut_at], WHOLE[cut_at:]) > 0.0


async def test_an_answer_that_is_cut_off_is_no_measurement() -> None:
    with pytest.raises(MeasurementError, match="closed a connection"):
        await first_token_s(WHOLE[:-5])
