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
        self._pending: list[bytes] = []  # of a message that is not whole, as it came
        self._pending_bytes: int = 0
        self._needs: int = 0  # bytes, until more of it can be told

    @property
    def ends_within(self) -> bool:
        """Whether a message has begun and is not whole: the stream must not end here."""
        return self._pending_bytes > 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that become whole with the next bytes of the stream, cut anywhere."""
        messages: list[bytes] = []
        if self.reason:
            return messages
        if self._pending_bytes:
            self._pending.append(data)
            self._pending_bytes += len(data)
            if self._pending_bytes < self._needs:
                return messages
            data = b"".join(self._pending)
        at = 0
        end = len(data)
        self._needs = 0
        while at < end:
            flag = data[at]
            if flag != _PLAIN:
                return self._refuse(
                    messages,
                    "is compressed" if flag == _COMPRESSED else f"begins with 0x{flag:02x}",
                )
            payload_at = at + PREFIX_BYTES
            if payload_at > end:
                self._needs = PREFIX_BYTES
                break
            size = int.from_bytes(data[at + 1 : payload_at], "big")
            if size > self._max_message_bytes:
                return self._refuse(
                    messages, f"has {size} bytes; the most is {self._max_message_bytes}"
                )
            if payload_at + size > end:
                self._needs = PREFIX_BYTES + size
                break
            at = payload_at + size
            messages.append(data[payload_at:at])
        self._pending_bytes = end - at
        self._pending = [data[at:]] if end > at else []
        return messages

    def _refuse(self, messages: list[bytes], what: str) -> list[bytes]:
        self.reason = f"gRPC: a message {what}"
        self._pending = []
        self._pending_bytes = 0
        return messages
