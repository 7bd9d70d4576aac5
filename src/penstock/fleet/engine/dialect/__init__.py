"""What engines answer beside OpenAI's API: one file for each kind, found here by name."""

from __future__ import annotations

from penstock.fleet.engine.dialect.base import Dialect, EngineView
from penstock.fleet.engine.dialect.llamacpp import LlamaCpp
from penstock.fleet.engine.dialect.ollama import Ollama
from penstock.fleet.engine.dialect.sglang import Sglang
from penstock.fleet.engine.dialect.tgi import Tgi
from penstock.fleet.engine.dialect.vllm import Vllm
from penstock.fleet.engine.spec import DialectName

__all__ = ["Dialect", "EngineView", "dialect_named"]

_DIALECTS: dict[DialectName, type[Dialect]] = {
    "vllm": Vllm,
    "sglang": Sglang,
    "tgi": Tgi,
    "llamacpp": LlamaCpp,
    "ollama": Ollama,
}


def dialect_named(name: DialectName) -> Dialect:
    return _DIALECTS[name]()
