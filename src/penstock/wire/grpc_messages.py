"""gRPC's messages on a stream, each behind its flag and length (PROTOCOL-HTTP2.md).

For calls that Penstock makes or answers itself. Those that it relays pass as they are.
"""

from typing import Final

PREFIX_BYTES: Final = 5  # a flag, and a length of 32 bits
_PLAIN: Final = 0
_COMPRESSED: Final = 1


def encode_message(payload: bytes) -> bytes:
    """A message as it is sent, without compression."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


class MessageReader:
    """Reads the messages of one direction of a call, up to ``max_message_bytes`` each.

    ``reason`` is for people, and "" until a message is wrong: too long, or compressed, which is not
    offered. From then on nothing is read.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self.reason: str = ""
        self._max_message_bytes: int = max_message_bytes
        self._pending: bytes = b""  # of a message that is not whole

    @property
    def ends_within(self) -> bool:
        """Whether a message has begun and is not whole: the stream must not end here."""
        return self._pending != b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that become whole with the next bytes of the stream, cut anywhere."""
        messages: list[bytes] = []
        if self.reason:
            return messages
        if self._pending:
            data = self._pending + data
        at = 0
        end = len(data)
        while at < end:
            flag = data[at]
            if flag != _PLAIN:
                return self._refuse(
                    messages,
                    "is compressed" if flag == _COMPRESSED else f"begins with 0x{flag:02x}",
                )
            payload_at = at + PREFIX_BYTES
            if payload_at > end:
                break
            size = int.from_bytes(data[at + 1 : payload_at], "big")
            if size > self._max_message_bytes:
                return self._refuse(
                    messages, f"has {size} bytes; the most is {self._max_message_bytes}"
                )
            if payload_at + size > end:
                break
            at = payload_at + size
            messages.append(data[payload_at:at])
        self._pending = data[at:]
        return messages

    def _refuse(self, messages: list[bytes], what: str) -> list[bytes]:
        self.reason = f"gRPC: a message {what}"
        self._pending = b""
        return messages
