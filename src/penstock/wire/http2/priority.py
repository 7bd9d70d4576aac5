"""Extensible priorities (RFC 9218): what a Priority value says, and who writes next."""

import re
from typing import Final

from penstock.wire.http2.header_block import DEFAULT_URGENCY
from penstock.wire.http2.stream import Stream

_URGENCIES: Final = 8
_MAX_VALUE_BYTES: Final = 256
# The members that are known of a structured dictionary (RFC 8941, 3.2), with their parameters;
# others are passed over (RFC 9218, 4).
_MEMBER: Final = re.compile(rb"([a-z*][a-z0-9_.*-]*)(?:=([^,;]*))?[^,]*")


def read_priority(value: bytes) -> tuple[int, bool]:
    """Urgency and incremental; the defaults where they are missing or not understood."""
    urgency = DEFAULT_URGENCY
    incremental = False
    if len(value) > _MAX_VALUE_BYTES:
        return urgency, incremental
    for part in value.split(b","):
        member = _MEMBER.fullmatch(part.strip(b" \t"))
        if member is None:
            continue
        name, told = member.groups()
        if name == b"u":
            if told is not None and len(told) == 1 and b"0" <= told <= b"7":
                urgency = int(told)
        elif name == b"i":
            if told is None or told == b"?1":
                incremental = True
            elif told == b"?0":
                incremental = False
    return urgency, incremental


def priority_value(urgency: int, incremental: bool) -> bytes:
    """The value that says so; empty for the defaults."""
    members = [] if urgency == DEFAULT_URGENCY else [b"u=%d" % urgency]
    if incremental:
        members.append(b"i")
    return b", ".join(members)


class SendOrder:
    """The streams that wait for room: most urgent first (RFC 9218, 10).

    Of one urgency, those whose responses are of use only when whole come first, in the order of
    their ids; incremental ones take turns.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._whole: list[list[Stream]] = [[] for _ in range(_URGENCIES)]  # sorted by id
        self._turns: list[list[Stream]] = [[] for _ in range(_URGENCIES)]

    def add(self, stream: Stream) -> None:
        """It waits; nothing changes if it does already."""
        if stream.waiting:
            return
        stream.waiting = True
        self.count += 1
        if stream.incremental:
            self._turns[stream.urgency].append(stream)
            return
        queue = self._whole[stream.urgency]
        place = len(queue)
        while place > 0 and queue[place - 1].id > stream.id:
            place -= 1
        queue.insert(place, stream)

    def remove(self, stream: Stream) -> None:
        """It waits no more, before its priority changes or because it is over."""
        if not stream.waiting:
            return
        stream.waiting = False
        self.count -= 1
        queues = self._turns if stream.incremental else self._whole
        queues[stream.urgency].remove(stream)

    def next(self) -> Stream | None:
        """The first, which waits no more; None when nobody does."""
        if not self.count:
            return None
        for urgency in range(_URGENCIES):
            if self._whole[urgency]:
                stream = self._whole[urgency].pop(0)
            elif self._turns[urgency]:
                stream = self._turns[urgency].pop(0)
            else:
                continue
            stream.waiting = False
            self.count -= 1
            return stream
        return None
