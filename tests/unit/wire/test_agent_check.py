"""HAProxy's words of agents: each alone, together, and whatever else may come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.agent_check import MOST_BYTES, parse_agent_line

Said = tuple[int, int, str, str]  # percent, max_in_flight, admin, health


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"75%\n", (75, -1, "", "")),
        (b"0%", (0, -1, "", "")),
        (b"maxconn:30\r\n", (-1, 30, "", "")),
        (b"READY\n", (-1, -1, "ready", "")),
        (b"drain\n", (-1, -1, "drain", "")),
        (b"maint\n", (-1, -1, "maint", "")),
        (b"up\n", (-1, -1, "", "up")),
        (b"down\n", (-1, -1, "", "down")),
        (b"fail\n", (-1, -1, "", "fail")),
        (b"failed\n", (-1, -1, "", "failed")),
        (b"stopped\n", (-1, -1, "", "stopped")),
        # HAProxy's own regression test says this.
        (b"75%,maxconn:30,maint,down\n", (75, 30, "maint", "down")),
        (b"\t up , 50% \n drain", (50, -1, "", "up")),
        (b"drain up 10% 20% ready down\n", (20, -1, "ready", "down")),
        (b"up 75%# drain 5% maxconn:1\n", (75, -1, "", "up")),
        (b"down#disk is full\n", (-1, -1, "", "down")),
        (b"25600%\n", (25600, -1, "", "")),
        (b"", (-1, -1, "", "")),
        (b"\n75%\n", (-1, -1, "", "")),
    ],
)
def test_words(line: bytes, said: Said) -> None:
    answer = parse_agent_line(line)
    assert (answer.percent, answer.max_in_flight, answer.admin, answer.health) == said
    assert answer.unknown == []
    assert answer.down == (said[3] not in ("", "up"))
    assert answer.empty == (said == (-1, -1, "", ""))


NOT_UNDERSTOOD = (
    "75 % -5% 7.5% 25601% 9999999999999999% ²% maxconn: maxconn:-1 maxconn:10000000000 uptime "
    "drained HTTP/1.1"
)


@pytest.mark.parametrize("word", NOT_UNDERSTOOD.split())
def test_a_word_that_is_not_understood_does_not_spoil_the_others(word: str) -> None:
    answer = parse_agent_line(f"{word} drain\n".encode())
    assert answer.unknown == [word]
    assert (answer.percent, answer.max_in_flight, answer.admin) == (-1, -1, "drain")


def test_the_line_is_shown_to_people_with_its_description() -> None:
    assert (
        parse_agent_line(b" down#disk\x07 is full \r\n").shown
        == "down#disk\N{REPLACEMENT CHARACTER} is full"
    )
    assert len(parse_agent_line(b"x" * 10_000).shown) == 200


@given(st.binary(max_size=3 * MOST_BYTES))
def test_anything_may_be_said(data: bytes) -> None:
    answer = parse_agent_line(data)
    assert -1 <= answer.percent <= 25_600
    assert -1 <= answer.max_in_flight <= 10**9
    assert answer.shown.isprintable() or not answer.shown
    assert all(len(word) <= 200 and word.isprintable() for word in answer.unknown)
    assert len(answer.unknown) <= MOST_BYTES // 2 + 1
