"""WebSocket's messages, for those who read what a connection carries (RFC 6455, 5).

Who only relays follows frames by ``websocket.FrameFollower``. Here fragments become messages,
masks are taken off, text is checked, and everything that the RFC forbids ends the connection with
the code that it names. Nothing grows beyond the bound that it was given.
"""

from typing import Final

from penstock.wire.websocket import MASK_BYTES, NEVER_SENT
from penstock.wire.websocket_deflate import Deflater, Inflater

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

# RFC 6455, 7.4.1.
NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NOT_TEXT: Final = 1007
TOO_BIG: Final = 1009
NO_CODE: Final = 1005  # stands for a close without one; never sent

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_COMPRESSED: Final = 0x40  # the first of them (RFC 7692, 6)
_MASKED: Final = 0x80
_CONTINUATION: Final = 0
_LENGTH_OF_16_BITS: Final = 126
_LENGTH_OF_64_BITS: Final = 127
_MAX_CONTROL_BYTES: Final = 125  # RFC 6455, 5.5
_MAX_16_BITS: Final = 65535
_LEAST_COMPRESSED: Final = 32  # bytes; a shorter one is not worth it
_HIGHEST_DEFINED: Final = 1014  # of the codes below 3000 (IANA, WebSocket close codes)


class Message:
    """A whole message, or a control frame. ``code`` is that of a close, NO_CODE without one."""

    def __init__(self, kind: int, data: bytes, code: int = 0) -> None:
        self.kind: int = kind
        self.data: bytes = data
        self.code: int = code


class MessageReader:
    """One direction of one WebSocket, from the first byte after the handshake.

    ``masked``: it is a client's, all of whose frames are masked; else a server's, none of which is.
    ``most``: bytes of one message, as it comes and, where it is compressed, as it was before.
    ``inflater``: takes that off, where it was agreed. Once ``code`` is not 0 the connection has
    failed, and is to be closed with that; ``reason`` says why. Nothing is read behind that, and
    behind a close.
    """

    def __init__(self, masked: bool, most: int, inflater: Inflater | None = None) -> None:
        self.code: int = 0
        self.reason: str = ""
        self._of_client: bool = masked
        self._most: int = most
        self._inflater: Inflater | None = inflater
        self._head: bytes = b""  # of a frame whose head is not whole
        self._first: int = 0  # byte of the frame under way
        self._mask: bytes = b""
        self._left: int = -1  # bytes of its payload still to come; -1: no frame is under way
        # Both are one buffer each: fragments and pieces may come byte by byte.
        self._payload: bytearray | None = None  # of it, still masked, where it comes in pieces
        self._kind: int = 0  # of the message under way; 0: none is
        self._compressed: bool = False  # the message under way
        self._message: bytearray = bytearray()  # its fragments
        self._over: bool = False

    @property
    def unfinished(self) -> int:
        """How many bytes are kept of a message that is not whole."""
        payload = self._payload
        return len(self._message) + (len(payload) if payload is not None else 0)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that end with the next bytes, in their order; control frames stand where
        they came, also between fragments."""
        found: list[Message] = []
        at = 0
        size = len(data)
        while not self._over:
            if self._left < 0:
                if self._head:
                    data = self._head + data[at:]
                    self._head = b""
                    at = 0
                    size = len(data)
                taken = self._take_head(data, at, size)
                if taken == 0:
                    self._head = data[at:]
                    break
                at += taken
                if self._over:
                    break
            left = self._left
            payload = self._payload
            if size - at < left:
                if payload is None:
                    self._payload = bytearray(data[at:])
                else:
                    payload += data[at:]
                self._left = left - (size - at)
                break
            ending = data[at : at + left]
            at += left
            if payload is not None:
                payload += ending
                ending = bytes(payload)
                self._payload = None
            message = self._end_frame(ending)
            if message is not None:
                found.append(message)
        return found

    def _take_head(self, data: bytes, at: int, size: int) -> int:
        """How many bytes the head of the next frame has; 0 while it is not whole."""
        if size - at < 2:
            return 0
        first = data[at]
        second = data[at + 1]
        length = second & 0x7F
        if not self._may_begin(first, second, length):
            return 2
        taken = 2
        if length == _LENGTH_OF_16_BITS:
            taken = 4
        elif length == _LENGTH_OF_64_BITS:
            taken = 10
        start = at + taken
        if size < start:
            return 0
        if start - at > 2:
            least = _LENGTH_OF_16_BITS if length == _LENGTH_OF_16_BITS else _MAX_16_BITS + 1
            length = int.from_bytes(data[at + 2 : start], "big")
            if length < least or length >> 63:
                self._fail(PROTOCOL_ERROR, "a frame's length is not written as it must be")
                return taken
        if first & 0x0F <= BINARY and len(self._message) + length > self._most:
            self._fail(TOO_BIG, f"a message has over {self._most} bytes")
            return taken
        if self._of_client:
            taken += MASK_BYTES
        if size - at < taken:
            return 0
        self._first = first
        self._mask = data[start : at + taken]
        self._left = length
        return taken

    def _may_begin(self, first: int, second: int, length: int) -> bool:
        """Whether a frame may begin so where the stream stands."""
        opcode = first & 0x0F
        if first & _RESERVED and not self._may_be_compressed(first):
            return self._fail(PROTOCOL_ERROR, "a reserved bit is set that was not agreed upon")
        if (second & _MASKED != 0) != self._of_client:
            told = "a client's frame is not masked" if self._of_client else "a server's is masked"
            return self._fail(PROTOCOL_ERROR, told)
        if opcode >= CLOSE:
            if opcode > PONG:
                return self._fail(PROTOCOL_ERROR, f"there is no opcode {opcode}")
            if first & _FINAL == 0 or length > _MAX_CONTROL_BYTES:
                return self._fail(PROTOCOL_ERROR, "a control frame is fragmented or too long")
        elif opcode > BINARY:
            return self._fail(PROTOCOL_ERROR, f"there is no opcode {opcode}")
        elif (opcode == _CONTINUATION) != (self._kind != 0):
            told = "a fragment of no message" if self._kind == 0 else "a message within another"
            return self._fail(PROTOCOL_ERROR, told)
        return True

    def _may_be_compressed(self, first: int) -> bool:
        """Whether a frame with reserved bits is the first of a message that is (RFC 7692, 6)."""
        opcode = first & 0x0F
        return (
            self._inflater is not None
            and first & _RESERVED == _COMPRESSED
            and opcode in (TEXT, BINARY)
        )

    def _inflated(self, data: bytes) -> bytes | None:
        """A whole message as it was before; None where the connection has failed."""
        inflater = self._inflater
        if inflater is None:
            return data
        whole = inflater.whole(data, self._most)
        if whole is None and inflater.too_big:
            self._fail(TOO_BIG, f"a message has over {self._most} bytes when it is inflated")
        elif whole is None:
            self._fail(NOT_TEXT, "a compressed message is no deflate")
        return whole

    def _end_frame(self, data: bytes) -> Message | None:
        """The frame under way is whole, with that payload; the message that it is, or ends."""
        self._left = -1
        if self._mask and data:
            data = masked(data, self._mask)
        first = self._first
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return self._take_close(data) if opcode == CLOSE else Message(opcode, data)
        kind = opcode or self._kind
        if opcode:
            self._compressed = first & _COMPRESSED != 0
        if first & _FINAL == 0:
            self._kind = kind
            self._message += data
            return None
        if self._kind:
            self._message += data
            data = bytes(self._message)
            self._message = bytearray()
            self._kind = 0
        if self._compressed:
            whole = self._inflated(data)
            if whole is None:
                return None
            data = whole
        if kind == TEXT and not data.isascii() and not _is_text(data):
            self._fail(NOT_TEXT, "a text message is not UTF-8")
            return None
        return Message(kind, data)

    def _take_close(self, data: bytes) -> Message | None:
        if not data:
            self._over = True
            return Message(CLOSE, b"", NO_CODE)
        code = int.from_bytes(data[:2], "big")
        if len(data) < 2 or not may_be_received(code):
            self._fail(PROTOCOL_ERROR, "a close has no code that may be sent")
            return None
        if not _is_text(data[2:]):
            self._fail(NOT_TEXT, "the reason of a close is not UTF-8")
            return None
        self._over = True
        return Message(CLOSE, data[2:], code)

    def _fail(self, code: int, reason: str) -> bool:
        self.code = code
        self.reason = reason
        self._over = True
        self._message = bytearray()
        self._payload = None
        self._head = b""
        return False


def may_be_received(code: int) -> bool:
    """Whether a close may carry it: a code that is defined, or free for all (RFC 6455, 7.4.2)."""
    if 3000 <= code <= 4999:
        return True
    return NORMAL <= code <= _HIGHEST_DEFINED and code not in NEVER_SENT


class MessageWriter:
    """One direction of a server's, whose frames are not masked. ``deflater``: compresses messages,
    where that was agreed."""

    def __init__(self, deflater: Deflater | None = None) -> None:
        self._deflater: Deflater | None = deflater

    def frame(self, kind: int, data: bytes) -> bytes:
        """A whole message, or a ping or pong."""
        deflater = self._deflater
        if deflater is None or kind > BINARY or len(data) < _LEAST_COMPRESSED:
            return message_frame(kind, data)
        return message_frame(kind | _COMPRESSED, deflater.whole(data))


def message_frame(kind: int, data: bytes, mask: bytes = b"") -> bytes:
    """One frame that is a whole message, or a ping or pong.

    ``mask``: four bytes that nobody can foresee, of a client (5.3); b"" of a server.
    """
    size = len(data)
    bit = _MASKED if mask else 0
    if size < _LENGTH_OF_16_BITS:
        head = bytes((_FINAL | kind, bit | size))
    elif size <= _MAX_16_BITS:
        head = bytes((_FINAL | kind, bit | _LENGTH_OF_16_BITS)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | kind, bit | _LENGTH_OF_64_BITS)) + size.to_bytes(8, "big")
    return b"%b%b%b" % (head, mask, masked(data, mask)) if mask else head + data


def masked(data: bytes, mask: bytes) -> bytes:
    """The bytes with a mask of four put on, or taken off: both are the same (5.3)."""
    size = len(data)
    whole = mask * (size // MASK_BYTES) + mask[: size % MASK_BYTES]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(whole, "little")
    return mixed.to_bytes(size, "little")


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
