"""What an engine lists at ``/v1/models``. Pure: bytes in, models out."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from penstock.core.snapshot import ServedModel
from penstock.wire.engines.reading import UnreadableError

PATH: Final = "/v1/models"
MOST_MODELS: Final = 1000  # of one endpoint
_MOST_LISTED_BYTES: Final = 16 * 1024  # of one model; of a longer one only known fields are kept
_MOST_WHOLE: Final = 2**53  # what every reader of JSON can take
# vLLM, SGLang and TensorRT-LLM make these anew for each answer.
_MADE_ANEW: Final = frozenset(("created", "permission"))

_any = msgspec.json.Decoder(dict[str, object])


class _Listed(msgspec.Struct):
    """Known fields are used where they have the expected type, and ignored otherwise."""

    id: str
    parent: object = None
    created: object = None
    owned_by: object = None
    max_model_len: object = None


class _List(msgspec.Struct):
    data: list[msgspec.Raw] | None  # Ollama lists no model so


def models_of(body: bytes) -> tuple[ServedModel, ...] | None:
    """The models that an answer lists, by name; None: none yet, as engines answer that load.

    Raises UnreadableError.
    """
    try:
        data = msgspec.json.decode(body, type=_List).data
        listed = [msgspec.json.decode(raw, type=_Listed) for raw in data or ()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"{PATH} cannot be read: {error}") from error
    if len(listed) > MOST_MODELS:
        raise UnreadableError(f"{PATH} lists {len(listed)} models, over {MOST_MODELS}")
    if data is not None and not data:
        return None
    found = {
        each.id: ServedModel(
            each.id,
            _text(each.parent),
            _whole(each.created),
            _text(each.owned_by),
            _whole(each.max_model_len),
            _kept(raw),
        )
        for each, raw in zip(listed, data or (), strict=True)
        if each.id
    }
    return tuple(found[name] for name in sorted(found))


def since(before: Sequence[ServedModel], models: Sequence[ServedModel]) -> tuple[ServedModel, ...]:
    """The same models; as first listed where only fields that are new in each answer differ."""
    known = {model.id: model for model in before}
    return tuple(_first_told(known, model) for model in models)


def _first_told(known: Mapping[str, ServedModel], model: ServedModel) -> ServedModel:
    first = known.get(model.id)
    if first is None:
        return model
    if _steady(first) == _steady(model):
        return first
    return msgspec.structs.replace(model, created=first.created)


def _steady(model: ServedModel) -> object:
    if not model.listed:
        return msgspec.structs.replace(model, created=0)
    return {k: v for k, v in _any.decode(model.listed).items() if k not in _MADE_ANEW}


def _kept(raw: msgspec.Raw) -> str:
    """The description as it was listed; empty where it is too long to keep."""
    data = bytes(raw)
    try:
        return data.decode() if len(data) <= _MOST_LISTED_BYTES else ""
    except UnicodeDecodeError:
        return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_WHOLE else 0
