"""What a server's streams are like when nobody asks it for usage, read from one such stream.

Some tell usage unasked (OpenRouter, DeepSeek, vLLM with ``--enable-force-include-usage``, llama.cpp
in its ``timings``); some name fields only then, or only where they were not asked (see ``usage``).
"""

from typing import Final

from penstock.wire.sse import SseMeter

# A habit is a set of these; 0 while none is known.
LEARNT: Final = 1
TELLS_USAGE: Final = 2  # so that it need not be asked
NAMES_USAGE: Final = 4  # the key stands in events, if only with null
NAMES_FINGERPRINT: Final = 8
NAMES_TIMINGS: Final = 16

_NAMES: Final = (
    (b'"usage"', NAMES_USAGE),
    (b'"system_fingerprint"', NAMES_FINGERPRINT),
    (b'"timings"', NAMES_TIMINGS),
)
_OVERLAP_BYTES: Final = max([len(name) for name, _ in _NAMES]) - 1


class HabitReader:
    """Of one stream that nobody asked for usage."""

    def __init__(self) -> None:
        self._found: int = LEARNT
        self._tail: bytes = b""  # a name may be cut

    def feed(self, payload: bytes) -> None:
        """The next bytes of the stream."""
        data = self._tail + payload
        for name, bit in _NAMES:
            if not self._found & bit and name in data:
                self._found |= bit
        self._tail = data[-_OVERLAP_BYTES:]

    def habit(self, meter: SseMeter) -> int:
        """What the whole stream, which the meter read as well, shows; 0 when it was cut short."""
        if meter.failure or not (meter.done or meter.finish_reason):
            return 0
        tells = meter.prompt_tokens >= 0 or meter.output_tokens >= 0
        return self._found | TELLS_USAGE if tells else self._found
