"""Halves of surrogate pairs are hidden and restored; everything else keeps its bytes."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.lone_surrogates import MOST, hide, restore

PIECES = st.sampled_from(
    ["\\ud83d", "\\uDE00", "\\udfff", "\\uD800", "\\\\", '\\"', "\\n", "\\u00e4", "u", "ud83d", "ä"]
)
TEXTS = st.lists(PIECES, max_size=12).map(lambda pieces: f'["{"".join(pieces)}"]'.encode())


@given(TEXTS)
def test_what_is_hidden_can_be_read_and_is_restored(body: bytes) -> None:
    hidden, count = hide(body)
    assert len(hidden) == len(body)
    assert restore(hidden, count) == body
    # Python's decoder joins pairs and leaves lone halves; each of these stands for one.
    (text,) = json.loads(body)
    lone = [char for char in text if "\ud800" <= char <= "\udfff"]
    if any(lookalike in body for lookalike in (rb"\\ud", rb"\\uD")):
        assert (hidden, count) == (body, 0)
        return
    assert count == len(lone)
    (read,) = msgspec.json.decode(hidden)
    shown = "".join(chr(ord(c) + 0x1000) if "\ud800" <= c <= "\udfff" else c for c in text)
    assert read == shown


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        rb'"\ud83d \\ud83d"',  # the second is text
        rb'"\ud83d\ude00"',
        rb'"\\ud83d"',
        rb'"\ue83d\ud83d"',  # written already: it could not be told from what is hidden
        rb'"\ud83d"' * (MOST + 1),
    ],
)
def test_what_needs_none_or_cannot_be_restored_is_left(body: bytes) -> None:
    assert hide(body) == (body, 0)


def test_a_body_that_lost_one_is_not_restored() -> None:
    hidden, count = hide(rb'{"a": "\ud83d", "b": "\udc00"}')
    assert restore(hidden.replace(rb"\uec00", b""), count) == b""
