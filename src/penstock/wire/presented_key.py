"""Where clients of inference APIs show their key, and a head without it.

Sources: OpenAI's and Anthropic's API references, Azure OpenAI's (``api-key``), and OpenAI's
Realtime guide: browsers, which cannot set headers of a WebSocket, show it as a subprotocol.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from penstock.wire.forwarding import Edit
from penstock.wire.http1 import RequestHead

_BEARER: Final = b"bearer "
_SUBPROTOCOLS: Final = b"sec-websocket-protocol"
_SHOWS_KEY: Final = b"openai-insecure-api-key."
# Parameters of a query that are keys by their name, in lower case.
_PARAMETERS: Final = frozenset((b"api_key", b"api-key", b"apikey", b"access_token"))
_SHORTEST: Final = 32  # keys are as long

# Whatever they hold, endpoints do not get it.
TAKEN_OUT: Final[list[Edit]] = [
    ("remove", b"Authorization", b"authorization", b""),
    ("remove", b"X-API-Key", b"x-api-key", b""),
    ("remove", b"API-Key", b"api-key", b""),
]


def presented_key(head: RequestHead) -> bytes:
    """The key that a request shows, by the first place that has one; b"" without any."""
    found = {b"authorization": b"", b"x-api-key": b"", b"api-key": b"", _SUBPROTOCOLS: b""}
    for lower, _, value in head.fields:
        if lower not in found or found[lower]:
            continue
        if lower == b"authorization":
            value = value[len(_BEARER) :] if value[: len(_BEARER)].lower() == _BEARER else b""
        elif lower == _SUBPROTOCOLS:
            value = _key_in(value)
        found[lower] = value.strip()
    for value in found.values():
        if value:
            return value
    return b""


def edits_without_key(head: RequestHead) -> list[Edit]:
    """What is done to a head so that it shows no key."""
    value = head.value(_SUBPROTOCOLS)
    if value is None:
        return TAKEN_OUT
    kept = b", ".join([each for each in _listed(head) if not each.startswith(_SHOWS_KEY)])
    operation = "set" if kept else "remove"
    return [*TAKEN_OUT, (operation, b"Sec-WebSocket-Protocol", _SUBPROTOCOLS, kept)]


def subprotocol_of(head: RequestHead) -> bytes:
    """The first subprotocol that a handshake offers and that is no key; b"" without any."""
    offered = [each for each in _listed(head) if not each.startswith(_SHOWS_KEY)]
    return offered[0] if offered else b""


def target_without_key(target: bytes, is_key: Callable[[bytes], bool]) -> bytes:
    """A target whose query holds no parameter that is a key, by its name or its value."""
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    pairs = query.split(b"&")
    kept = [pair for pair in pairs if not _is_key(pair, is_key)]
    if len(kept) == len(pairs):
        return target
    return path + b"?" + b"&".join(kept) if kept else path


def _is_key(pair: bytes, is_key: Callable[[bytes], bool]) -> bool:
    name, _, value = pair.partition(b"=")
    if unquote_to_bytes(name).lower() in _PARAMETERS:
        return True
    return len(value) >= _SHORTEST and is_key(unquote_to_bytes(value))


def _listed(head: RequestHead) -> list[bytes]:
    found: list[bytes] = []
    for lower, _, value in head.fields:
        if lower == _SUBPROTOCOLS:
            found += [each.strip() for each in value.split(b",") if each.strip()]
    return found


def _key_in(subprotocols: bytes) -> bytes:
    for each in subprotocols.split(b","):
        if each.strip().startswith(_SHOWS_KEY):
            return each.strip()[len(_SHOWS_KEY) :]
    return b""
