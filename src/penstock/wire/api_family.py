"""Whose API a request's path belongs to: what its clients read errors as.

Sources: Anthropic API reference; Ollama's API documentation (api.md). Everything else is OpenAI's,
or of an engine that speaks as OpenAI's does.
"""

from typing import Final

OPENAI: Final = 0
ANTHROPIC: Final = 1
OLLAMA: Final = 2
# Told by the content type, not by the path.
GRPC: Final = 3
GRPC_WEB: Final = 4
GRPC_WEB_TEXT: Final = 5

_MESSAGES: Final = b"/messages"
_THREADS: Final = b"/threads/"
_OPENAIS: Final = (b"/completions", b"/embeddings", b"/responses")
_OLLAMAS: Final = frozenset(
    (
        b"blobs",
        b"chat",
        b"copy",
        b"create",
        b"delete",
        b"embed",
        b"embeddings",
        b"generate",
        b"ps",
        b"pull",
        b"push",
        b"show",
        b"tags",
        b"version",
    )
)


def is_anthropics(path: bytes) -> bool:
    """Whether a path, without a query, is that of messages or of something below them.

    OpenAI's assistants add messages to threads under the same name.
    """
    if _THREADS in path:
        return False
    return path.endswith(_MESSAGES) or b"/messages/" in path


def family_of(path: bytes, versioned: bool) -> int:
    """By the path, which engines mount under prefixes.

    ``versioned``: the client sent ``anthropic-version``, which tells for paths of both.
    """
    path = path.partition(b"?")[0]
    if is_anthropics(path):
        return ANTHROPIC
    _, api, rest = path.rpartition(b"/api/")
    if api and rest.partition(b"/")[0] in _OLLAMAS:
        return OLLAMA
    return ANTHROPIC if versioned and not path.endswith(_OPENAIS) else OPENAI
