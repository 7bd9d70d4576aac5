"""Text of others is shown as it is, but for what would act on a terminal."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from penstock._visible import all_visible, visible
from penstock.control.events import TextFormatter


@given(st.text())
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    assert visible(text).isprintable()
    if text.isprintable():
        assert visible(text) == text


def test_it_is_done_in_all_of_a_document() -> None:
    said = {"a\n": ["\x1b[2J", 1, None, {"b": ("\u202e",)}]}
    assert all_visible(said) == {"a\\x0a": ["\\x1b[2J", 1, None, {"b": ["\\u202e"]}]}


def test_text_logs_hold_one_line_for_each_event() -> None:
    told = {"levelname": "INFO", "msg": "endpoint a is down: \x1b[2J\nforged line"}
    record = logging.makeLogRecord({**told, "created": 0.0})
    line = TextFormatter().format(record)
    assert line.endswith("info endpoint a is down: \\x1b[2J\\x0aforged line")
