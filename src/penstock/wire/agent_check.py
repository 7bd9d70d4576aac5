"""What an agent beside an endpoint says of it, in HAProxy's words: one line.

    75% maxconn:30 ready up
    drain, down#the disk is full

Words stand in any order and case, parted by spaces, tabs or commas; of several of a kind the last
counts. What follows ``#`` describes the line. A word that is not understood does not spoil the
others.
Source: HAProxy, configuration manual, ``agent-check``.
"""

import re
from typing import Final

MOST_BYTES: Final = 1024  # of a line
_MOST_SHOWN: Final = 200  # characters
# HAProxy's weights end at 256, so this is the most that a percentage can raise one (of 1) to.
_MOST_PERCENT: Final = 25_600
_MOST_IN_FLIGHT: Final = 1_000_000_000
_WORD: Final = re.compile(r"[^ \t,]+")
_NUMBER: Final = re.compile("[0-9]{1,10}")
_MAXCONN: Final = "maxconn:"
_ADMIN: Final = ("ready", "drain", "maint")
_HEALTH: Final = ("up", "down", "fail", "failed", "stopped")


class AgentAnswer:
    """What a line says; -1 and empty for what it does not mention."""

    def __init__(self) -> None:
        self.percent: int = -1  # of the configured weight
        self.max_in_flight: int = -1  # 0: no bound
        self.admin: str = ""  # "ready", "drain" or "maint"
        self.health: str = ""  # "up", or the word for down
        self.unknown: list[str] = []  # words that are not understood, for people
        self.shown: str = ""  # the line, for people

    @property
    def down(self) -> bool:
        """Whether it says that the endpoint is down."""
        return self.health not in ("", "up")

    @property
    def empty(self) -> bool:
        """Whether nothing in it is understood."""
        return self.percent < 0 and self.max_in_flight < 0 and not self.admin and not self.health


def parse_agent_line(data: bytes) -> AgentAnswer:
    """What the first line of ``data`` says. Anything at all may be given."""
    line = re.split(rb"[\r\n]", data[:MOST_BYTES], maxsplit=1)[0].decode("utf-8", "replace")
    answer = AgentAnswer()
    answer.shown = _printable(line.strip(" \t,"))
    for word in _WORD.findall(line.partition("#")[0]):
        _take(word, answer)
    return answer


def _take(word: str, answer: AgentAnswer) -> None:
    lower = word.lower()
    if lower in _ADMIN:
        answer.admin = lower
    elif lower in _HEALTH:
        answer.health = lower
    elif lower.endswith("%") and (percent := _number(lower[:-1], _MOST_PERCENT)) >= 0:
        answer.percent = percent
    elif lower.startswith(_MAXCONN) and (most := _number(lower[8:], _MOST_IN_FLIGHT)) >= 0:
        answer.max_in_flight = most
    else:
        answer.unknown.append(_printable(word))


def _number(text: str, most: int) -> int:
    """-1 for what is none, or too large."""
    if _NUMBER.fullmatch(text) is None or int(text) > most:
        return -1
    return int(text)


def _printable(text: str) -> str:
    shown = "".join([each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text])
    return shown if len(shown) <= _MOST_SHOWN else shown[: _MOST_SHOWN - 1] + "…"
