"""Content codings taken off (RFC 9110, 8.4.1; zstd RFC 8878 and 9659; br RFC 7932), piece by piece.

What comes out is bounded, not what goes in: a bomb costs its bound and no more. gzip and deflate
are the standard library's; zstd and br need their packages, see docs/dependencies.md.
"""

import zlib
from importlib import import_module
from typing import Any, Final

_PIECE_BYTES: Final = 65536
_ZSTD_WINDOW_LOG: Final = 23  # 8 MiB: RFC 9659, 3
_ZSTD_MODULES: Final = ("compression.zstd", "backports.zstd")


class BadCoding(Exception):
    """What came is not of that coding, or ends before it is whole."""


class OverBound(Exception):
    """More would come out than may."""


class ContentDecoder:
    """Of one body. ``feed`` its bytes, then ``end`` it."""

    def __init__(self, most_bytes: int) -> None:
        self._left: int = most_bytes

    def feed(self, data: bytes) -> bytes:
        """All that comes out for these bytes. Raises BadCoding or OverBound."""
        out: list[bytes] = []
        try:
            while True:
                piece = self._step(data)
                data = b""
                self._left -= len(piece)
                if self._left < 0:
                    raise OverBound
                if piece:
                    out.append(piece)
                elif not self._has_more():
                    break
        except OverBound:
            raise
        except Exception as error:  # each library has its own
            raise BadCoding(str(error)) from error
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self) -> None:
        """The body ended. Raises BadCoding where something is missing."""
        if not self._is_whole():
            raise BadCoding("it ends too early")

    def _step(self, data: bytes) -> bytes:
        """Take these bytes in, and give out at most a piece; with none, what is left to give."""
        raise NotImplementedError

    def _has_more(self) -> bool:
        """Whether another step without bytes may bring something, though the last did not."""
        return False

    def _is_whole(self) -> bool:
        raise NotImplementedError


class _Zlib(ContentDecoder):
    """gzip, whose members may follow each other, and deflate, with zlib's wrapper or bare."""

    def __init__(self, most_bytes: int, *, gzip: bool) -> None:
        super().__init__(most_bytes)
        self._gzip: bool = gzip
        self._pending: bytes = b""
        self._inflate: Any = zlib.decompressobj(31) if gzip else None

    def _step(self, data: bytes) -> bytes:
        data = self._pending + data if self._pending else data
        self._pending = b""
        inflate = self._inflate
        if inflate is None:
            if len(data) < 2:
                self._pending = data
                return b""
            wrapped = data[0] & 15 == 8 and (data[0] * 256 + data[1]) % 31 == 0
            inflate = self._inflate = zlib.decompressobj(15 if wrapped else -15)
        elif inflate.eof:
            if not data:
                return b""
            if not self._gzip:
                raise BadCoding("something follows its end")
            inflate = self._inflate = zlib.decompressobj(31)
        piece: bytes = inflate.decompress(data, _PIECE_BYTES)
        self._pending = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        return piece

    def _has_more(self) -> bool:
        return self._inflate is not None and len(self._pending) > 0

    def _is_whole(self) -> bool:
        return self._inflate is not None and bool(self._inflate.eof) and not self._pending


class _Zstd(ContentDecoder):
    def __init__(self, most_bytes: int, module: Any) -> None:
        super().__init__(most_bytes)
        self._module: Any = module
        self._frame: Any = None
        self._pending: bytes = b""

    def _step(self, data: bytes) -> bytes:
        data = self._pending + data if self._pending else data
        self._pending = b""
        frame = self._frame
        if frame is None or frame.eof:
            if not data:
                return b""
            limit = {self._module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
            frame = self._frame = self._module.ZstdDecompressor(options=limit)
        piece: bytes = frame.decompress(data, _PIECE_BYTES)
        if frame.eof:
            self._pending = frame.unused_data
        return piece

    def _has_more(self) -> bool:
        return len(self._pending) > 0

    def _is_whole(self) -> bool:
        return self._frame is not None and bool(self._frame.eof) and not self._pending


class _Brotli(ContentDecoder):
    def __init__(self, most_bytes: int, module: Any) -> None:
        super().__init__(most_bytes)
        self._stream: Any = module.Decompressor()

    def _step(self, data: bytes) -> bytes:
        stream = self._stream
        if stream.is_finished():
            if data:
                raise BadCoding("something follows its end")
            return b""
        piece: bytes = stream.process(data, output_buffer_limit=_PIECE_BYTES)
        return piece

    def _is_whole(self) -> bool:
        return bool(self._stream.is_finished())


def decoder_of(coding: bytes, most_bytes: int) -> ContentDecoder | None:
    """For the value of a Content-Encoding field; None where it cannot be decoded here."""
    name = coding.strip().lower()
    if name == b"gzip" or name == b"x-gzip":
        return _Zlib(most_bytes, gzip=True)
    if name == b"deflate":
        return _Zlib(most_bytes, gzip=False)
    if name == b"zstd":
        module = zstd_module()
        return _Zstd(most_bytes, module) if module is not None else None
    if name == b"br":
        module = _first_of(("brotli",))
        return _Brotli(most_bytes, module) if module is not None else None
    return None


def accepted_codings() -> bytes:
    """Those that can be decoded here, as Accept-Encoding lists them."""
    names = [b"gzip", b"deflate"]
    if zstd_module() is not None:
        names.append(b"zstd")
    if _first_of(("brotli",)) is not None:
        names.append(b"br")
    return b", ".join(names)


def zstd_module() -> Any:
    """What compresses and decompresses zstd; None where it is not installed."""
    return _first_of(_ZSTD_MODULES)


_found: dict[tuple[str, ...], Any] = {}


def _first_of(names: tuple[str, ...]) -> Any:
    """The first of these modules that is installed, loaded when it is first needed."""
    if names not in _found:
        _found[names] = None
        for name in names:
            try:
                _found[names] = import_module(name)
                break
            except ImportError:
                continue
    return _found[names]
