"""Messages between the supervisor and a worker: JSON with a length before it, over a socket pair.

To a worker:       {"kind": "snapshot", "snapshot": {…}, "listeners": ["name", …]}
                   {"kind": "endpoints", "changes": {…}}        of the snapshot acknowledged last
                   {"kind": "stop", "deadline_s": 30.0, "linger_s": 0.0}   finish, exit 0
                   {"kind": "workers", "first": 0, "end": 4, "sharers": 2}   indexes that run
                   {"kind": "hold_datagrams"}                   another version reads clients'
                   {"kind": "take_datagrams", "sessions": [["listener", "host", 7, "endpoint"], …]}
                   {"kind": "give_up_datagrams", "token": 1}    answered with such sessions
                   {"kind": "reopen_log"}
                   {"kind": "models", "pool": "…"}              its endpoints were asked once more
                   {"kind": "lent", "lent": [["limit", "subject", 5.0, 0.5, 0.0, 40.0, 60.0], …]}
                       amount, how long it may lie, or how long to wait; left there, and until whole
                   {"kind": "decisions", "token": 1, "id": "…", "pool": "…", "limit": 20}
                   {"kind": "engine_model", "token": 2, "pool": "…"}
                   {"kind": "learned", "token": 3}
                   {"kind": "take_learned", "learned": {"pool": {…}, …}}   as was answered to that
To the supervisor: {"kind": "applied", "generation": 7}         the first one means ready
                   {"kind": "refused", "generation": 7, "reason": "…"}   the snapshot before runs on
                   {"kind": "answer", "token": 1, "records": [{…}, …]}     newest first
                   {"kind": "answer", "token": 2, "model": {…}}      null: its policy has none
                   {"kind": "answer", "token": 3, "learned": {"pool": {…}, …}}     by policies
                   {"kind": "lend", "asked": [["limit", "subject", 3.0, 1.0, 0.0, 0.0, true], …]}
                       needed, at least; given back, owed; and more ahead; answered with "lent"
                   {"kind": "usage", "rows": [["tenant", "key", "model", 1, 9, 0, 5, 0.01], …],
                    "refused": {"limit": 2, …}}
                   {"kind": "traces", "requests": [{…}, …], "dropped": 0}    of RequestTrace.tell
                   {"kind": "notices", "notices": [{"event": "…", "message": "…", …}]}

A snapshot replaces the one before; changes (``core.snapshot.changes``) replace endpoints in the one
whose generation is their ``base``, and are answered like a snapshot.

Attached to the first bytes of a snapshot's message is one descriptor for each
name in "listeners", in that order (``socket.send_fds``): the listening sockets that the worker does
not have yet, or that replace the one it has under that name. The end of the stream means that the
supervisor is gone; the worker serves on.
"""

import json
import struct
from typing import Final

_LENGTH: Final = struct.Struct("!I")
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
LINGER_S: Final = 1.0  # of a worker that stops: clients that ask all the time have asked by then


def frame(message: dict[str, object]) -> bytes:
    """A message as it travels."""
    return framed(json.dumps(message, separators=(",", ":")).encode())


def framed(body: bytes) -> bytes:
    """A message that is JSON already, as it travels."""
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """Collects bytes and gives back whole messages."""

    def __init__(self) -> None:
        self._pending: bytearray = bytearray()

    def feed(self, data: bytes) -> list[dict[str, object]]:
        """The messages that are whole after these bytes. Raises ValueError when one is too long."""
        self._pending += data
        messages: list[dict[str, object]] = []
        while len(self._pending) >= 4:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > MAX_MESSAGE_BYTES:
                raise ValueError(
                    f"a message of {length} bytes is over the {MAX_MESSAGE_BYTES} allowed"
                )
            if len(self._pending) < 4 + length:
                break
            messages.append(json.loads(bytes(self._pending[4 : 4 + length])))
            del self._pending[: 4 + length]
        return messages
