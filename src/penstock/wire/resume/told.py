"""The parts of events that tell token ids. Not compiled: plain data on msgspec's own metaclass."""

from __future__ import annotations

import msgspec
from msgspec import Raw


class Token(msgspec.Struct):
    """llama.cpp's, of its own number; others tell no ``id``."""

    id: int
    bytes: list[int]


class Probabilities(msgspec.Struct):
    content: list[Token] | None = None


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    logprobs: Raw = Raw(b"")


class ProbableEvent(msgspec.Struct):
    """An event that may bring them."""

    choices: list[_Choice] | None = None


class CountedEvent(msgspec.Struct):
    """Of llama.cpp's own completions."""

    tokens: list[int] = []
    tokens_predicted: int = 0  # so far


probabilities = msgspec.json.Decoder(Probabilities)
probable_event = msgspec.json.Decoder(ProbableEvent)
counted_event = msgspec.json.Decoder(CountedEvent)
