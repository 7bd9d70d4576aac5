"""How the text of a token is wrapped into an event, made once for each answer."""

from __future__ import annotations

from typing import NamedTuple

# Where the text of a token goes. Tokens are words, so need no escapes in JSON.
MARK = "\N{REPLACEMENT CHARACTER}"
_MARK_BYTES = MARK.encode()

# Where an event's number goes, in as many characters; JSON allows spaces before a number.
NUMBER = 777_000_777
NUMBER_BYTES = str(NUMBER).encode()


# Where the id of a token goes, likewise.
TOKEN_ID = 7_777_000_777
TOKEN_ID_BYTES = str(TOKEN_ID).encode()


class Frame(NamedTuple):
    """What stands around the text of each token, and after that of the last."""

    before: bytes
    after: bytes
    after_last: bytes


def split_at_token(event: bytes) -> tuple[bytes, bytes]:
    """An event with the mark in the place of its text, in two halves."""
    before, _, after = event.partition(_MARK_BYTES)
    return before, after
