"""Which pages of other origins a pool's endpoints let read their answers (Fetch, 3.3: CORS).

Answers of our own, errors above all, say the same: to a page an answer without these fields is a
network error. Learned from endpoints' answers to the same origin, and never guessed.
"""

from typing import Final

from penstock.wire.forwarding import Edit
from penstock.wire.http1 import Field

_ALLOW: Final = b"access-control-allow-origin"
# Those of answers; the others belong to preflights, which endpoints answer.
_KEPT: Final = frozenset(
    (_ALLOW, b"access-control-allow-credentials", b"access-control-expose-headers")
)
_MOST_ORIGINS: Final = 64


class AllowedOrigins:
    """In one worker."""

    def __init__(self) -> None:
        self._edits: dict[bytes, list[Edit]] = {}

    def learn(self, origin: bytes, fields: list[Field]) -> None:
        """An endpoint answered a page of that origin so."""
        kept: list[Edit] = [
            ("set", name, low, value) for low, name, value in fields if low in _KEPT
        ]
        allowed = [edit[3] for edit in kept if edit[2] == _ALLOW]
        if not allowed:
            kept = []
        elif allowed[0] != b"*":
            kept.append(("add", b"Vary", b"vary", b"Origin"))
        if len(self._edits) >= _MOST_ORIGINS and origin not in self._edits:
            self._edits.pop(next(iter(self._edits)))
        self._edits[origin] = kept

    def knows(self, origin: bytes) -> bool:
        """Whether an endpoint has answered a page of that origin."""
        return origin in self._edits

    def edits(self, origin: bytes) -> list[Edit]:
        """What makes an answer of ours one that a page of that origin may read; none if unknown."""
        return self._edits.get(origin, [])
