"""Which API of a language model a request's path belongs to."""

from typing import Final

from penstock.wire.api_family import is_anthropics
from penstock.wire.openai import (
    ANTHROPIC,
    CHAT,
    COMPLETION,
    EMBEDDING,
    LLAMACPP,
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
    OTHER,
    RESPONSE,
    SGLANG,
)
from penstock.wire.session_keys import session_hash

_SUFFIXES: Final = (
    (b"/chat/completions", CHAT),
    (b"/completions", COMPLETION),
    (b"/embeddings", EMBEDDING),
    (b"/responses", RESPONSE),
    (b"/messages", ANTHROPIC),
    (b"/completion", LLAMACPP),
    (b"/infill", LLAMACPP),
    (b"/generate", SGLANG),
)
_OLLAMAS: Final = b"/api/generate"


def api_of(path: bytes) -> int:
    """Which API a request's path belongs to, by its end: engines mount them under prefixes."""
    path = path.partition(b"?")[0]
    for suffix, api in _SUFFIXES:
        if path.endswith(suffix):
            if api == SGLANG:
                return OTHER if path.endswith(_OLLAMAS) else api
            return OTHER if api == ANTHROPIC and not is_anthropics(path) else api
    return OTHER


def ollama_api_of(path: bytes) -> int:
    """Which of Ollama's own APIs that generate it belongs to; OTHER of all others."""
    path = path.partition(b"?")[0]
    if path.endswith(b"/api/chat"):
        return OLLAMA_CHAT
    return OLLAMA_GENERATE if path.endswith(b"/api/generate") else OTHER


def answer_in(path: bytes) -> int:
    """The hash of the answer that a path is about (``…/responses/NAME`` and below); else 0."""
    _, _, rest = path.partition(b"?")[0].partition(b"/responses/")
    return session_hash(rest.partition(b"/")[0])
