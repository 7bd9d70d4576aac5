"""Whose turn it is in an exchange, what is held back meanwhile, and whose timer runs.

All states stand in one table, which ``Exchange`` looks up whenever one of these changes: how far it
is, whether the request's body is whole, whether one of the sides takes no more, and whether the
client waits for 100 (Continue) before it sends its body. On the client's side the front times what
is the client's turn: a body that is taken by ``client_body``, a response that it does not take by
``client_write``.
"""

from typing import Final

# How far an exchange is.
READING: Final = 0  # the body is awaited before an endpoint is chosen
WAITING: Final = 1  # for a place, or for a model to be found: bounded by the queue
CONNECTING: Final = 2
SENT: Final = 3  # the head at least; no final response head came yet
RELAYING: Final = 4  # the response passes

# Whose turn it is.
OURS: Final = 0
CLIENTS: Final = 1
ENDPOINTS: Final = 2

# What bounds the endpoint's turn (``timeouts`` of a pool).
NO_TIMER: Final = 0
CONNECT: Final = 1
FIRST_BYTE: Final = 2
STREAM_IDLE: Final = 3


class Turn:
    """One row. ``takes_body``: more of an unfinished body is read from the client.
    ``takes_answer``: more of the response is read from the endpoint."""

    def __init__(self, whose: int, takes_body: bool, takes_answer: bool, timer: int) -> None:
        self.whose: int = whose
        self.takes_body: bool = takes_body
        self.takes_answer: bool = takes_answer
        self.timer: int = timer


def _decide(
    phase: int, whole: bool, endpoint_full: bool, client_full: bool, awaits_continue: bool
) -> Turn:
    if phase == READING:
        return Turn(CLIENTS, True, True, NO_TIMER)
    if phase == WAITING:
        return Turn(OURS, False, True, NO_TIMER)
    if phase == CONNECTING:
        return Turn(ENDPOINTS, False, True, CONNECT)
    takes_body = not whole and not endpoint_full
    if phase == RELAYING:
        if client_full:
            return Turn(CLIENTS, takes_body, False, NO_TIMER)
        return Turn(ENDPOINTS, takes_body, True, STREAM_IDLE)
    if client_full:  # it has no room for an answer that it has not got yet
        return Turn(CLIENTS, takes_body, False, NO_TIMER)
    if takes_body and not awaits_continue:
        return Turn(CLIENTS, True, True, NO_TIMER)
    return Turn(ENDPOINTS, takes_body, True, FIRST_BYTE)


_BITS: Final = 16
_TABLE: Final[list[Turn]] = [
    _decide(phase, bits & 8 != 0, bits & 4 != 0, bits & 2 != 0, bits & 1 != 0)
    for phase in range(RELAYING + 1)
    for bits in range(_BITS)
]


def turn_of(
    phase: int, whole: bool, endpoint_full: bool, client_full: bool, awaits_continue: bool
) -> Turn:
    """The row for that state. ``whole``: the request's body is. ``endpoint_full``,
    ``client_full``: bytes wait because that side takes no more."""
    bits = whole * 8 + endpoint_full * 4 + client_full * 2 + awaits_continue
    return _TABLE[phase * _BITS + bits]
