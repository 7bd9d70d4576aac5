"""The parts of SGLang's ``/generate`` that are read (sgl-project/sglang, ``GenerateReqInput`` and
what its tokenizer manager answers). Not compiled: plain data on msgspec's own metaclass."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from penstock.wire.openai_bodies import NOTHING, Common, Limit


class Generate(Common, kw_only=True):
    """A request. ``text`` or ``input_ids`` is the prompt, or a list of several."""

    text: Raw = NOTHING
    input_ids: Raw = NOTHING
    image_data: Raw = NOTHING
    sampling_params: Raw = NOTHING
    session_params: Raw = NOTHING


MOST_NEW_TOKENS = 128  # where a request does not say


class Sampling(msgspec.Struct):
    max_new_tokens: Limit = MOST_NEW_TOKENS
    n: int | None = None


class Meta(msgspec.Struct):
    """What is told beside the text."""

    id: str | None = None
    finish_reason: Any = None  # an object with its type
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


class Generated(msgspec.Struct):
    """An event, which tells all that came so far, or a whole answer."""

    text: str | None = None
    output_ids: list[int] | None = None
    meta_info: Meta | None = None
    index: int | None = None  # of several prompts


generate = msgspec.json.Decoder(Generate, strict=False)  # as pydantic takes it
generated = msgspec.json.Decoder(Generated)
answers = msgspec.json.Decoder(Generated | list[Generated])
_sampling = msgspec.json.Decoder(Sampling, strict=False)


def sampling_in(raw: Raw) -> Sampling:
    """Of one prompt; what is said for several is not read."""
    data = bytes(raw)
    return _sampling.decode(data) if data.startswith(b"{") else Sampling()
