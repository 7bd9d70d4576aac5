"""What balancers tell each other of endpoints' load: it is seen soon, and never stays wrong."""

import msgspec
import pytest

from penstock.control.replicas.load_sharing import tick_s
from penstock.control.replicas.messages import LOAD, Message, decode, encode, packed, unpacked
from penstock.core.health.breaker import OPEN
from penstock.dataplane.board.balancer_loads import CIRCUIT_OPEN, T_VERDICT
from penstock.dataplane.board.layout import L_BREAKER, L_PREFILLED, O_PREFILLED
from tests.unit.control.replicas.balancers import Balancer, Bus, snapshot

A, B = 9001, 9002


@pytest.fixture
def bus() -> Bus:
    return Bus()


def test_what_one_has_the_others_see_whatever_their_rows_and_pools_are(bus: Bus) -> None:
    one = Balancer(bus, "one", [A, B])
    two = Balancer(bus, "two", [B, A], first_row=7)
    one.send(A, 3)
    one.send(A, 2, worker=1)
    two.send(B, 4)
    bus.run(0.02)
    assert (two.sees(A), two.sees(B)) == (5, 0)
    assert (one.sees(A), one.sees(B)) == (0, 4)
    one.send(A, 0)
    bus.run(0.02)
    assert two.sees(A) == 2


def test_with_several_each_sees_the_sum_of_the_others(bus: Bus) -> None:
    all_of_them = [Balancer(bus, f"b{number}", [A]) for number in range(4)]
    for number, each in enumerate(all_of_them):
        each.send(A, 10**number)
    bus.run(0.02)
    assert [each.sees(A) for each in all_of_them] == [1110, 1101, 1011, 111]


def test_what_a_dead_one_had_is_gone_within_a_second(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    one.send(A, 5)
    bus.run(0.02)
    assert two.sees(A) == 5
    one.die()
    bus.run(0.7)
    assert two.sees(A) == 5, "it may only be slow"
    bus.run(0.3)
    assert two.sees(A) == 0
    assert two.sharing.others.views() == ()


def test_what_one_had_that_ends_in_order_is_gone_at_once(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    one.send(A, 5)
    bus.run(0.02)
    bus.publish(b"loads", encode(Message("bye", "one")))
    assert two.sees(A) == 0


def test_with_more_balancers_each_tells_less_often() -> None:
    """All hear those of all. Half of what is seen can still be 5 ms old, with a way of 1 ms."""
    told = [tick_s(others) for others in range(8)]
    assert told[:3] == [0.005] * 3
    assert told == sorted(told)
    assert max(told) / 2 + 0.001 <= 0.005


def test_messages_that_are_lost_leave_nothing_wrong(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A, B]), Balancer(bus, "two", [A, B])
    bus.run(1.0)
    bus.lost = lambda channel: True
    one.send(A, 5)
    bus.run(0.1)
    bus.lost = lambda channel: False
    one.send(B, 1)
    bus.run(0.02)
    assert two.sees(B) == 1
    bus.run(0.6)
    assert two.sees(A) == 5
    assert two.sharing.others.lost > 0


def test_at_most_two_hundred_messages_a_second_and_five_while_nothing_changes(bus: Bus) -> None:
    one = Balancer(bus, "one", [A])
    bus.run(1.0)
    bus.published.clear()
    bus.run(1.0)
    assert len(bus.published) <= 6
    bus.published.clear()
    for number in range(200):
        one.send(A, number)
        bus.run(0.005)
    assert 190 <= len(bus.published) <= 200


def test_a_newcomer_learns_all_by_one_question_to_each(bus: Bus) -> None:
    others = [Balancer(bus, f"b{number}", [A]) for number in range(6)]
    for each in others:
        each.send(A, 1)
    bus.run(1.0)
    newcomer = Balancer(bus, "new", [A])
    bus.published.clear()
    bus.run(0.4)
    assert newcomer.sees(A) == 6
    assert newcomer.sharing.others.asked <= 6
    wholes = [data for _, data in bus.published if b"whole" in data]
    assert len(wholes) <= 6 + 6 + 1, "theirs to it, its to them, and its first"


def test_endpoints_that_a_reload_takes_away_or_brings_are_followed(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A, B]), Balancer(bus, "two", [A])
    one.send(A, 3)
    one.send(B, 4)
    bus.run(0.02)
    two.rows = {A: 0, B: 1}
    two.sharing.configure(snapshot(two.rows))
    assert two.sees(B) == 4, "it was told of before"
    one.sharing.configure(snapshot({B: 1}))
    bus.run(0.02)
    assert two.sees(A) == 0
    assert two.sees(B) == 4


def test_two_pools_with_the_same_endpoint_both_see_all_that_others_have_there(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    pools = (*snapshot({A: 0}).pools, *snapshot({A: 5}, "other").pools)
    two.sharing.configure(msgspec.structs.replace(snapshot({}), pools=pools))
    one.send(A, 3)
    bus.run(0.02)
    assert two.sees(A) == 3
    two.rows = {A: 5}
    assert two.sees(A) == 3


def test_a_running_total_never_goes_down_whoever_comes_or_goes(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    at = one.board.load(0, 0) + L_PREFILLED
    seen = []
    for tokens in (1000, 1500, 1700):
        one.board.cells[at] = tokens
        bus.run(0.02)
        seen.append(two.board.cells[two.board.others(0) + O_PREFILLED])
    one.die()
    bus.run(1.0)
    seen.append(two.board.cells[two.board.others(0) + O_PREFILLED])
    assert seen[1] - seen[0] == 500
    assert seen[2] - seen[1] == 200
    assert seen[3] == seen[2]


def test_verdicts_are_told(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    told: list[int] = []
    two.sharing.others.on_verdict = told.extend
    bus.run(0.02)
    told.clear()
    one.board.cells[one.board.load(0, 1) + L_BREAKER] = OPEN
    bus.run(0.02)
    assert len(told) == 1
    assert two.sharing.others.verdicts(told[0], T_VERDICT) == [CIRCUIT_OPEN]


def test_a_version_that_tells_more_or_less_is_understood(bus: Bus) -> None:
    two = Balancer(bus, "two", [A])
    one = Balancer(bus, "one", [A])
    one.send(A, 3)
    bus.run(0.02)
    url = decode(bus.published[-1][1])
    assert url is not None
    one.die()
    known = unpacked(next(m.loads for _, d in bus.published if (m := decode(d)) and m.loads))[0]
    more = Message(LOAD, "newer", 1, 0, 0, 10, packed([known, 7, 1, 2, 3, 4, 0, 99, 98, 97]))
    bus.publish(b"loads", msgspec.msgpack.encode([*msgspec.structs.astuple(more), "and more"]))
    assert two.sees(A) == 3 + 7
    fewer = Message(LOAD, "older", 1, 0, 0, 2, packed([known, 5]))
    bus.publish(b"loads", encode(fewer))
    assert two.sees(A) == 3 + 7 + 5
    bus.publish(b"loads", encode(Message("gossip", "newer")))
    assert two.sees(A) == 3 + 7 + 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93",
        msgspec.msgpack.encode("load"),
        msgspec.msgpack.encode(["load", "one", -1]),
        msgspec.msgpack.encode(["load", "a\nb", 1]),
        msgspec.msgpack.encode(["load", "x" * 81, 1]),
        msgspec.msgpack.encode(["load", "one", 1, 0, 0, 1, b""]),
        msgspec.msgpack.encode(["load", "one", 1, 0, 0, 7, b"12345678"]),
        msgspec.msgpack.encode(["load", "one", 1, 0, 0, 7, b"", 0, b"123"]),
        msgspec.msgpack.encode(["load", "one", 1 << 63]),
    ],
)
def test_what_no_balancer_says_is_counted_and_passed_over(bus: Bus, data: bytes) -> None:
    two = Balancer(bus, "two", [A])
    bus.publish(b"loads", data)
    assert two.sharing.refused == 1
    assert two.sees(A) == 0


def test_numbers_that_cannot_be_are_bounded(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    bus.run(0.02)
    known = unpacked(next(m.loads for _, d in bus.published if (m := decode(d)) and m.loads))[0]
    one.die()
    numbers = packed([known, -5, 1 << 62, 0, 0, 0, 0])
    bus.publish(b"loads", encode(Message(LOAD, "wrong", 1, loads=numbers)))
    assert two.sees(A) == 0
    for number in range(100):
        bus.publish(b"loads", encode(Message(LOAD, f"made-up-{number}", 1)))
    assert len(two.sharing.others) == 64


def test_a_predecessor_that_ends_takes_nothing_of_its_successor_away(bus: Bus) -> None:
    """Both have the same board for a moment, and the older clears what it wrote."""
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    one.send(A, 5)
    bus.run(0.02)
    two.board.clear_others(two.rows[A])
    assert two.sees(A) == 0
    bus.run(1.1)
    assert two.sees(A) == 5
