"""What a balancer answers about models: all that are served, or one.

Source of the forms: OpenAI API reference (models), with what engines add, such as vLLM's
``max_model_len`` and ``root`` and llama.cpp's ``meta``; Anthropic API reference (models), for
clients that send its ``anthropic-version``.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from penstock.core.pool.model_names import other_spelling
from penstock.core.snapshot import ServedModel
from penstock.core.tenants import KeyRecord
from penstock.dataplane.pool.live_pool import LivePool

_LIST: Final = "/v1/models"
_BARE_LIST: Final = "/models"  # llama.cpp has it beside the other
_ONE: Final = "/v1/models/"
_PARTED: Final = (b"/api/tags", b"/api/ps")  # Ollama's: every engine lists its own
_LAST_DATE_S: Final = 253_402_300_799  # the end of the year 9999
_listed = msgspec.json.Decoder(dict[str, object])


def asks_all(method: bytes, target: bytes) -> bool:
    """Whether every endpoint of a pool has a part of the answer."""
    path = target.partition(b"?")[0]
    return method == b"GET" and any([path.endswith(ending) for ending in _PARTED])


def asks_for_models(method: bytes, path: str) -> bool:
    """Whether a request may ask for the list of models, or for one of them, by its path as the
    endpoint is to get it: engines mount ``/v1`` under prefixes."""
    if method != b"GET" and method != b"HEAD":
        return False
    return _is_list(path) or _ONE in path


def _is_list(path: str) -> bool:
    return path.endswith(_LIST) or path == _BARE_LIST


def about_models(
    path: str, pools: list[LivePool], *, anthropic: bool, record: KeyRecord | None = None
) -> bytes:
    """The union over pools, or the one that the path, decoded, names.

    b"" when no endpoint's models are known, or not that one, so that an endpoint is to be asked.
    ``record``: of the key that asks, which is told of what it may ask for, and never by an endpoint
    where that is not all.
    """
    found: dict[str, ServedModel] = {}
    for pool in pools:
        if pool.learning is None:
            return b""
        found |= _models_of(pool)
    if record is not None:
        found = _models_for(record, found)
    shown = _shown_by_anthropic if anthropic else _shown
    if not _is_list(path):
        name = path.partition(_ONE)[2]
        one = found.get(name) or found.get(other_spelling(name))
        return msgspec.json.encode(shown(one)) if one is not None else b""
    if not found:
        return b""
    names = sorted(found)
    told: dict[str, object] = {"data": [shown(found[name]) for name in names]}
    if anthropic:
        told |= {"first_id": names[0], "last_id": names[-1], "has_more": False}
    else:
        told["object"] = "list"
    return msgspec.json.encode(told)


def _models_for(record: KeyRecord, found: dict[str, ServedModel]) -> dict[str, ServedModel]:
    """What a key may ask for: with names of its tenant's own."""
    for alias, name in record.aliases.items():
        model = found.get(name) or found.get(other_spelling(name))
        if model is not None:
            found[alias] = msgspec.structs.replace(model, id=alias)
    if not record.is_restricted:
        return found
    if not found:  # what there is is not known yet; what it may use is
        return {name: ServedModel(name) for name in record.allowed()}
    return {name: model for name, model in found.items() if record.may_ask(name)}


def _models_of(pool: LivePool) -> dict[str, ServedModel]:
    found: dict[str, ServedModel] = {}
    spec = pool.spec
    for endpoint in spec.endpoints:
        for model in spec.discovered.get(endpoint.name, ()):
            found.setdefault(model.id, model)
        for name in endpoint.models:
            found.setdefault(name, ServedModel(name))
    if found:
        for alias, shares in spec.models.aliases.items():
            found.setdefault(alias, _alias(alias, shares, found))
    return found


def _alias(alias: str, shares: dict[str, float], found: dict[str, ServedModel]) -> ServedModel:
    """As the model that answers most often; a prompt has to fit into each that may."""
    names = sorted(shares, key=lambda name: -shares[name])
    models = [found.get(name) or found.get(other_spelling(name)) for name in names]
    known = [model for model in models if model is not None]
    if not known:
        return ServedModel(alias)
    lengths = [model.max_tokens for model in known if model.max_tokens]
    return msgspec.structs.replace(known[0], id=alias, max_tokens=min(lengths) if lengths else 0)


def _shown(model: ServedModel) -> dict[str, object]:
    """As its endpoint lists it, with what OpenAI's API has in any case."""
    shown: dict[str, object] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by or "penstock",
        "parent": model.parent or None,
    }
    if model.listed:
        for key, value in _listed.decode(model.listed).items():
            shown.setdefault(key, value)
    if model.max_tokens:
        shown["max_model_len"] = model.max_tokens
    return shown


def _shown_by_anthropic(model: ServedModel) -> dict[str, object]:
    # What engines tell may be no date.
    created = datetime.fromtimestamp(min(max(model.created, 0), _LAST_DATE_S), UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": created.isoformat().replace("+00:00", "Z"),
    }
