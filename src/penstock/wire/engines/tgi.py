"""Hugging Face's Text Generation Inference: metrics that begin with ``tgi_``."""

from typing import Final

import msgspec

from penstock.wire.engines.dialect import YES, EngineDialect, Reports, decoded
from penstock.wire.engines.exposition import Samples, lines, wanted
from penstock.wire.engines.reading import Reading
from penstock.wire.resume.token_ids import NO_WAY

_WANTED: Final = wanted(["tgi_queue_size", "tgi_batch_current_size"])


class _Info(msgspec.Struct):
    max_batch_total_tokens: int | None = None


def _read(body: bytes) -> Reading:
    samples = Samples(lines(body, _WANTED))
    return Reading(
        running=samples.sum("tgi_batch_current_size"), waiting=samples.sum("tgi_queue_size")
    )


def _capacity(body: bytes) -> int:
    return decoded(body, _Info).max_batch_total_tokens or 0


DIALECT: Final = EngineDialect(
    "tgi",
    "TGI",
    _read,
    Reports(requests=YES, kv_capacity="where told"),
    marks=("tgi_",),
    info_paths=("/info",),
    capacity=_capacity,
    ids_way=NO_WAY,
)
