"""ClientHellos of OpenSSL and ones made by hand: whole, in pieces, over records, and damaged."""

import ssl
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.client_hello import MAX_CLIENT_HELLO_BYTES, ClientHelloReader, host_name
from penstock.wire.preface import ABSENT, BAD, FOUND, NEED_MORE

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3


def of_openssl(
    name: str | None,
    protocols: list[str],
    lowest: ssl.TLSVersion = TLS12,
    highest: ssl.TLSVersion = TLS13,
) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = lowest
    context.maximum_version = highest
    if protocols:
        context.set_alpn_protocols(protocols)
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def read(*pieces: bytes) -> ClientHelloReader:
    reader = ClientHelloReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


def told(reader: ClientHelloReader) -> tuple[object, ...]:
    return (
        reader.outcome,
        reader.server_name,
        reader.name_is_invalid,
        reader.alpn,
        reader.reason,
    )


def vector(value: bytes, length_bytes: int) -> bytes:
    return len(value).to_bytes(length_bytes, "big") + value


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(value, 2)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(b"".join(bytes((kind,)) + vector(name, 2) for name in names), 2))


def alpn(*protocols: bytes) -> bytes:
    return extension(16, vector(b"".join(vector(each, 1) for each in protocols), 2))


BODY_START = b"\x03\x03" + bytes(32) + vector(bytes(32), 1) + vector(b"\x13\x01", 2) + b"\1\0"


def message(body: bytes, kind: int = 1) -> bytes:
    return bytes((kind,)) + vector(body, 3)


def record(fragment: bytes, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    return bytes((kind,)) + version + vector(fragment, 2)


def hello(*extensions: bytes) -> bytes:
    return record(message(BODY_START + vector(b"".join(extensions), 2)))


def in_records(whole: bytes, *cuts: int) -> bytes:
    """The handshake bytes of one record, over several."""
    fragment = whole[5:]
    edges = [0, *cuts, len(fragment)]
    return b"".join(record(fragment[start:end]) for start, end in pairwise(edges))


REAL = {
    "1.2": of_openssl("WWW.Example.COM", ["h2", "http/1.1"], highest=TLS12),
    "1.3": of_openssl("www.example.com", ["h2", "http/1.1"], lowest=TLS13),
    "both": of_openssl("www.example.com", ["h2", "http/1.1"]),
}


@pytest.mark.parametrize("version", REAL)
def test_what_openssl_asks_for_is_found_however_it_comes(version: str) -> None:
    whole = REAL[version]
    expected = (FOUND, "www.example.com", False, (b"h2", b"http/1.1"), "")
    assert told(read(whole)) == expected
    assert told(read(whole + b"\x14\x03\x03\0\1\1")) == expected
    for cut in range(1, len(whole)):
        begun = read(whole[:cut])
        assert begun.outcome == NEED_MORE
        begun.feed(whole[cut:])
        assert told(begun) == expected, cut
    assert told(read(*[whole[at : at + 1] for at in range(len(whole))])) == expected


@pytest.mark.parametrize("version", REAL)
def test_what_openssl_asks_for_is_found_however_it_is_cut_into_records(version: str) -> None:
    whole = REAL[version]
    expected = told(read(whole))
    handshake_bytes = len(whole) - 5
    for cut in range(1, handshake_bytes):
        recut = in_records(whole, cut)
        assert told(read(recut)) == expected, cut
        assert told(read(recut[: cut + 5], recut[cut + 5 :])) == expected, cut
    each_byte = in_records(whole, *range(1, handshake_bytes))
    assert told(read(each_byte)) == expected
    assert told(read(*[each_byte[at : at + 1] for at in range(len(each_byte))])) == expected


def test_a_client_may_ask_for_nothing() -> None:
    assert told(read(of_openssl(None, []))) == (FOUND, "", False, (), "")
    assert told(read(hello())) == (FOUND, "", False, (), "")
    assert told(read(record(message(BODY_START)))) == (FOUND, "", False, (), "")


def test_a_resumed_session_is_read_too() -> None:
    ticket = extension(0x29, bytes(1500))
    assert read(hello(server_name(b"a.example"), ticket)).server_name == "a.example"


def test_grease_is_passed_over() -> None:
    """RFC 8701: as Chrome puts it around its extensions and among its protocols."""
    whole = hello(
        extension(0x0A0A, b""),
        server_name(b"a.example"),
        alpn(b"\x1a\x1a", b"h2"),
        extension(0xFAFA, b"\0"),
    )
    assert told(read(whole)) == (FOUND, "a.example", False, (b"\x1a\x1a", b"h2"), "")


def test_of_an_encrypted_hello_the_outer_name_is_told() -> None:
    outer = extension(0xFE0D, b"\0\0\1\0\1\x2a" + vector(bytes(32), 2) + vector(bytes(239), 2))
    assert read(hello(outer, server_name(b"public.example"))).server_name == "public.example"


NAMES = [
    (b"a.example", "a.example"),
    (b"A.Example.", "a.example"),
    (b"localhost", "localhost"),
    (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
    (b"my_service", "my_service"),
    (b"_dmarc.a-b.example", "_dmarc.a-b.example"),
    (b"1.example", "1.example"),
    (b"4.3.2.1.in-addr.arpa", "4.3.2.1.in-addr.arpa"),
    (b"a" * 63 + b".example", "a" * 63 + ".example"),
    (b"a." * 126 + b"b", "a." * 126 + "b"),
    (b"a." * 126 + b"b.", "a." * 126 + "b"),
]
NO_NAMES = [
    b".",
    b"..",
    b".a.example",
    b"a..example",
    b"a.example..",
    b"-a.example",
    b"a-.example",
    b"a.example-",
    b"*.example",
    b"a b.example",
    b"a.example:443",
    b"a.example/",
    b"a.example\0",
    b"a.example\0.b.example",
    b"a.example\n",
    b"b\xc3\xbccher.example",
    b"192.0.2.1",
    b"192.0.2.1.",
    b"3221225985",
    b"a.1",
    b"2001:db8::1",
    b"[2001:db8::1]",
    b"a" * 64 + b".example",
    b"a." * 127 + b"b",
]


@pytest.mark.parametrize(("sent", "expected"), NAMES)
def test_host_names_are_told_as_they_are_compared(sent: bytes, expected: str) -> None:
    assert told(read(hello(server_name(sent)))) == (FOUND, expected, False, (), "")


@pytest.mark.parametrize("sent", NO_NAMES)
def test_what_can_be_no_host_name_counts_as_none(sent: bytes) -> None:
    whole = hello(server_name(sent), alpn(b"h2"))
    assert told(read(whole)) == (FOUND, "", True, (b"h2",), "")


def test_names_of_types_to_come_are_passed_over() -> None:
    entries = b"\7" + vector(b"\xff", 2) + b"\0" + vector(b"a.example", 2)
    assert read(hello(extension(0, vector(entries, 2)))).server_name == "a.example"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\0\2\2\x28",
        b"\x17\x03\x03\0\1\0",
        b"\x16\x02",
        b"\x16\x04",
        b"\x80\x2e\1\x03\x01",  # SSL 2's form
        b"\0",
    ],
)
def test_what_begins_otherwise_is_not_tls(data: bytes) -> None:
    assert told(read(data)) == (ABSENT, "", False, (), "")


def test_any_minor_version_of_records_is_taken() -> None:
    """RFC 8446, 5.1: it is to be ignored."""
    for minor in (0, 1, 3, 4, 255):
        assert read(b"\x16\x03" + bytes((minor,)) + hello()[3:]).outcome == FOUND


NAME = server_name(b"a.example")
MESSAGE = hello(NAME)[5:]

BAD_HELLOS = {
    "an empty record": record(b""),
    "an empty record within": record(MESSAGE[:9]) + record(b"") + record(MESSAGE[9:]),
    "a record of 2^14 + 1 bytes": b"\x16\x03\x01\x40\x01",
    "an alert within": record(MESSAGE[:9]) + record(b"\1\0", kind=21) + record(MESSAGE[9:]),
    "a record of another version": record(MESSAGE[:9]) + record(MESSAGE[9:], version=b"\x02\0"),
    "a ServerHello": record(message(BODY_START, kind=2)),
    "another message behind": record(MESSAGE + message(b"", kind=20)),
    "a byte behind": record(MESSAGE + b"\0"),
    "an empty body": record(message(b"")),
    "a body that ends within its random": record(message(BODY_START[:33])),
    "a body without a session id": record(message(BODY_START[:34])),
    "SSL 2": record(message(b"\x02\0" + BODY_START[2:])),
    "TLS 2": record(message(b"\x04\0" + BODY_START[2:])),
    "a session id of 33 bytes": record(
        message(BODY_START[:34] + vector(bytes(33), 1) + b"\0\2\x13\1\1\0")
    ),
    "no cipher suites": record(message(BODY_START[:34] + b"\0" + b"\0\0" + b"\1\0")),
    "half a cipher suite": record(message(BODY_START[:34] + b"\0" + b"\0\1\x13" + b"\1\0")),
    "too many cipher suites": record(message(BODY_START[:34] + b"\0" + b"\0\6\x13\1\1\0")),
    "no compression": record(message(BODY_START[:-2] + b"\0")),
    "too much compression": record(message(BODY_START[:-2] + b"\2\0")),
    "half a length of extensions": record(message(BODY_START + b"\0")),
    "extensions that are longer": record(message(BODY_START + b"\0\1")),
    "extensions that are shorter": record(message(BODY_START + vector(NAME, 2) + b"\0")),
    "an extension without a length": hello(b"\0\x17\0"),
    "an extension that is longer": hello(b"\0\x17\0\1"),
    "the name twice": hello(NAME, NAME),
    "the protocols twice": hello(alpn(b"h2"), alpn(b"h2")),
    "an unknown extension twice": hello(extension(0x1A1A, b""), NAME, extension(0x1A1A, b"")),
    "an empty server name extension": hello(extension(0, b"")),
    "an empty list of names": hello(extension(0, b"\0\0")),
    "an empty name": hello(server_name(b"")),
    "two names of one type": hello(server_name(b"a.example", b"b.example")),
    "two names of another type": hello(server_name(b"a", b"b", kind=9)),
    "a list of names that is longer": hello(extension(0, b"\0\5\0\0\1a")),
    "a list of names that is shorter": hello(extension(0, b"\0\3\0\0\1a")),
    "a name that is longer": hello(extension(0, vector(b"\0\0\2a", 2))),
    "half a length of a name": hello(extension(0, vector(b"\0\0\1a\0\0", 2))),
    "an empty protocol extension": hello(extension(16, b"")),
    "an empty list of protocols": hello(alpn()),
    "an empty protocol": hello(alpn(b"h2", b"")),
    "a list of protocols that is longer": hello(extension(16, b"\0\4\2h2")),
    "a list of protocols that is shorter": hello(extension(16, b"\0\2\2h2")),
    "a protocol that is longer": hello(extension(16, vector(b"\3h2", 2))),
    "more bytes than are read": record(b"\1" + MAX_CLIENT_HELLO_BYTES.to_bytes(3, "big")),
}


@pytest.mark.parametrize("which", BAD_HELLOS)
def test_a_hello_that_breaks_its_rules_is_refused_however_it_comes(which: str) -> None:
    whole = BAD_HELLOS[which]
    reader = read(whole)
    assert told(reader) == (BAD, "", False, (), reader.reason)
    assert reader.reason.startswith("ClientHello: ")
    bytewise = read(*[whole[at : at + 1] for at in range(len(whole))])
    assert (bytewise.outcome, bytewise.reason) == (BAD, reader.reason)
    assert reader.feed(hello(NAME)) == BAD


def test_the_bound_counts_the_heads_of_records_too() -> None:
    padding = MAX_CLIENT_HELLO_BYTES - len(hello(extension(21, b"")))
    longest = hello(extension(21, bytes(padding)))
    assert len(longest) == MAX_CLIENT_HELLO_BYTES
    assert read(longest).outcome == FOUND
    for over in (hello(extension(21, bytes(padding + 1))), in_records(longest, 99)):
        assert read(over).outcome == BAD
        assert read(over[:700], over[700:]).outcome == BAD
    # Records of a byte each: refused once the bound is reached, not when the message is whole.
    slow = in_records(longest, *range(1, MAX_CLIENT_HELLO_BYTES - 5))
    assert read(slow[:MAX_CLIENT_HELLO_BYTES]).outcome == NEED_MORE
    assert read(slow[: MAX_CLIENT_HELLO_BYTES + 6]).outcome == BAD


def cut_up(data: st.DataObject, whole: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    edges = [0, *cuts, len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


@given(st.sampled_from([*REAL.values(), *BAD_HELLOS.values()]), st.data())
def test_a_damaged_hello_has_one_outcome_whatever_the_cuts(
    whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole)))
    to = data.draw(st.integers(at, min(len(whole), at + 4)))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[to:]
    reader = read(changed)
    assert told(read(*cut_up(data, changed))) == told(reader)
    assert bool(reader.reason) == (reader.outcome == BAD)
    if reader.outcome == FOUND:
        assert reader.server_name == host_name(reader.server_name.encode())
        assert reader.server_name.encode() in changed.lower()
        assert all(each in changed for each in reader.alpn)


@given(st.binary(max_size=200), st.data())
def test_whatever_follows_the_head_of_a_hello_is_read_or_refused(
    body: bytes, data: st.DataObject
) -> None:
    for whole in (record(message(BODY_START + body)), record(message(body)), record(body), body):
        assert told(read(*cut_up(data, whole))) == told(read(whole))


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=20)), max_size=5))
def test_extensions_of_any_content_are_read_or_refused(values: list[tuple[int, bytes]]) -> None:
    reader = read(hello(*[extension(kind, value) for kind, value in values]))
    kinds = [kind for kind, _ in values]
    if len(set(kinds)) < len(kinds):
        assert reader.outcome == BAD
    elif not {0, 16} & set(kinds):
        assert told(reader) == (FOUND, "", False, (), "")
