"""A server that is no known engine, whose metrics a person names."""

from typing import Final

from penstock.wire.engines.dialect import EngineDialect, Reports
from penstock.wire.engines.exposition import Samples, lines, wanted
from penstock.wire.engines.reading import Reading

GENERIC: Final = "generic"


def generic(running: str, waiting: str, kv_usage: str) -> EngineDialect:
    """Its dialect, by the names of its metrics; "" where it has none."""
    beginnings = wanted([name for name in (running, waiting, kv_usage) if name])

    def read(body: bytes) -> Reading:
        samples = Samples(lines(body, beginnings))
        return Reading(
            running=samples.sum(running),
            waiting=samples.sum(waiting),
            kv_usage=samples.mean(kv_usage),
        )

    return EngineDialect(GENERIC, "any other", read, Reports())
