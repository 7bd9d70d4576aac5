"""Durations, sizes, addresses and the environment, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config.document.addresses import Address, parse_address
from penstock.config.document.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from penstock.config.load.environment import interpolate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("7us", 7e-6),
        ("1d", 86400.0),
        ("off", 0.0),
        (0, 0.0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "5", 5, "5 s", "-1s", "1S", "s", None, True, "٣s", "9999d", []]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|longer than a year"):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_a_duration_survives_being_written(microseconds: int) -> None:
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8MiB", 8 * 2**20), ("64KB", 64_000), ("1.5 KiB", 1536), (10, 10), ("10", 10), ("off", 0)],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1K", "-1", -1, "0.3B", "1e3", None, True, "9999999GiB"])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"size|whole number of bytes"):
        parse_size(text)


@given(st.integers(0, 2**50))
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("[2001:DB8::1]:0", Address("2001:db8::1", 0)),
        (":80", Address("0.0.0.0", 80)),
        ("*:80", Address("0.0.0.0", 80)),
        ("LocalHost:80", Address("localhost", 80)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_loopback_is_known(host: str) -> None:
    assert parse_address(f"{host}:1").is_loopback()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "localhost.example"])
def test_what_is_not_loopback_is_known(host: str) -> None:
    assert not parse_address(f"{host}:1").is_loopback()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${B:-z}", "x1yz"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${B:-}", ""),
        ("$${A}", "${A}"),
        ("$A $", "$A $"),
    ],
)
def test_the_environment_is_put_in(text: str, value: str) -> None:
    assert interpolate(text, {"A": "1", "EMPTY": ""}) == value


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${a b}", "${A-1}", "${1A}", "${B}"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$\{|not set"):
        interpolate(text, {"A": "1"})


@given(st.text())
def test_text_without_references_is_left_alone(text: str) -> None:
    if "${" not in text:
        assert interpolate(text, {}) == text
