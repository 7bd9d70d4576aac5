"""Server ids in connection ids of QUIC."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.quic import (
    MAX_SERVER_ID_BYTES,
    MIN_NONCE_BYTES,
    MOST_CONFIGURATIONS,
    UNROUTABLE,
    connection_id_of,
    has_long_header,
    server_id_of,
)
from tests.harness.quic import long, made, short

LENGTHS = [4, 0, 2, 0, 0, 0, 0]  # configurations 0 and 2 are used
SERVER_ID = b"\x0a\x0b\x0c\x0d"


@pytest.mark.parametrize("packet", [long, short])
@pytest.mark.parametrize("configuration", [0, 2])
def test_server_id_is_found_in_both_kinds_of_headers(packet: object, configuration: int) -> None:
    assert callable(packet)
    server_id = SERVER_ID[: LENGTHS[configuration]]
    data = packet(made(server_id, configuration, others=21))
    assert server_id_of(connection_id_of(data), LENGTHS) == server_id


@pytest.mark.parametrize("configuration", [1, UNROUTABLE])
def test_configurations_that_are_not_used_tell_nothing(configuration: int) -> None:
    data = short(made(SERVER_ID, configuration))
    assert server_id_of(connection_id_of(data), LENGTHS) == b""


@pytest.mark.parametrize("version", [1, 0x6B3343CF, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("kind", [0x80, 0x90, 0xC0, 0xD0, 0xE0, 0xF0, 0xFF])
def test_nothing_depends_on_version_or_type(version: int, kind: int) -> None:
    """RFC 8999: a balancer may look at what never changes only."""
    data = long(made(SERVER_ID), version, kind)
    assert server_id_of(connection_id_of(data), LENGTHS) == SERVER_ID


def test_id_of_a_long_header_ends_where_that_says() -> None:
    assert connection_id_of(long(b"")) == b""
    assert connection_id_of(long(made(SERVER_ID))) == made(SERVER_ID)
    too_short = made(SERVER_ID)[: 4 + MIN_NONCE_BYTES]
    assert server_id_of(connection_id_of(long(too_short)), LENGTHS) == b""
    assert server_id_of(connection_id_of(short(too_short)[: 1 + len(too_short)]), LENGTHS) == b""


@pytest.mark.parametrize("cut", range(20))
def test_datagram_that_ends_early_has_none(cut: int) -> None:
    data = long(made(SERVER_ID))
    assert connection_id_of(data[: min(cut, 6 + len(made(SERVER_ID)) - 1)]) == b""


@given(
    configuration=st.integers(0, MOST_CONFIGURATIONS - 1),
    others=st.integers(0, 31),
    server_id=st.binary(min_size=1, max_size=MAX_SERVER_ID_BYTES),
    nonce=st.binary(min_size=MIN_NONCE_BYTES, max_size=MIN_NONCE_BYTES),
    rest=st.binary(max_size=40),
)
def test_what_a_server_put_in_is_what_is_found(
    configuration: int, others: int, server_id: bytes, nonce: bytes, rest: bytes
) -> None:
    lengths = [0] * MOST_CONFIGURATIONS
    lengths[configuration] = len(server_id)
    connection_id = bytes((configuration << 5 | others,)) + server_id + nonce
    for data in (
        b"\xc0\0\0\0\1" + bytes((len(connection_id),)) + connection_id + rest,
        b"\x40" + connection_id + rest,
    ):
        assert server_id_of(connection_id_of(data), lengths) == server_id


@given(st.binary(max_size=300), st.lists(st.integers(0, MAX_SERVER_ID_BYTES), max_size=8))
def test_any_datagram_is_read_without_harm(data: bytes, lengths: list[int]) -> None:
    connection_id = connection_id_of(data)
    assert connection_id in data
    found = server_id_of(connection_id, lengths)
    assert found in connection_id
    assert len(found) in {0, *lengths}
    assert has_long_header(data) == (data[:1] >= b"\x80")
