"""Ollama: which models are in its memory. How busy it is, it does not report."""

from typing import Final

import msgspec

from penstock.wire.engines.dialect import EngineDialect, Reports, decoded
from penstock.wire.engines.reading import Reading
from penstock.wire.resume.token_ids import NO_WAY


class _Model(msgspec.Struct):
    name: str


class _Resident(msgspec.Struct):
    models: list[_Model]


def _read(body: bytes) -> Reading:
    return Reading(loaded=[model.name for model in decoded(body, _Resident).models])


DIALECT: Final = EngineDialect(
    "ollama", "Ollama", _read, Reports(loaded="models"), path="/api/ps", ids_way=NO_WAY
)
