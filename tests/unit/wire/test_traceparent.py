"""traceparent is read as W3C Trace Context has it, and nothing else is taken for one."""

import pytest

from penstock.wire.traceparent import form_traceparent, parse_traceparent, traceparent_of

TRACE = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"
GIVEN = b"00-%b-%b-01" % (TRACE, SPAN)


def test_it_tells_trace_span_and_whether_it_is_sampled() -> None:
    found = parse_traceparent(GIVEN)
    assert found is not None
    assert (found.trace_id, found.span_id, found.sampled) == (TRACE, SPAN, True)
    unsampled = parse_traceparent(GIVEN[:-1] + b"2")
    assert unsampled is not None
    assert not unsampled.sampled


@pytest.mark.parametrize(
    "value",
    [
        b"",
        GIVEN.upper(),
        GIVEN[:-1],
        GIVEN + b"0",
        GIVEN + b"-x",  # of version 00 nothing follows
        b"ff" + GIVEN[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-0g" % (TRACE, SPAN),
        b"00_%b_%b_01" % (TRACE, SPAN),
        GIVEN + b"\n",
        b"01" + GIVEN[2:] + b"x",
    ],
)
def test_what_is_not_as_specified_is_none(value: bytes) -> None:
    assert parse_traceparent(value) is None


def test_a_later_version_may_go_on_after_a_dash() -> None:
    found = parse_traceparent(b"cc" + GIVEN[2:] + b"-what-the-future-will-be-like")
    assert found is not None
    assert found.trace_id == TRACE


def test_two_of_them_are_none() -> None:
    field = (b"traceparent", b"traceparent", GIVEN)
    assert traceparent_of([field]) is not None
    assert traceparent_of([field, field]) is None
    assert traceparent_of([]) is None


def test_what_is_formed_can_be_read_and_keeps_the_flag_of_random_ids() -> None:
    assert form_traceparent(TRACE, SPAN, True) == GIVEN
    assert form_traceparent(TRACE, SPAN, False, came=0xFF) == GIVEN[:-2] + b"02"
