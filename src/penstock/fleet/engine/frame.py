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


# Where the bytes of a token go, one number each.
TOKEN_NUMBERS = 777_000_777_000_777
TOKEN_NUMBERS_BYTES = str(TOKEN_NUMBERS).encode()


class Frame(NamedTuple):
    """What stands around the text of each token, and after that of the last."""

    before: bytes
    after: bytes
    after_last: bytes


def split_at_token(event: bytes) -> tuple[bytes, bytes]:
    """An event with the mark in the place of its text, in two halves."""
    before, _, after = event.partition(_MARK_BYTES)
    return before, after


def with_token(after: bytes, token: bytes) -> bytes:
    """What follows a token, with its id and bytes in as many characters as the marks have."""
    after = after.replace(TOKEN_ID_BYTES, b"%10d" % int.from_bytes(token, "little"), 1)
    if TOKEN_NUMBERS_BYTES in after:
        numbers = b",".join(b"%3d" % byte for byte in token)
        after = after.replace(TOKEN_NUMBERS_BYTES, numbers, 1)
    return after
