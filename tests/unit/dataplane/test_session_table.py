"""How long UDP sessions last, how many there may be, and how much goes to who may not be who they
say: told by a clock that stands still."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.dataplane.tunnel.session_table import (
    ALLOWED,
    HEADER_BYTES,
    TOO_MANY,
    TOO_MUCH,
    SessionRules,
    SessionTable,
    SourceRates,
)

IDLE_S = 60.0


class Ends:
    """Remembers who ended, and how."""

    def __init__(self) -> None:
        self.expired: list[object] = []
        self.evicted: list[object] = []

    def on_expired(self, session: SessionRules) -> None:
        self.expired.append(session.key)

    def on_evicted(self, session: SessionRules) -> None:
        self.evicted.append(session.key)


def session(key: object, at: float = 0.0, idle_s: float = IDLE_S) -> SessionRules:
    return SessionRules(key, at, idle_s)


def test_session_ends_after_its_idle_time_and_not_before() -> None:
    ends = Ends()
    table = SessionTable(10, ends.on_expired, ends.on_evicted)
    table.add(session("a"))
    table.expire(IDLE_S - 0.1)
    assert (ends.expired, table.open) == ([], 1)
    table.expire(IDLE_S)
    assert (ends.expired, table.open) == (["a"], 0)
    table.expire(2 * IDLE_S)
    assert ends.expired == ["a"]


def test_datagrams_of_either_side_keep_a_session() -> None:
    ends = Ends()
    table = SessionTable(10, ends.on_expired, ends.on_evicted)
    heard, told, silent = session("heard"), session("told"), session("silent")
    for each in (heard, told, silent):
        table.add(each)
    heard.take(10, 30.0)
    told.replied(10, 40.0)
    for now in range(0, 91, 10):
        table.expire(float(now))
    assert ends.expired == ["silent", "heard"]
    table.expire(100.0)
    assert ends.expired == ["silent", "heard", "told"]


def test_one_too_many_ends_the_one_that_was_used_longest_ago() -> None:
    ends = Ends()
    table = SessionTable(3, ends.on_expired, ends.on_evicted)
    made = [session(name, at=float(index)) for index, name in enumerate("abc")]
    for each in made:
        table.add(each)
    made[0].take(1, 5.0)
    table.add(session("d", at=6.0))
    table.add(session("e", at=7.0))
    assert ends.evicted == ["b", "c"]
    assert table.open == 3


def test_session_that_ended_otherwise_frees_its_place_and_is_not_told_again() -> None:
    ends = Ends()
    table = SessionTable(1, ends.on_expired, ends.on_evicted)
    first = session("a")
    table.add(first)
    table.remove(first)
    table.remove(first)
    assert table.open == 0
    table.add(session("b"))
    table.expire(IDLE_S)
    assert (ends.evicted, ends.expired) == ([], ["b"])


def test_session_may_be_made_to_end_sooner() -> None:
    ends = Ends()
    table = SessionTable(2, ends.on_expired, ends.on_evicted)
    one = session("a")
    table.add(one)
    one.idle_s = 1.0
    table.retime(one)
    table.expire(1.0)
    assert ends.expired == ["a"]
    table.expire(IDLE_S)
    assert (ends.expired, table.open) == (["a"], 0)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.01, 20.0)), max_size=120), st.integers(1, 6)
)
def test_whatever_order_things_come_in_the_longest_idle_leave_and_nobody_stays(
    steps: list[tuple[int, float]], bound: int
) -> None:
    ends = Ends()
    table = SessionTable(bound, ends.on_expired, ends.on_evicted)
    live: dict[object, SessionRules] = {}
    now = 0.0
    for key, passed in steps:
        now += passed
        table.expire(now)
        for gone in ends.expired:
            assert live.pop(gone).expires_at() <= now
        ends.expired.clear()
        if key in live:
            live[key].take(1, now)
        else:
            added = session(key, now)
            table.add(added)
            for evicted in ends.evicted:
                left = live.pop(evicted)
                assert all(left.last_at <= other.last_at for other in live.values())
            ends.evicted.clear()
            live[key] = added
        assert table.open == len(live) <= bound
        assert all(each.expires_at() > now for each in live.values())
    table.expire(now + IDLE_S)
    assert table.open == 0


# --- replies ------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=20),
    st.lists(st.integers(0, 2000), max_size=60),
    st.floats(0.5, 10.0),
)
def test_source_that_never_heard_gets_a_multiple_of_what_it_sent_at_most(
    asked: list[int], answers: list[int], factor: float
) -> None:
    one = SessionRules("a", 0.0, IDLE_S, factor)
    for size in asked:
        one.take(size, 0.0)
    sent = 0
    for size in answers:
        if one.may_send(size):
            one.replied(size, 0.0)
            sent += size + HEADER_BYTES
    assert sent <= factor * sum(size + HEADER_BYTES for size in asked)


def test_source_that_goes_on_after_a_reply_is_answered_without_bound() -> None:
    one = SessionRules("a", 0.0, IDLE_S, 3.0)
    one.take(100, 0.0)
    one.take(100, 0.0)  # it goes on, but nothing was sent to it
    assert not one.may_send(100_000)
    assert one.may_send(300)
    one.replied(300, 1.0)
    assert not one.may_send(100_000)
    one.take(1, 2.0)
    assert one.may_send(100_000)


def test_no_factor_bounds_nothing() -> None:
    assert SessionRules("a", 0.0, IDLE_S, 0.0).may_send(10**9)


# --- rates --------------------------------------------------------------------------------------


def may_come(rates: SourceRates, source: str, at: float, *sizes: int) -> list[int]:
    return [rates.take(source, size, at) for size in sizes]


def test_source_sends_a_seconds_worth_at_once_and_then_at_its_rate() -> None:
    rates = SourceRates(3)
    assert may_come(rates, "a", 0.0, 9, 9, 9, 9, 9) == [ALLOWED] * 3 + [TOO_MANY] * 2
    assert may_come(rates, "b", 0.0, 9) == [ALLOWED]
    assert may_come(rates, "a", 0.4, 9, 9) == [ALLOWED, TOO_MANY]
    assert may_come(rates, "a", 60.0, 9, 9, 9, 9) == [ALLOWED] * 3 + [TOO_MANY]


def test_source_sends_a_seconds_bytes_at_once_and_then_at_its_rate() -> None:
    rates = SourceRates(bytes_per_s=1000)
    assert may_come(rates, "a", 0.0, 600, 600, 1) == [ALLOWED, ALLOWED, TOO_MUCH]
    assert may_come(rates, "b", 0.0, 1) == [ALLOWED]
    assert may_come(rates, "a", 0.1, 1) == [TOO_MUCH]  # 100 bytes of its debt are left
    assert may_come(rates, "a", 0.3, 1, 1000, 1) == [ALLOWED, ALLOWED, TOO_MUCH]


def test_datagram_larger_than_a_seconds_bytes_comes_as_often_as_the_rate_allows() -> None:
    rates = SourceRates(bytes_per_s=1000)
    came = [second for second in range(20) if rates.take("a", 5000, float(second)) == ALLOWED]
    assert came == [0, 5, 10, 15]


def test_both_rates_hold_and_what_is_dropped_counts_for_neither() -> None:
    rates = SourceRates(2, 100)
    assert may_come(rates, "a", 0.0, 100, 100) == [ALLOWED, TOO_MUCH]
    assert may_come(rates, "a", 0.5, 1, 1) == [ALLOWED, ALLOWED]
    assert may_come(rates, "a", 0.5, 1) == [TOO_MANY]


def test_sources_are_forgotten_when_they_are_too_many() -> None:
    rates = SourceRates(1)
    for number in range(200_000):
        assert rates.take(str(number), 9, number / 1000.0) == ALLOWED
    assert len(rates._left) <= 65536
