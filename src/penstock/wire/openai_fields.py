"""Single fields of requests to language models, as raw JSON. See ``openai.py``."""

from typing import Final

import msgspec
from msgspec import Raw

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai_bodies import NOTHING
from penstock.wire.session_keys import session_hash

# Tools that are the client's to carry out (OpenAI: functions, custom ones; Anthropic: those without
# a type, and its own that work on the client's machine).
_CLIENTS_TOOLS: Final = frozenset(("", "function", "custom"))
_CLIENTS_OWN: Final = ("bash_", "text_editor_", "computer_", "memory_")


def runs_tools(raw: Raw) -> bool:
    """Whether there are tools on offer that the client does not carry out, as far as is known."""
    if raw is NOTHING or bytes(raw) == b"null":
        return False
    try:
        kinds = [tool.type for tool in bodies.tools.decode(raw)]
    except msgspec.DecodeError:
        return True
    return not all([kind in _CLIENTS_TOOLS or kind.startswith(_CLIENTS_OWN) for kind in kinds])


def is_wanted(raw: Raw) -> bool:
    """Whether a switch is there and not off."""
    return bytes(raw) not in (b"", b"false", b"null")


def conversation_id(raw: Raw) -> str | None:
    """The id of a conversation, given as text or as an object with it."""
    data = bytes(raw)
    try:
        if data.startswith(b"{"):
            return bodies.conversation.decode(data).id
        return bodies.text.decode(data)
    except msgspec.DecodeError:
        return None  # it is the engine's to refuse


def name_hash(raw: Raw) -> int:
    """Of a name given as text; 0 of null, and of what the engine will refuse."""
    try:
        return session_hash(bodies.text.decode(bytes(raw)).encode("utf-8", "surrogatepass"))
    except msgspec.DecodeError:
        return 0


def token_ids(data: bytes) -> int:
    """How many token ids a prompt is given by; -1 when it is given as text."""
    start = data[:64].lstrip(b"[ \t\r\n")
    if not data.startswith(b"[") or not start[:1].isdigit():
        return -1
    return data.count(b",") + 1


def is_single(data: bytes) -> bool:
    """Whether a prompt is a text or a list of token ids; a list may be of several prompts."""
    if data.startswith(b"["):
        return b'"' not in data and data.count(b"[") == 1
    return data.startswith(b'"')
