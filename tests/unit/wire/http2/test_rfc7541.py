"""RFC 7541: the examples of its Appendix C, and each MUST, named after its section."""

import hpack
import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.http2 import huffman
from penstock.wire.http2.codes import COMPRESSION_ERROR, ConnectionFault
from penstock.wire.http2.header_block import HeaderBlock, response_block
from penstock.wire.http2.hpack_decoder import HpackDecoder
from penstock.wire.http2.hpack_encoder import HpackEncoder
from penstock.wire.http2.hpack_tables import STATIC, DecodingTable, Entry

Pairs = list[tuple[bytes, bytes]]
FIRST = b":method GET|:scheme http|:path /|:authority www.example.com"
SECOND = FIRST + b"|cache-control no-cache"
THIRD = (
    b":method GET|:scheme https|:path /index.html|:authority www.example.com"
    b"|custom-key custom-value"
)
FOUND = (
    b":status 302|cache-control private|date Mon, 21 Oct 2013 20:13:21 GMT"
    b"|location https://www.example.com"
)
COOKIE = (
    b":status 200|cache-control private|date Mon, 21 Oct 2013 20:13:22 GMT"
    b"|location https://www.example.com|content-encoding gzip"
    b"|set-cookie foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
)
# Of each series: the table's size; then each block in hexadecimal, its fields, and what the table
# holds afterwards.
EXAMPLES = {
    "C.3 requests": (
        4096,
        [
            ("828684410f7777772e6578616d706c652e636f6d", FIRST, 57),
            ("828684be58086e6f2d6361636865", SECOND, 110),
            ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", THIRD, 164),
        ],
    ),
    "C.4 requests with Huffman codes": (
        4096,
        [
            ("828684418cf1e3c2e5f23a6ba0ab90f4ff", FIRST, 57),
            ("828684be5886a8eb10649cbf", SECOND, 110),
            ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", THIRD, 164),
        ],
    ),
    "C.5 responses": (
        256,
        [
            (
                "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a"
                "323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                FOUND,
                222,
            ),
            ("4803333037c1c0bf", FOUND.replace(b"302", b"307"), 222),
            (
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69"
                "707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d6178"
                "2d6167653d333630303b2076657273696f6e3d31",
                COOKIE,
                215,
            ),
        ],
    ),
    "C.6 responses with Huffman codes": (
        256,
        [
            (
                "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29"
                "ad171863c78f0b97c8e9ae82ae43d3",
                FOUND,
                222,
            ),
            ("4883640effc1c0bf", FOUND.replace(b"302", b"307"), 222),
            (
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7"
                "f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d50"
                "07",
                COOKIE,
                215,
            ),
        ],
    ),
}


def decoded(decoder: HpackDecoder, code: bytes) -> Pairs:
    entries = decoder.decode(code, 1000, 1_000_000)
    return [(entry.field[0], entry.field[2]) for entry in entries]


def pairs_of(lines: bytes) -> Pairs:
    return [
        (name, value) for name, _, value in [line.partition(b" ") for line in lines.split(b"|")]
    ]


@pytest.mark.parametrize("series", EXAMPLES)
def test_the_examples_are_decoded(series: str) -> None:
    table_bytes, blocks = EXAMPLES[series]
    decoder = HpackDecoder()
    decoder.table.resize(table_bytes)
    for code, lines, size in blocks:
        assert decoded(decoder, bytes.fromhex(code)) == pairs_of(lines)
        assert decoder.table.size == size


@pytest.mark.parametrize(
    ("code", "pair", "inserted", "never"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key custom-header", 1, 0),
        ("040c2f73616d706c652f70617468", ":path /sample/path", 0, 0),
        ("100870617373776f726406736563726574", "password secret", 0, 1),
        ("82", ":method GET", 0, 0),
    ],
    ids=["C.2.1 indexed", "C.2.2 without indexing", "C.2.3 never indexed", "C.2.4 index"],
)
def test_each_representation_is_decoded(code: str, pair: str, inserted: int, never: int) -> None:
    decoder = HpackDecoder()
    (entry,) = decoder.decode(bytes.fromhex(code), 10, 1000)
    assert (entry.field[0] + b" " + entry.field[2]).decode() == pair
    assert len(decoder.table.entries) == inserted
    assert entry.never_indexed is bool(never)


FAULTS = {
    "2.3.3 index beyond the table": b"\xbe",
    "2.3.3 name index beyond the table": b"\x7e\x01a",
    "4.2 size update after a field": b"\x82\x20",
    "5.1 number without an end": b"\xff\x80",
    "5.1 number over 31 bits": b"\xff\xff\xff\xff\xff\x7f",
    "5.1 number of endless zeros": b"\xff\x80\x80\x80\x80\x80\x80\x80\x00",
    "5.2 string longer than the block": b"\x40\x0aabc",
    "5.2 name without a value": b"\x40\x01a",
    "5.2 padding of more than 7 bits": b"\x40\x01a\x82\xff\xff",
    "5.2 padding that is not ones": b"\x40\x01a\x81\x00",
    "5.2 EOS in a string": b"\x40\x01a\x84\xff\xff\xff\xff",
    "6.1 index 0": b"\x80",
    "6.3 size update above the setting": b"\x3f\xe2\x1f",
    "6.3 a third size update": b"\x20\x20\x20",
}


@pytest.mark.parametrize("code", FAULTS.values(), ids=FAULTS.keys())
def test_a_decoding_error_is_one_of_the_connection(code: bytes) -> None:
    with pytest.raises(ConnectionFault) as fault:
        HpackDecoder().decode(code, 10, 1000)
    assert fault.value.code == COMPRESSION_ERROR


def test_4_2_after_the_setting_fell_a_block_must_begin_with_a_size_update() -> None:
    decoder = HpackDecoder()
    decoder.allow(100)
    with pytest.raises(ConnectionFault, match="no dynamic table size update"):
        decoder.decode(b"\x82", 10, 1000)
    decoder = HpackDecoder()
    decoder.allow(100)
    assert len(decoder.decode(b"\x3f\x45\x82", 10, 1000)) == 1
    assert decoder.table.max_size == 100


def test_4_2_our_encoder_tells_the_least_size_and_the_last() -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder()
    block = response_block(200, [(b"x-a", b"x-a", b"1"), (b"x-b", b"x-b", b"2")])
    expected = [(b":status", b"200"), (b"x-a", b"1"), (b"x-b", b"2")]
    for _ in range(3):
        assert decoder.decode(encoder.encode(block, None), raw=True) == expected
    encoder.limit_table(0)
    encoder.limit_table(4096)
    code = encoder.encode(block, None)
    assert code.startswith(b"\x20\x3f\xe1\x1f")
    assert decoder.decode(code, raw=True) == expected
    encoder.limit_table(40)
    decoder.max_allowed_table_size = 40
    for _ in range(3):
        assert decoder.decode(encoder.encode(block, None), raw=True) == expected
    assert encoder.table.size <= 40


def test_4_4_an_entry_larger_than_the_table_empties_it() -> None:
    table = DecodingTable(100)
    table.add(Entry(b"a", b"1"))
    table.add(Entry(b"b", bytes(100)))
    assert (table.entries, table.size) == ([], 0)


def test_6_2_3_what_came_as_never_indexed_is_sent_on_so() -> None:
    block = HeaderBlock([(b"x-key", b"x-key", b"secret")])
    block.never_indexed = [b"x-key"]
    encoder = HpackEncoder()
    for _ in range(3):
        assert encoder.encode(block, None) == b"\x10\x05x-key\x06secret"


def test_7_1_3_credentials_and_short_cookies_never_enter_a_table() -> None:
    fields = [
        (b"authorization", b"authorization", b"Bearer x"),
        (b"proxy-authorization", b"proxy-authorization", b"Basic x"),
        (b"cookie", b"cookie", b"a=1"),
    ]
    encoder = HpackEncoder()
    encoder.encode(HeaderBlock(fields), None)
    assert encoder.table.size == 0


def test_appendix_a_the_static_table_is_that_of_an_independent_implementation() -> None:
    theirs = HeaderTable.STATIC_TABLE
    assert tuple([(entry.field[0], entry.field[2]) for entry in STATIC]) == theirs


def test_appendix_b_each_octet_has_its_code_and_comes_back() -> None:
    for octet in range(256):
        bits = format(REQUEST_CODES[octet], f"0{REQUEST_CODES_LENGTH[octet]}b")
        bits += "1" * (-len(bits) % 8)
        code = int(bits, 2).to_bytes(len(bits) // 8, "big")
        assert huffman.encode(bytes((octet,))) == code
        assert huffman.decode(code, 0, len(code)) == bytes((octet,))


@given(st.binary(max_size=200))
def test_any_text_comes_back_from_its_code_at_its_length(text: bytes) -> None:
    code = huffman.encode(text)
    assert huffman.decode(b"x" + code + b"y", 1, 1 + len(code)) == text
    assert huffman.encoded_length(text) == len(code)


@given(st.binary(max_size=40))
def test_any_octets_are_read_as_an_independent_decoder_reads_them(code: bytes) -> None:
    try:
        theirs = decode_huffman(code)
    except HPACKDecodingError:
        theirs = None
    try:
        ours = huffman.decode(code, 0, len(code))
    except huffman.HuffmanFault:
        ours = None
    assert ours == theirs


NAMES = st.sampled_from([b"x-a", b"x-b", b"cookie", b"accept", b"authorization", b"x-" + b"n" * 90])
VALUES = st.sampled_from([b"", b"1", b"2", b"gzip, deflate", b"v" * 50, b"w" * 300, b"z" * 1500])
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


@given(st.lists(st.tuples(LISTS, st.integers(0, 2), st.integers(-9, 5000)), max_size=12))
def test_what_we_encode_an_independent_decoder_reads_and_remembering_changes_nothing(
    history: list[tuple[Pairs, int, int]],
) -> None:
    encoder, decoder = HpackEncoder(), hpack.Decoder(max_header_list_size=10**6)
    kept: dict[int, HeaderBlock] = {}
    for number, (pairs, again, table_bytes) in enumerate(history):
        if table_bytes >= 0:
            encoder.limit_table(table_bytes)
            decoder.max_allowed_table_size = max(table_bytes, 0)
        block = kept.setdefault(number // 2, HeaderBlock([(n, n, v) for n, v in pairs]))
        expected = [(name, value) for name, _, value in block.fields]
        for turn in range(1 + again):
            extra = [(b"x-id", b"x-id", b"%d" % turn)]
            code = encoder.encode(block, extra)
            assert decoder.decode(code, raw=True) == [*expected, (b"x-id", b"%d" % turn)]


@given(st.lists(st.tuples(LISTS, st.booleans(), st.integers(-9, 4096)), max_size=12))
def test_we_read_what_an_independent_encoder_writes(history: list[tuple[Pairs, bool, int]]) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    for pairs, shorten, table_bytes in history:
        if table_bytes >= 0:
            encoder.header_table_size = table_bytes
        assert decoded(decoder, encoder.encode(pairs, huffman=shorten)) == pairs
    assert decoder.table.size <= decoder.table.max_size


@given(st.binary(max_size=60))
def test_any_octets_are_fields_or_a_compression_error(code: bytes) -> None:
    decoder = HpackDecoder()
    try:
        entries = decoder.decode(code, 20, 500)
    except ConnectionFault as fault:
        entries = []
        faulty = fault.code
    else:
        faulty = 0
    if faulty:
        assert faulty == COMPRESSION_ERROR
        return
    theirs = hpack.Decoder(max_header_list_size=10**6)
    fields = theirs.decode(code, raw=True)
    if not decoder.overrun:
        assert [(entry.field[0], entry.field[2]) for entry in entries] == fields
