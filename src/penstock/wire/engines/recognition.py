"""Which engine a server is, by what it answers."""

import re
from dataclasses import dataclass

from penstock.wire.engines import engine_dialects
from penstock.wire.engines.dialect import USUAL_PATH, EngineDialect


@dataclass(frozen=True)
class Place:
    """Where to look; ``dialect`` is whose answer that would be, None for an exposition."""

    path: str
    port: int
    dialect: EngineDialect | None


def places() -> list[Place]:
    """Where to look for an engine that is not known, in this order.

    Expositions at the endpoint's own port come first, then answers that one engine alone gives,
    then ports that are an engine's own: what is found there may be another endpoint's.
    """
    dialects = engine_dialects().values()
    expositions = {(each.port, each.path) for each in dialects if each.marks}
    ordered = sorted(expositions, key=lambda each: (each[0], each[1] != USUAL_PATH, each[1]))
    answers = [
        answer
        for dialect in dialects
        for answer in (*(() if dialect.marks else (dialect,)), *dialect.stand_ins)
    ]
    return [
        *(Place(path, port, None) for port, path in ordered if not port),
        *(Place(answer.path, answer.port, answer) for answer in answers),
        *(Place(path, port, None) for port, path in ordered if port),
    ]


def recognised(exposition: bytes, port: int = 0) -> EngineDialect | None:
    """The engine whose metrics these are. At a port that is an engine's own, only that engine."""
    dialects = sorted(engine_dialects().values(), key=lambda each: not each.runs_others)
    for dialect in dialects:
        marks = b"|".join(re.escape(mark.encode()) for mark in dialect.marks)
        if marks and re.search(rb"^(?:" + marks + rb")", exposition, re.MULTILINE):
            return dialect if port in (0, dialect.port) else None
    return None
