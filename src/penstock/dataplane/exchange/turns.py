"""Whose turn it is in one exchange: asks the table of ``turn.py``, and applies its row.

Made when somebody first has to be waited for: most exchanges never wait for anybody but an endpoint
that has the whole request.
"""

from penstock.core.env import Env
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.turn import (
    CONNECTING,
    READING,
    RELAYING,
    SENT,
    WAITING,
    Turn,
    turn_of,
)
from penstock.dataplane.io.connection import READ_BYTES


class Turns:
    """Holds back, lets go on and times client and endpoint."""

    client_full: bool = False  # bytes wait for it to take them, or it has no room for any
    awaits_continue: bool = False  # its body, for the 100 of the endpoint
    buffers_to: int = 0  # how much of the body is there before a place is asked for
    read_bytes: int = READ_BYTES  # of the answer at a time
    _row: Turn | None = None  # that was applied last

    def __init__(self, env: Env, front: Front, body: RequestBody) -> None:
        self._env: Env = env
        self._front: Front = front
        self._body: RequestBody = body

    def forget_row(self) -> None:
        """Another attempt begins: whatever the row is, it was not applied to that one."""
        self._row = None

    def limit(self, most: int, attempt: Attempt | None) -> bool:
        """Have at most so much of the answer read at a time; at 0, for now nothing of it. Whether
        that makes it another's turn."""
        full = most <= 0
        if not full:
            self.read_bytes = most
            if attempt is not None and attempt.sent and attempt.stream is not None:
                attempt.stream.limit_reading(most)
        changes = full != self.client_full
        self.client_full = full
        return changes

    def take(self, attempt: Attempt | None, answered: bool, reading: bool) -> None:
        """Do what the row says of the state that there is now. ``reading``: its body tells which
        endpoint it goes to, and no more of it is there."""
        stream = attempt.stream if attempt is not None else None
        phase = READING if reading or self.buffers_to else WAITING
        endpoint_full = False
        if attempt is not None and stream is not None:
            endpoint_full = stream.is_full()
            phase = RELAYING if answered else SENT if attempt.sent else CONNECTING
        whole = self._body.complete
        row = turn_of(phase, whole, endpoint_full, self.client_full, self.awaits_continue)
        if row is not self._row:
            self._row = row
            if attempt is not None:
                attempt.take_turn(row, self._env.now)
        if whole:
            return
        if row.takes_body:
            self._front.take_body()
        else:
            self._front.hold_body()
