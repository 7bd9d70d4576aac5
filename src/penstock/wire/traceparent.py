"""``traceparent`` of W3C Trace Context: which trace a request belongs to, and below which span."""

import re
from typing import Final

from penstock.wire.http1 import Field

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02  # of level 2: passed on as it came
# Lower case alone. A later version may go on after another dash; 00 may not.
_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16


class TraceParent:
    """What a field says; ids as hexadecimal digits."""

    def __init__(self, trace_id: bytes, span_id: bytes, flags: int) -> None:
        self.trace_id: bytes = trace_id
        self.span_id: bytes = span_id
        self.flags: int = flags
        self.believed: bool = False  # whether who sent it may say what is sampled

    @property
    def sampled(self) -> bool:
        return self.flags & _SAMPLED != 0


def parse_traceparent(value: bytes) -> TraceParent | None:
    """None where it is not as the specification has it: then the trace begins anew."""
    found = _FORM.fullmatch(value)
    if found is None:
        return None
    version: bytes = found.group(1)
    trace_id: bytes = found.group(2)
    span_id: bytes = found.group(3)
    if version == b"ff" or (version == b"00" and found.group(5) is not None):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceParent(trace_id, span_id, int(found.group(4), 16))


def traceparent_of(fields: list[Field]) -> TraceParent | None:
    """Of a head; None where it has none, several, or one that cannot be read."""
    given = [field[2] for field in fields if field[0] == TRACEPARENT]
    return parse_traceparent(given[0]) if len(given) == 1 else None


def form_traceparent(trace_id: bytes, span_id: bytes, sampled: bool, came: int = 0) -> bytes:
    """A field's value; ``came``: the flags of the one that is continued."""
    return b"00-%b-%b-%02x" % (trace_id, span_id, (came & _RANDOM) | int(sampled))
