"""WebSocket's frames as a relay needs them (RFC 6455, 5.2): where they end, and a close of our own.

A relay passes frames on as they come and understands none of them. It follows their heads only, so
that it knows where the stream stands between two frames and a close can be put there.
"""

from typing import Final

GOING_AWAY: Final = 1001  # RFC 6455, 7.4.1
SERVICE_RESTART: Final = 1012  # IANA, WebSocket close codes
MAX_REASON_BYTES: Final = 123  # RFC 6455, 5.5: control frames have at most 125 bytes, 2 of code
MASK_BYTES: Final = 4

_FINAL: Final = 0x80
_MASKED: Final = 0x80
_BINARY: Final = 2  # the last opcode of data; continuation is 0, text 1
_CLOSE: Final = 8
_LENGTH_OF_16_BITS: Final = 126
_LENGTH_OF_64_BITS: Final = 127
_MAX_PAYLOAD_BYTES: Final = 2**63 - 1  # the most significant bit must be 0
# Opcodes with a meaning, as bits: continuation, text, binary, close, ping, pong.
_OPCODES: Final = 0b0000_0111_0000_0111
# More than any stream brings; what is no frame is passed over as if it were one of this length.
_ENDLESS_BYTES: Final = 2**61

# What the next byte is, where it is no payload.
_FIRST: Final = 0
_SECOND: Final = 1
_LENGTH: Final = 2

# Never sent in a close: reserved to tell that there was no code, no close, or no TLS (7.4.1).
NEVER_SENT: Final = (1004, 1005, 1006, 1015)


class FrameFollower:
    """Follows one direction of one WebSocket, from the first byte after the handshake.

    Told of each piece as it is relayed. ``boundary`` is the last offset in the piece told of last
    at which the stream stands between two frames (0: before it; its length: behind it), -1 where
    it stands within a frame throughout. There a close frame can be put and the rest be left out:
    also within a fragmented message (``message_open``), as control frames may stand between its
    fragments (5.4).

    ``close_passed``: a close frame has begun. Nothing may be put behind it (5.5.1).
    ``is_frames``: False once something came that is no frame; then nothing is followed any more,
    and ``boundary`` stays -1. That is a reserved opcode, or a length of 64 bits with the first bit
    set. Reserved bits may be an extension's, and are passed over; so are sizes, masks and orders
    of frames that break the rules but leave no doubt where frames end: peers judge them.
    """

    def __init__(self) -> None:
        self.boundary: int = 0
        self.is_frames: bool = True
        self.close_passed: bool = False
        self.message_open: bool = False
        self._left: int = 0  # bytes of the current frame still to come, once its length is known
        self._next: int = _FIRST
        self._masked: bool = False
        self._length: int = 0  # as far as its bytes have come
        self._length_left: int = 0  # bytes of it still to come

    @property
    def between_frames(self) -> bool:
        """Whether the stream stands between two frames now, behind all that was told."""
        return self._left == 0 and self._next == _FIRST

    def feed(self, data: bytes) -> None:
        """The next piece of the stream, cut anywhere. It is looked at, not kept."""
        size = len(data)
        if self._left > size:
            self._left -= size
            self.boundary = -1
        else:
            self._follow(data, size)

    def _follow(self, data: bytes, size: int) -> None:
        left = self._left
        at = 0
        boundary = 0 if left == 0 and self._next == _FIRST else -1
        while True:
            if left > size - at:
                left -= size - at
                break
            if left > 0:
                at += left
                left = 0
                boundary = at
            if at == size:
                break
            if self._next == _FIRST and at + 1 < size and self._is_short(data[at], data[at + 1]):
                left = data[at + 1] & 0x7F
                if data[at + 1] & _MASKED:
                    left += MASK_BYTES
                at += 2
            else:
                left = self._take_byte(data[at])
                at += 1
            if left == 0 and self._next == _FIRST:
                boundary = at  # behind a frame without payload and mask
        self._left = left
        self.boundary = boundary if self.is_frames else -1

    def _is_short(self, first: int, second: int) -> bool:
        """Whether a head has these two bytes only and is of data: the common one, in one step."""
        opcode = first & 0x0F
        if opcode > _BINARY or second & 0x7F >= _LENGTH_OF_16_BITS:
            return False
        self.message_open = first & _FINAL == 0
        return True

    def _take_byte(self, byte: int) -> int:
        """A byte of a head; how many bytes of its frame follow once it is whole, else 0."""
        if self._next == _FIRST:
            return self._take_first(byte)
        if self._next == _SECOND:
            return self._take_second(byte)
        self._length = self._length << 8 | byte
        self._length_left -= 1
        return self._payload(self._length) if self._length_left == 0 else 0

    def _take_first(self, byte: int) -> int:
        opcode = byte & 0x0F
        if _OPCODES >> opcode & 1 == 0:
            return self._give_up()
        if opcode == _CLOSE:
            self.close_passed = True
        elif opcode < _CLOSE:
            self.message_open = byte & _FINAL == 0
        self._next = _SECOND
        return 0

    def _take_second(self, byte: int) -> int:
        self._masked = byte & _MASKED != 0
        length = byte & 0x7F
        if length < _LENGTH_OF_16_BITS:
            return self._payload(length)
        self._length = 0
        self._length_left = 2 if length == _LENGTH_OF_16_BITS else 8
        self._next = _LENGTH
        return 0

    def _payload(self, length: int) -> int:
        if length > _MAX_PAYLOAD_BYTES:
            return self._give_up()
        self._next = _FIRST
        return length + (MASK_BYTES if self._masked else 0)

    def _give_up(self) -> int:
        self.is_frames = False
        self._next = _FIRST
        return _ENDLESS_BYTES


def close_frame(code: int, reason: str = "", mask: bytes = b"") -> bytes:
    """A close (RFC 6455, 5.5.1) with a status code and, for people, a reason.

    A client's frames are masked, with four bytes that nobody can foresee (5.3); a server's are not,
    b"". Raises ValueError for a code that must not be sent (7.4), a reason over 123 bytes of UTF-8,
    and a mask of another size.
    """
    if not 1000 <= code <= 4999 or code in NEVER_SENT:
        raise ValueError(f"a WebSocket is not closed with code {code}")
    said = reason.encode("utf-8")
    if len(said) > MAX_REASON_BYTES:
        raise ValueError(
            f"the reason of a WebSocket's close has {len(said)} bytes; the most is "
            f"{MAX_REASON_BYTES}"
        )
    payload = code.to_bytes(2, "big") + said
    if not mask:
        return bytes((_FINAL | _CLOSE, len(payload))) + payload
    if len(mask) != MASK_BYTES:
        raise ValueError(f"a WebSocket's mask has {MASK_BYTES} bytes, not {len(mask)}")
    masked = bytes([byte ^ mask[at & 3] for at, byte in enumerate(payload)])
    return bytes((_FINAL | _CLOSE, _MASKED | len(payload))) + mask + masked
