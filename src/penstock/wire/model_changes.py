"""Requests after which an engine may serve other models.

Sources: vLLM's and SGLang's LoRA endpoints, Ollama's API documentation (api.md), llama.cpp's server
(``/models/load`` of its router mode).
"""

from typing import Final

_POSTED: Final = (
    b"/load_lora_adapter",
    b"/unload_lora_adapter",
    b"/models/load",
    b"/models/unload",
    b"/api/pull",
    b"/api/create",
    b"/api/copy",
)
_DELETED: Final = b"/api/delete"


def changes_models(method: bytes, path: bytes) -> bool:
    """By method and path, which engines mount under prefixes."""
    path = path.partition(b"?")[0]
    if method == b"DELETE":
        return path.endswith(_DELETED)
    return method == b"POST" and any([path.endswith(ending) for ending in _POSTED])
