"""A model's name is written anew, and nothing else changes."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.chunked import ChunkedReader, as_one_chunk
from penstock.wire.model_name import with_model

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES), st.text(), st.text())
def test_only_the_outermost_model_changes(body: dict[str, object], before: str, after: str) -> None:
    given_body = {**body, "model": before, "nested": {"model": before}}
    changed = json.loads(with_model(json.dumps(given_body).encode(), after))
    assert changed == {**given_body, "model": after}


def test_other_values_keep_their_bytes() -> None:
    body = b'{ "model" : "a", "temperature": 1.50e0, "messages" : [ {"content": "\\u00e9"} ] }'
    expected = b'{"model":"b","temperature":1.50e0,"messages":[ {"content": "\\u00e9"} ]}'
    assert with_model(body, "b") == expected


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        with_model(b'["model"]', "b")


@given(st.binary(min_size=1))
def test_a_body_in_one_chunk_is_that_body(body: bytes) -> None:
    assert ChunkedReader(False, 400).feed(as_one_chunk(body)) == body
