"""The server name and the application protocols that a TLS ClientHello asks for, while it comes.

For routing without decrypting: the bytes go on to an endpoint as they came, and the handshake is
the endpoint's. What RFC 8446 (4.1.2, 4.2, 5.1) says of lengths, repetition and records is held to,
so that the endpoint can hardly read another name in the same bytes. TLS 1.0 to 1.3 alike.
"""

import re
from typing import Final

from penstock.wire.preface import ABSENT, BAD, FOUND, NEED_MORE

# With the heads of its records. A ClientHello has some 300 to 2,000 bytes, those with large tickets
# more; nginx's preread_buffer_size is the same.
MAX_CLIENT_HELLO_BYTES: Final = 16384

_RECORD_HEAD_BYTES: Final = 5
_MAX_RECORD_BYTES: Final = 16384  # RFC 8446, 5.1
_HANDSHAKE: Final = 22
_MAJOR_VERSION: Final = 3
_CLIENT_HELLO: Final = 1
_MESSAGE_HEAD_BYTES: Final = 4
_RANDOM_END: Final = 34  # of the body: a version of two bytes, 32 bytes of chance
_MAX_SESSION_ID_BYTES: Final = 32
_SERVER_NAME: Final = 0  # RFC 6066, 3
_HOST_NAME: Final = 0
_ALPN: Final = 16  # RFC 7301, 3.1

_MAX_NAME_BYTES: Final = 253  # RFC 1035, 2.3.4, in text
# RFC 1123, 2.1; with "_", which is in many services' names. A last label of digits alone makes an
# IP address of it, which is no host name (RFC 6066, 3; RFC 3696, 2).
_LABEL: Final = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rb"(?:%b\.)*(?![0-9]+\Z)%b" % (_LABEL, _LABEL))


class ClientHelloReader:
    """Of one connection, from its first byte on.

    ``outcome``, one of ``preface``, is NEED_MORE until it is settled: ABSENT where the connection
    does not speak TLS, BAD with a ``reason`` for people, FOUND with what was asked for.

    ``server_name`` is in lower case and without a trailing dot, "" where none was sent. A name that
    can be no host name (an IP address, say, as some clients send) counts as none, and
    ``name_is_invalid`` tells: the message as such is sound, and RFC 6066 (3) leaves it to servers
    to go on without a name that they do not know. Of an encrypted ClientHello it is the outer name,
    which is for those who route. ``alpn``: the protocols by preference, () where none was sent;
    some may be made up (GREASE, RFC 8701).
    """

    def __init__(self) -> None:
        self.outcome: int = NEED_MORE
        self.reason: str = ""
        self.server_name: str = ""
        self.name_is_invalid: bool = False
        self.alpn: tuple[bytes, ...] = ()
        self._taken_bytes: int = 0
        self._head: bytes = b""  # of a record, as long as it is not whole
        self._record_left: int = 0  # bytes of the current record still to come
        self._message: bytearray = bytearray()
        self._whole: int = 0  # bytes of the message; 0 until its head tells

    def feed(self, data: bytes) -> int:
        """The next bytes of the connection, cut anywhere; the outcome so far.

        Whatever the cuts are, the outcome is the same. Once it is settled, bytes are passed over.
        """
        at = 0
        end = len(data)
        while at < end and self.outcome == NEED_MORE:
            if self._record_left == 0:
                taken = min(_RECORD_HEAD_BYTES - len(self._head), end - at)
                self._head += data[at : at + taken]
                self._take_record_head()
            else:
                taken = min(self._record_left, end - at)
                self._message += data[at : at + taken]
                self._record_left -= taken
            at += taken
            self._taken_bytes += taken
            if self.outcome == NEED_MORE:
                self._take_message()
        return self.outcome

    def _refuse(self, reason: str) -> None:
        self.outcome = BAD
        self.reason = "ClientHello: " + reason
        self.server_name = ""
        self.name_is_invalid = False
        self.alpn = ()

    def _take_record_head(self) -> None:
        head = self._head
        if head[0] != _HANDSHAKE or (len(head) > 1 and head[1] != _MAJOR_VERSION):
            if self._message:
                self._refuse("another record stands within it")
            else:
                self.outcome = ABSENT
            return
        if len(head) < _RECORD_HEAD_BYTES:
            return
        self._record_left = head[3] << 8 | head[4]
        self._head = b""
        if self._record_left == 0:
            self._refuse("a record is empty")
        elif self._record_left > _MAX_RECORD_BYTES:
            self._refuse(f"a record has more than {_MAX_RECORD_BYTES} bytes")

    def _take_message(self) -> None:
        message = self._message
        come = len(message)
        if come == 0:
            return
        if message[0] != _CLIENT_HELLO:
            self._refuse("the first message of the handshake is another")
            return
        if self._whole == 0:
            if come < _MESSAGE_HEAD_BYTES:
                return
            self._whole = _MESSAGE_HEAD_BYTES + (message[1] << 16 | message[2] << 8 | message[3])
        if self._whole > MAX_CLIENT_HELLO_BYTES or self._taken_bytes > MAX_CLIENT_HELLO_BYTES:
            self._refuse(f"it has more than {MAX_CLIENT_HELLO_BYTES} bytes")
        elif come > self._whole or (come == self._whole and self._record_left > 0):
            # No client has more to say before it is answered.
            self._refuse("bytes follow it in its record")
        elif come == self._whole:
            reason = self._read(bytes(message))
            self._message = bytearray()
            if reason:
                self._refuse(reason)
            else:
                self.outcome = FOUND

    def _read(self, message: bytes) -> str:
        """RFC 8446, 4.1.2. The reason where it is wrong, else ""."""
        end = len(message)
        at = _MESSAGE_HEAD_BYTES + _RANDOM_END
        if end <= at:
            return "it is too short"
        if message[_MESSAGE_HEAD_BYTES] != _MAJOR_VERSION:
            return "its version is none of TLS"
        if message[at] > _MAX_SESSION_ID_BYTES:
            return "its session id is too long"
        at += 1 + message[at]
        if at + 2 > end:
            return "it ends within its session id"
        suites_bytes = message[at] << 8 | message[at + 1]
        if suites_bytes < 2 or suites_bytes & 1:
            return "the length of its cipher suites is wrong"
        at += 2 + suites_bytes
        if at >= end:
            return "it ends within its cipher suites"
        if message[at] == 0:
            return "it has no compression method"
        at += 1 + message[at]
        if at == end:
            return ""  # without extensions, as before TLS 1.3
        if at + 2 > end or at + 2 + (message[at] << 8 | message[at + 1]) != end:
            return "the length of its extensions is wrong"
        return self._read_extensions(message, at + 2, end)

    def _read_extensions(self, message: bytes, at: int, end: int) -> str:
        seen: set[int] = set()
        while at < end:
            value_at = at + 4
            if value_at > end:
                return "it ends within an extension"
            kind = message[at] << 8 | message[at + 1]
            at = value_at + (message[at + 2] << 8 | message[at + 3])
            if at > end:
                return "an extension is longer than the rest"
            if kind in seen:
                return f"extension {kind} stands in it twice"  # RFC 8446, 4.2
            seen.add(kind)
            reason = ""
            if kind == _SERVER_NAME:
                reason = self._read_server_names(message, value_at, at)
            elif kind == _ALPN:
                reason = self._read_protocols(message, value_at, at)
            if reason:
                return reason
        return ""

    def _read_server_names(self, message: bytes, at: int, end: int) -> str:
        """RFC 6066, 3: a list of names, no two of one type; every type begins with a length."""
        if at + 2 >= end or at + 2 + (message[at] << 8 | message[at + 1]) != end:
            return "the length of its server names is wrong"
        at += 2
        seen: set[int] = set()
        while at < end:
            kind = message[at]
            name_at = at + 3
            if name_at > end:
                return "it ends within a server name"
            at = name_at + (message[at + 1] << 8 | message[at + 2])
            if at > end or at == name_at:
                return "the length of a server name is wrong"
            if kind in seen:
                return "it has two server names"
            seen.add(kind)
            if kind == _HOST_NAME:
                self.server_name = host_name(message[name_at:at])
                self.name_is_invalid = not self.server_name
        return ""

    def _read_protocols(self, message: bytes, at: int, end: int) -> str:
        """RFC 7301, 3.1."""
        if at + 2 >= end or at + 2 + (message[at] << 8 | message[at + 1]) != end:
            return "the length of its protocol names is wrong"
        at += 2
        protocols: list[bytes] = []
        while at < end:
            name_at = at + 1
            at = name_at + message[at]
            if at > end or at == name_at:
                return "the length of a protocol name is wrong"
            protocols.append(message[name_at:at])
        self.alpn = tuple(protocols)
        return ""


def host_name(name: bytes) -> str:
    """A DNS host name in the form in which names are compared; "" for what can be none.

    Lower case, without a trailing dot. Internationalized names have their ASCII form (RFC 5890).
    """
    name = name.removesuffix(b".")
    if len(name) > _MAX_NAME_BYTES or _NAME.fullmatch(name) is None:
        return ""
    return name.decode("ascii").lower()
