"""Halves of surrogate pairs are hidden and restored; everything else keeps its bytes."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.lone_surrogates import MOST, hide

# Of every character that may stand in for one, to the last but one.
STAND_INS = ("\\ue83d", "\\uEFFF", "\\uf8ff", "\\uCAFE", "\\ub8D1")
LOOKALIKES = ("\\\\", "\\\\ud83d", "\\\\\\ud83d", "\\\\ue83d", "ud83d", '\\"')
PLAIN = ("\\ud83d", "\\uDE00", "\\udfff", "\\uD800", "\\n", "\\u00e4", "u", "ä", "\ue83d")
TEXTS = st.lists(st.sampled_from(PLAIN + LOOKALIKES + STAND_INS), max_size=12).map(
    lambda pieces: f'["{"".join(pieces)}"]'.encode()
)


@given(TEXTS)
def test_what_is_hidden_can_be_read_and_is_restored(body: bytes) -> None:
    """Python's decoder joins pairs and leaves lone halves; each of these has one stand-in."""
    (text,) = json.loads(body)
    lone = [at for at, char in enumerate(text) if "\ud800" <= char <= "\udfff"]
    hidden = hide(body)
    if not lone:
        assert hidden is None
        assert msgspec.json.decode(body) == [text]
        return
    assert hidden is not None
    assert hidden.restore(hidden.body) == body
    assert len(hidden.body) == len(body)
    (read,) = msgspec.json.decode(hidden.body)
    assert [at for at in range(len(text)) if read[at] != text[at]] == lone
    (moved,) = {ord(read[at]) - ord(text[at]) for at in lone}
    assert moved % 0x1000 == 0


@given(TEXTS)
def test_what_stands_in_for_one_is_found_nowhere_else(body: bytes) -> None:
    hidden = hide(body)
    if hidden is not None:
        assert hidden.restore(hidden.body + body) == body + body


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        rb'"\ud83d\ude00"',
        rb'"\\ud83d"',
        rb'"\ue83d\uf83d\uc83d\ub83d\ua83d\ud83d"',  # none is left that could stand in
        rb'"\ud83d"' * (MOST + 1),
        rb'"\ud83d \\ud83d' + rb"\\" * MOST + rb'"',
    ],
)
def test_what_needs_none_or_cannot_be_restored_is_left(body: bytes) -> None:
    assert hide(body) is None


def test_private_characters_of_the_body_keep_others_from_standing_in() -> None:
    body = rb'{"a": "\ue83d \uD83d \\ud83d"}'
    hidden = hide(body)
    assert hidden is not None
    assert hidden.body == rb'{"a": "\ue83d \uF83d \\ud83d"}'
    assert hidden.restore(hidden.body) == body


def test_a_body_that_lost_one_is_not_restored() -> None:
    hidden = hide(rb'{"a": "\ud83d", "b": "\udc00"}')
    assert hidden is not None
    assert hidden.restore(hidden.body.replace(rb"\uec00", b"")) == b""
