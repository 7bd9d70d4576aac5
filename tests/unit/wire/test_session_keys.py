"""Headers that name a session: the first of the known ones, if it can be a name."""

import pytest

from penstock.wire.session_keys import HEADERS, MAX_KEY_BYTES, session_hash, session_in


def fields(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes, bytes]]:
    return [(name.lower().encode(), name.encode(), value.encode()) for name, value in pairs]


@pytest.mark.parametrize("name", [name.decode() for name in HEADERS])
def test_each_known_header_names_a_session(name: str) -> None:
    found = session_in(fields(("Host", "a"), (name.title(), "s1"), ("X-Other", "b")))
    assert found == session_hash(b"s1") != 0


def test_the_first_of_the_list_wins_in_whatever_order_they_come() -> None:
    both = [("Thread-Id", "t"), ("X-Session-Id", "s")]
    assert session_in(fields(*both)) == session_hash(b"s")
    assert session_in(fields(*reversed(both))) == session_hash(b"s")


def test_of_one_header_twice_the_first_value_counts() -> None:
    assert session_in(fields(("session-id", "a"), ("session-id", "b"))) == session_hash(b"a")


def test_what_is_empty_or_too_long_is_passed_over() -> None:
    long = "s" * (MAX_KEY_BYTES + 1)
    assert session_in(fields(("X-Session-Id", long), ("Session-Id", ""))) == 0
    assert session_in(fields(("X-Session-Id", long), ("Thread-Id", "t"))) == session_hash(b"t")
    assert session_in(fields(("X-Session-Id", long[1:]))) != 0


def test_no_other_header_names_one() -> None:
    assert session_in(fields(("X-Request-Id", "r"), ("Cookie", "session-id=s"))) == 0
