"""How an answer is streamed, by the form of its events."""

from penstock.fleet.engine.api.base import Writer
from penstock.fleet.engine.generation import CumulativeAnswer, StreamedAnswer


def streamed(writer: Writer, chunked: bool) -> StreamedAnswer:
    """What writes the answer's events as its tokens come."""
    if writer.cumulative:
        return CumulativeAnswer(writer.event_of, chunked)
    return StreamedAnswer(writer.opening(), writer.frame(), chunked, writer.first_number)
