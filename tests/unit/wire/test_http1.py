"""Where a head ends, and what is refused before it does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.http1 import BadMessage, find_head_end, has_bare_lf

LINES = st.text(alphabet="\r\na", max_size=12).map(str.encode)


@given(LINES, st.data())
def test_a_bare_lf_is_one_without_cr_before_it_wherever_the_search_begins(
    data: bytes, drawn: st.DataObject
) -> None:
    start = drawn.draw(st.integers(0, len(data)))
    found = re.compile(rb"(?<!\r)\n").search(data, start)
    assert has_bare_lf(data, start) == (found is not None)


@given(LINES)
def test_a_head_ends_with_the_first_empty_line_or_waits_or_is_refused(data: bytes) -> None:
    end = data.find(b"\r\n\r\n")
    if end >= 0:
        assert find_head_end(data, 0) == end + 4
    elif re.search(rb"(?<!\r)\n", data):
        with pytest.raises(BadMessage):
            find_head_end(data, 0)
    else:
        assert find_head_end(data, 0) == -1
