"""What players and servers of the game say to each other."""

import struct
from typing import NamedTuple

MATCH_BYTES = 8  # at the beginning of every datagram; the balancer chooses by them
CHECK = b"ping"  # of the balancer
CHECKED = b"pong"
_MOVE = struct.Struct(f"!{MATCH_BYTES}sII")
_STATE = struct.Struct("!III")


class Move(NamedTuple):
    """A player's datagram."""

    match: bytes
    player: int
    number: int

    def encode(self) -> bytes:
        return _MOVE.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> "Move | None":
        return cls(*_MOVE.unpack(data)) if len(data) == _MOVE.size else None


class State(NamedTuple):
    """A server's answer: which server it is, the move's number, how many play in the match."""

    server: int
    number: int
    players: int

    def encode(self) -> bytes:
        return _STATE.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> "State | None":
        return cls(*_STATE.unpack(data)) if len(data) == _STATE.size else None
