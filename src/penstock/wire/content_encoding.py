"""Content codings put on (RFC 9110, 8.4.1): gzip, and zstd (RFC 8878 and 9659).

All that went in can be decoded from what came out: nothing is held back. Windows are bounded, so
that a stream costs some 400 KiB at most, and less for a short body.
"""

import zlib
from typing import Any, Final

from penstock.wire.content_coding import zstd_module

_GZIP_LEVEL: Final = 4  # half the time of 6 for 6% more bytes
_ZSTD_LEVEL: Final = 3
_WINDOW_LOG: Final = 17  # of zstd, 128 KiB; its tables are smaller by default's measure
_HASH_LOG: Final = 15
_CHAIN_LOG: Final = 14
_LEAST_BITS: Final = 10
_MOST_BITS: Final = 15


class ContentEncoder:
    """Of one body: ``feed`` all pieces but the last, then ``end`` with that."""

    def feed(self, data: bytes) -> bytes:
        """What comes out for these bytes, to their last."""
        raise NotImplementedError

    def end(self, data: bytes) -> bytes:
        """What comes out for the last bytes, and the end."""
        raise NotImplementedError


class _Gzip(ContentEncoder):
    def __init__(self, length: int) -> None:
        bits = _MOST_BITS
        if length >= 0:
            bits = max(_LEAST_BITS, min(_MOST_BITS, length.bit_length()))
        # The memory for symbols is to hold no more than the window (zlib.h, deflateInit2).
        memory = max(1, min(8, bits - 7))
        self._deflate: Any = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, bits + 16, memory)

    def feed(self, data: bytes) -> bytes:
        out: bytes = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return out

    def end(self, data: bytes) -> bytes:
        out: bytes = self._deflate.compress(data) + self._deflate.flush()
        return out


class _Zstd(ContentEncoder):
    def __init__(self, module: Any) -> None:
        parameter = module.CompressionParameter
        options = {
            parameter.compression_level: _ZSTD_LEVEL,
            parameter.window_log: _WINDOW_LOG,
            parameter.hash_log: _HASH_LOG,
            parameter.chain_log: _CHAIN_LOG,
        }
        self._frame: Any = module.ZstdCompressor(options=options)

    def feed(self, data: bytes) -> bytes:
        out: bytes = self._frame.compress(data, self._frame.FLUSH_BLOCK)
        return out

    def end(self, data: bytes) -> bytes:
        out: bytes = self._frame.compress(data, self._frame.FLUSH_FRAME)
        return out


def encoder_of(coding: bytes, length: int) -> ContentEncoder:
    """For ``gzip`` or ``zstd``. ``length`` is that of the body, -1 where it is not known.

    Raises ValueError for a coding that cannot be put on here.
    """
    if coding == b"gzip":
        return _Gzip(length)
    module = zstd_module() if coding == b"zstd" else None
    if module is None:
        raise ValueError(f"{coding.decode('latin-1')} cannot be put on here")
    return _Zstd(module)


def can_encode(coding: bytes) -> bool:
    """Whether ``encoder_of`` takes it."""
    return coding == b"gzip" or (coding == b"zstd" and zstd_module() is not None)
