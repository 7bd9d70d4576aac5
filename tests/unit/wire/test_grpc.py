"""gRPC's deadlines, statuses, messages for people and kinds of content."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire import grpc
from penstock.wire.grpc import (
    GRPC,
    GRPC_WEB,
    GRPC_WEB_TEXT,
    INTERNAL,
    NOT_GRPC,
    STATUS_NAMES,
    UNAVAILABLE,
    UNKNOWN,
    decode_status_message,
    encode_status_message,
    format_timeout,
    grpc_kind,
    http_status_of,
    parse_status,
    parse_timeout,
    status_of_http,
    status_of_own_error,
    status_of_reset,
    trailers,
    trailers_only,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"1S", 1.0),
        (b"100m", 0.1),
        (b"3u", 0.000003),
        (b"7n", 0.000000007),
        (b"99999999n", 0.099999999),
        (b"99999999H", 359_999_996_400.0),
        (b"00000001S", 1.0),
        (b"0m", 0.0),
    ],
)
def test_a_timeout_is_read_in_seconds(value: bytes, seconds: float) -> None:
    assert parse_timeout(value) == seconds


NO_TIMEOUTS = (
    b"|1|S|1s|1h|S1|1 S| 1S|1S |-1S|+1S|1.5S|1e3m|100000000n|000000001S|1Sm|0x1S|\xd9\xa1S|1S\n|inf"
).split(b"|")


@pytest.mark.parametrize("value", NO_TIMEOUTS)
def test_what_is_no_timeout_is_told(value: bytes) -> None:
    assert parse_timeout(value) == -1.0


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (0.05, b"50000000n"),
        (0.1, b"100000u"),
        (1.5, b"1500000u"),
        (99.9999999, b"99999999u"),
        (100.0, b"100000m"),
        (3600.0, b"3600000m"),
        (100_000.5, b"100000S"),
        (1e8, b"1666666M"),
        (1e10, b"2777777H"),
        (1e300, b"99999999H"),
        (math.inf, b"99999999H"),
        (1e-12, b"1n"),
        (0.0, b"1n"),
        (-5.0, b"1n"),
        (-math.inf, b"1n"),
    ],
)
def test_a_timeout_is_written_in_the_finest_unit_that_it_fits_in(
    seconds: float, value: bytes
) -> None:
    assert format_timeout(seconds) == value


@given(st.floats(1e-9, 359_999_996_400.0))
def test_a_timeout_handed_on_is_never_later_and_hardly_earlier(seconds: float) -> None:
    handed_on = parse_timeout(format_timeout(seconds))
    assert handed_on <= seconds * (1 + 1e-15)
    # A unit is a thousand of the finer one, which no longer fits: 100,000 of it are there at least.
    assert handed_on >= seconds - max(1e-9, seconds * 1e-5)


@given(st.integers(1, 99_999_999), st.sampled_from("HMSmun"))
def test_every_timeout_of_the_grammar_is_read_and_handed_on(number: int, unit: str) -> None:
    seconds = parse_timeout(f"{number}{unit}".encode())
    assert seconds > 0
    assert parse_timeout(format_timeout(seconds)) == pytest.approx(seconds, rel=1e-5, abs=1e-9)


@given(st.binary(max_size=12))
def test_any_bytes_may_stand_for_a_timeout_and_a_status(value: bytes) -> None:
    assert parse_timeout(value) >= -1.0
    assert 0 <= parse_status(value) <= 16


def test_statuses_are_read_as_clients_read_them() -> None:
    for status in range(17):
        assert parse_status(b"%d" % status) == status
        assert getattr(grpc, STATUS_NAMES[status]) == status
    for value in (b"", b"17", b"99", b"-1", b"00", b"01", b"+1", b"1.0", b"OK", b"1 ", b"14\n"):
        assert parse_status(value) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", b""),
        ("no endpoint is up", b"no endpoint is up"),
        ("100%", b"100%25"),
        ("a\r\nb\0", b"a%0D%0Ab%00"),
        ("ü €", b"%C3%BC %E2%82%AC"),
        ("~!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}", b"~!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}"),
        (" a  ", b"%20a%20%20"),
        ("  ", b"%20%20"),
        ("\x7f", b"%7F"),
    ],
)
def test_messages_for_people_are_percent_encoded(text: str, value: bytes) -> None:
    assert encode_status_message(text) == value
    assert decode_status_message(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"100%", "100%"),
        (b"%", "%"),
        (b"%4", "%4"),
        (b"%zz%41", "%zzA"),
        (b"%c3%bc", "ü"),
        (b"%ff", "\N{REPLACEMENT CHARACTER}"),
        (b"raw \xc3\xbc", "raw ü"),
    ],
)
def test_a_message_is_never_thrown_away(value: bytes, text: str) -> None:
    assert decode_status_message(value) == text


@given(st.text(st.characters(codec="utf-8"), max_size=100))
def test_every_message_comes_back(text: str) -> None:
    value = encode_status_message(text)
    assert all(0x20 <= byte < 0x7F for byte in value)
    assert value == value.strip()
    assert decode_status_message(value) == text


@given(st.binary(max_size=60))
def test_any_bytes_may_stand_for_a_message(value: bytes) -> None:
    encode_status_message(decode_status_message(value))


def test_a_lone_surrogate_in_a_message_becomes_a_question_mark() -> None:
    assert encode_status_message("a\ud800") == b"a?"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"application/grpc", GRPC),
        (b"Application/gRPC", GRPC),
        (b"application/grpc+proto", GRPC),
        (b"application/grpc+json; charset=utf-8", GRPC),
        (b"application/grpc;x=y", GRPC),
        (b"application/grpc ; x=y", GRPC),
        (b"application/grpc-web", GRPC_WEB),
        (b"application/grpc-web+proto", GRPC_WEB),
        (b"application/grpc-web;x", GRPC_WEB),
        (b"application/grpc-web-text", GRPC_WEB_TEXT),
        (b"application/grpc-web-text+proto", GRPC_WEB_TEXT),
        (b"", NOT_GRPC),
        (b"application/json", NOT_GRPC),
        (b"application/grpcx", NOT_GRPC),
        (b"application/grpc-webs", NOT_GRPC),
        (b"application/grpc-", NOT_GRPC),
        (b"xapplication/grpc", NOT_GRPC),
        (b"text/plain; application/grpc", NOT_GRPC),
    ],
)
def test_kinds_of_content(value: bytes, kind: int) -> None:
    assert grpc_kind(value) == kind


def test_a_response_without_a_status_is_read_by_the_table_for_clients() -> None:
    expected = {
        400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 431: 13, 502: 14, 503: 14, 504: 14,
    }  # fmt: skip
    for http_status in range(100, 600):
        assert status_of_http(http_status) == expected.get(http_status, UNKNOWN)


def test_our_own_errors_say_what_they_mean_to_callers_of_grpc() -> None:
    assert [status_of_own_error(each) for each in (503, 502, 429, 413, 504, 501, 404)] == [
        14, 14, 8, 8, 4, 12, 12,
    ]  # fmt: skip
    assert status_of_own_error(418) == UNKNOWN
    # What callers repeat by themselves is only what an endpoint's absence explains.
    repeated = [each for each in range(100, 600) if status_of_own_error(each) == UNAVAILABLE]
    assert repeated == [502, 503]


def test_every_status_has_one_of_http() -> None:
    assert [http_status_of(status) for status in range(17)] == [
        200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
    ]  # fmt: skip
    assert http_status_of(17) == http_status_of(-1) == 500


def test_resets_are_read_by_the_table_of_the_protocol() -> None:
    expected = {7: 14, 8: 1, 11: 8, 12: 7}
    for code in range(20):
        assert status_of_reset(code) == expected.get(code, INTERNAL)


def test_an_error_of_ours_is_a_response_of_trailers_only() -> None:
    status = (b"grpc-status", b"grpc-status", b"14")
    message = (b"grpc-message", b"grpc-message", b"100%25 full")
    assert trailers(UNAVAILABLE) == [status]
    assert trailers(UNAVAILABLE, "100% full") == [status, message]
    assert trailers_only(UNAVAILABLE, "100% full") == [
        (b"content-type", b"content-type", b"application/grpc"),
        status,
        message,
    ]
