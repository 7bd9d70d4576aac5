"""What passed beyond a limit, and what keys cost, worked out of what was counted."""

import asyncio
from collections import Counter

import pytest

from benchmarks.tenants.asked import KEY, TOKENS, Allowed
from benchmarks.tenants.at_once import ask_at_once
from benchmarks.tenants.cost import Cost, compared
from benchmarks.tenants.gateways import tenant_of
from benchmarks.tenants.overshoot import BOUNDS, Bound, judged
from benchmarks.tenants.report import costs

BY_NAME = {bound.name: bound for bound in BOUNDS}


def bound(name: str, **seen: int) -> float:
    """What passed beyond that bound, by what the engine saw within three seconds."""
    return judged("it", BY_NAME[name], {"200": seen["requests"]}, 3.0, seen).beyond


def test_what_flows_back_meanwhile_may_pass_too() -> None:
    assert bound("requests a minute", requests=105, most=50) == 0.0
    assert bound("requests a minute", requests=107, most=50) == pytest.approx(2.0)


def test_a_budget_flows_back_never() -> None:
    assert bound("budget of tokens", requests=100, most=50) == 0.0
    assert bound("budget of tokens", requests=101, most=50) == TOKENS


def test_places_are_passed_by_the_most_at_a_time_however_many_came() -> None:
    assert bound("at a time", requests=900, most=100) == 0.0
    assert bound("at a time", requests=900, most=130) == 30.0


def test_ends_are_told_apart() -> None:
    ends = Counter({"200": 100, "429": 890, "503": 7, "no answer": 3})
    found = judged("it", BY_NAME["requests a minute"], ends, 1.0, {"requests": 100, "most": 9})
    assert (found.asked, found.refused, found.other) == (1000, 890, 10)


def test_every_bound_is_the_one_that_is_reached_first() -> None:
    plenty = Allowed()

    def others(held: Bound) -> list[float]:
        allowed = held.allowed
        return [allowed.requests, allowed.tokens / TOKENS, allowed.concurrent]

    for held in BOUNDS:
        near = [each for each in others(held) if each <= 100]
        assert len(near) == (0 if held.allowed.budget_tokens else 1), held
    assert not [each for each in (plenty.requests, plenty.concurrent) if each < 1000]


def test_tokens_limit_only_where_they_are_read() -> None:
    assert len(tenant_of(KEY, Allowed(), tokens=False)["limits"]) == 2
    assert tenant_of(KEY, Allowed(budget_tokens=5), tokens=True)["budgets"] == [
        {"tokens": 5, "per": "day"}
    ]


def test_a_price_is_the_median_of_rounds_in_which_both_were_measured() -> None:
    open_to_all = Cost("open", "", [10.0, 20.0, 30.0])
    keyed = Cost("keyed", "open", [11.0, 21.0, 36.0])
    found = compared(keyed, open_to_all)
    assert found is not None
    assert found.value == pytest.approx(1.1)
    assert compared(keyed, Cost("none", "")) is None


def test_a_gateway_that_is_alone_stands_in_the_table_without_a_ratio() -> None:
    lines = costs([Cost("alone", "its like", [4.0])])
    assert lines[-1] == "| alone | 4.0 |  |  |  |"


def test_a_crowd_is_counted_by_how_each_ended() -> None:
    async def crowd() -> Counter[str]:
        answered = 0

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal answered
            await reader.readuntil(b"\r\n\r\n")
            answered += 1
            if answered <= 3:
                writer.write(b"HTTP/1.1 429 Too Many Requests\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            return (await ask_at_once(server.sockets[0].getsockname()[1], 5, KEY)).ends

    assert asyncio.run(crowd()) == {"429": 3, "no answer": 2}
