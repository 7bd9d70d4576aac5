"""What a replay sends: sessions of turns, prompts as seeds of text rather than text.

A prompt of 100,000 tokens is a few hundred integers until the moment it is sent.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Text(NamedTuple):
    """Synthesised text: one seed for each block of ``BLOCK_TOKENS``, cut to ``tokens``."""

    seeds: tuple[int, ...]
    tokens: int


class Message(NamedTuple):
    role: Role
    text: Text


class Turn(NamedTuple):
    """One request. Its prompt is what all turns of its session so far have ``added``.

    ``wait_s`` is the time since the session's start in an open session, and the pause after the
    previous answer in a closed one.
    """

    wait_s: float
    added: tuple[Message, ...]
    output_tokens: int


class Session(NamedTuple):
    """Turns in order.

    Open: every turn is sent at its time, whatever became of those before; assistant messages are
    among the ``added``. Closed: a turn waits for the answer to the one before, which becomes part
    of its prompt when ``answers_kept``, then its think time. With ``whole_prompts`` what a turn
    adds is its whole prompt.
    """

    start_s: float
    turns: tuple[Turn, ...]
    closed: bool = False
    answers_kept: bool = False
    whole_prompts: bool = False


class Workload(NamedTuple):
    """Sessions in order of their start, and a line that says what they are."""

    description: str
    sessions: tuple[Session, ...]

    @property
    def requests(self) -> int:
        return sum(len(session.turns) for session in self.sessions)
