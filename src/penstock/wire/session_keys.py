"""What a request names its session by: a header, or a field of its body (see ``openai``)."""

from typing import Final

from xxhash import xxh3_64_intdigest

# What clients send in the wild: by agreement, NVIDIA Dynamo, Claude Code, OpenCode, Codex, and
# llama.cpp's web interface.
HEADERS: Final = (
    b"x-session-id",
    b"x-dynamo-session-id",
    b"x-claude-code-session-id",
    b"x-session-affinity",
    b"x-opencode-session",
    b"session-id",
    b"session_id",
    b"conversation_id",
    b"thread-id",
    b"x-conversation-id",
)
MAX_KEY_BYTES: Final = 1024  # a longer one is no name; tokens of that size begin alike

_RANKS: Final = {name: rank for rank, name in enumerate(HEADERS)}


def session_hash(key: bytes) -> int:
    """Of what names a session: 0 for what cannot be a name, and never 0 for what can."""
    if not 0 < len(key) <= MAX_KEY_BYTES:
        return 0
    return int(xxh3_64_intdigest(key)) or 1


def session_in(fields: list[tuple[bytes, bytes, bytes]]) -> int:
    """The hash of the session that a head's fields name, by the first of ``HEADERS``; else 0."""
    best = len(HEADERS)
    found = 0
    for lower, _, value in fields:
        rank = _RANKS.get(lower, best)
        if rank < best:
            named = session_hash(value)
            if named:
                best = rank
                found = named
    return found
