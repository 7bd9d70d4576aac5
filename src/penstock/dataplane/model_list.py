"""The list of models that a balancer answers with, as OpenAI's API gives it: all that are served.

Source of the form: OpenAI API reference (models), with ``parent`` and ``max_model_len`` as vLLM
adds them.
"""

import msgspec

from penstock.core.snapshot import ServedModel
from penstock.dataplane.live_pool import LivePool

_LISTS = b"/models"


def answers_models(method: bytes, path: str) -> bool:
    """Whether a request asks for the list of models."""
    return method in (b"GET", b"HEAD") and path.encode("latin-1").endswith(_LISTS)


def model_list(pools: list[LivePool]) -> bytes:
    """The union over pools; b"" when no endpoint's models are known, so that one is to be asked."""
    found: dict[str, ServedModel] = {}
    for pool in pools:
        if pool.insight is None:
            return b""
        found |= _models_of(pool)
    if not found:
        return b""
    return msgspec.json.encode(
        {"object": "list", "data": [_shown(found[name]) for name in sorted(found)]}
    )


def _models_of(pool: LivePool) -> dict[str, ServedModel]:
    found: dict[str, ServedModel] = {}
    spec = pool.spec
    for endpoint in spec.endpoints:
        for model in spec.discovered.get(endpoint.name, ()):
            found.setdefault(model.id, model)
        for name in endpoint.models:
            found.setdefault(name, ServedModel(name))
    if found:
        for alias in spec.models.aliases:
            found.setdefault(alias, ServedModel(alias))
    return found


def _shown(model: ServedModel) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by or "penstock",
        "parent": model.parent or None,
    }
    if model.max_tokens:
        shown["max_model_len"] = model.max_tokens
    return shown
