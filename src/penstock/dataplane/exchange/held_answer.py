"""An answer that is held back until its first token, while another attempt may take its place."""

from penstock.dataplane.exchange.answer_handling import AnswerHandling
from penstock.dataplane.llm.answer_reading import AnswerReading


class HeldAnswer:
    """Of an attempt that has no token yet. ``data`` is what the client would have got of it."""

    def __init__(self, handling: AnswerHandling) -> None:
        self.handling: AnswerHandling = handling
        self.data: list[bytes] = []
        self.complete: bool = False

    def keep(self, data: bytes, complete: bool) -> None:
        """More of it, read along already."""
        if data:
            self.data.append(data)
        self.complete = complete

    def take(self) -> bytes:
        """All of it, once: it is held no longer."""
        data = b"".join(self.data)
        self.data = []
        return data

    def has_token(self) -> bool:
        """Whether one came, as far as that can be told."""
        reading = self.reading()
        return reading is None or reading.meter.begun

    def reading(self) -> AnswerReading | None:
        """What it told so far."""
        stages = self.handling.stages
        return stages.reading() if stages is not None else None
