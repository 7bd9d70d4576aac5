"""Content codings are taken off piece by piece, within a bound for what comes out."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from penstock.wire.content_coding import BadCoding, OverBound, decoder_of

zstd = pytest.importorskip("backports.zstd")
brotli = pytest.importorskip("brotli")
TEXT = b'{"model": "m", "messages": []}' * 9000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
    " deflate ": raw_deflate,
    "zstd": zstd.compress,
    "br": brotli.compress,
}
CODINGS = pytest.mark.parametrize("coding", PACKERS)


def decoded(coding: str, packed: bytes, cut: int, most_bytes: int = len(TEXT)) -> bytes:
    decoder = decoder_of(coding.encode(), most_bytes)
    assert decoder is not None
    pieces = [decoder.feed(packed[at : at + cut]) for at in range(0, len(packed), cut)]
    decoder.end()
    return b"".join(pieces)


@CODINGS
@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_what_was_coded_comes_out_however_it_is_cut(coding: str, cut: int) -> None:
    assert decoded(coding, PACKERS[coding](TEXT), cut) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_are_one_body(coding: str) -> None:
    pack = PACKERS[coding]
    assert decoded(coding, pack(TEXT[:100]) + pack(TEXT[100:]), 50) == TEXT


@CODINGS
def test_the_bound_is_for_what_comes_out(coding: str) -> None:
    with pytest.raises(OverBound):
        decoded(coding, PACKERS[coding](TEXT + b" "), 1 << 20)


@CODINGS
def test_a_bomb_costs_no_more_than_its_bound(coding: str) -> None:
    bomb = PACKERS[coding](bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(OverBound):
        decoded(coding, bomb, 1 << 20, 1 << 20)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 << 20


@CODINGS
def test_what_is_not_whole_or_not_of_that_coding_is_refused(coding: str) -> None:
    packed = PACKERS[coding](TEXT)
    for bad in (packed[:-5], b"no such thing" * 9, packed + b"more", b"", packed[:1]):
        with pytest.raises(BadCoding):
            decoded(coding, bad, 64)


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "identity", ""])
def test_other_codings_are_not_read(coding: str) -> None:
    assert decoder_of(coding.encode(), 100) is None
