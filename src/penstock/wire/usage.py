"""Asks an engine for its token counts where the client did not, and hides them from the client.

A streamed answer of OpenAI's API tells its usage only when ``stream_options.include_usage`` is set
(OpenAI API reference, chat completions and completions): in an event of its own before ``[DONE]``,
with an empty list of choices. The wish is written into the request's bytes without making its JSON
anew, and that event is taken out of the answer. Everything else passes byte for byte; of an event
that comes in pieces only one that may still turn out to be the usage is kept until its end.
"""

import re
from typing import Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.sse import has_value

_WISH: Final = b'"include_usage":true'
_KEY: Final = b'"stream_options"'
_DECLINED: Final = re.compile(rb'"include_usage"(\s*+:\s*+)(?:false|null)')
_CHOSEN: Final = re.compile(rb'"choices"\s*+:\s*+\[\s*+[^\s\]]')
_USAGE: Final = b'"usage"'
_LEAD: Final = b"data: {"
_TIGHT_LEAD: Final = b"data:{"
_LONGEST_BYTES: Final = 16384  # of an event that is kept: a usage event is well under a KiB
_LINE_ENDS: Final = b"\r\n"
_COLON: Final = 58


def asking_for_usage(body: bytes, options: bytes) -> bytes:
    """The body of an understood, streaming request with the wish for usage written into it.

    ``options`` is the raw value of its ``stream_options``, empty without one. b"" when the client
    asked already, or when the place to write to is not certain.
    """
    if not options:
        at = body.find(b"{") + 1
        wish = b'"stream_options":{' + _WISH + b"},"
        return b"".join((body[:at], wish, memoryview(body)[at:]))  # one copy of a long prompt
    try:
        asked = bodies.stream_options.decode(options)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    if asked is not None and asked.include_usage:
        return b""
    edited = _edited_options(options)
    # Inside of a text the quote before the colon would be escaped, so this is a key; once means
    # that it is the outermost one, which was read.
    found = re.search(_KEY + rb"\s*+:\s*+" + re.escape(options), body)
    if not edited or found is None or body.count(_KEY) != 1:
        return b""
    return body[: found.end() - len(options)] + edited + body[found.end() :]


def _edited_options(options: bytes) -> bytes:
    if not options.startswith(b"{"):
        return b"{" + _WISH + b"}"  # null
    if b"continuous_usage_stats" in options:
        return b""  # vLLM's: it would add usage to every event
    declined, count = _DECLINED.subn(rb'"include_usage"\1true', options)
    if count == 1:
        return declined
    if count or b"include_usage" in options:
        return b""
    rest = options[1:]
    comma = b"" if rest.lstrip(b" \t\r\n") == b"}" else b","
    return b"{" + _WISH + comma + rest


class UsageHider:
    """Takes the usage event out of one stream, which goes through as payload."""

    def __init__(self) -> None:
        self._held: bytes = b""  # the beginning of an event that may be the one
        self._passing: bool = False  # the event under way is not, and its beginning went out
        self._tail: bytes = b""  # its last bytes that went out, in which its end may begin

    def feed(self, data: bytes) -> bytes:
        """What the client gets of the next bytes, cut anywhere."""
        if (
            not self._passing
            and not self._held
            and (data.endswith(b"\n\n") or data.endswith(b"\n\r\n"))  # noqa: PIE810 - no tuple
            and not has_value(data, _USAGE)
        ):
            return data
        return self._feed_events(data)

    def finish(self) -> bytes:
        """What is left at the end of the stream: an event without end is none of ours."""
        held = self._held
        self._held = b""
        return held

    def _feed_events(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        if self._passing:
            before = len(self._tail)
            joined = self._tail + data
            end = _event_end(joined, 0)
            if end < 0:
                self._tail = joined[-2:]
                return data
            self._passing = False
            at = end - before
            out.append(data[:at])
        elif self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        while at < size:
            start = at
            at = _event_start(data, at)
            end = _event_end(data, at)
            if end < 0:
                out.append(data[start:at])
                self._begin(data[at:], out)
                break
            if _is_usage(data[at:end]):
                out.append(data[start:at])
            else:
                out.append(data[start:end])
            at = end
        return out[0] if len(out) == 1 else b"".join(out)

    def _begin(self, part: bytes, out: list[bytes]) -> None:
        """An event without its end: held only while it may be the usage."""
        if _may_be_usage(part):
            self._held = part
            return
        self._passing = True
        self._tail = part[-2:]
        out.append(part)


def _event_start(data: bytes, at: int) -> int:
    """Behind empty lines and comments, which servers send to keep a connection alive."""
    size = len(data)
    while at < size:
        if data[at] == _COLON:
            end = data.find(b"\n", at)
            if end < 0:
                break
            at = end + 1
        elif data[at] in _LINE_ENDS:
            at += 1
        else:
            break
    return at


def _event_end(data: bytes, start: int) -> int:
    """Where the event ends that begins there, its empty line included; -1 before it is whole."""
    plain = data.find(b"\n\n", start)
    returned = data.find(b"\n\r\n", start)
    if returned >= 0 and (plain < 0 or returned < plain):
        return returned + 3
    return plain + 2 if plain >= 0 else -1


def _may_be_usage(part: bytes) -> bool:
    if part.startswith(b":"):
        return len(part) <= _LONGEST_BYTES  # a comment, behind which it may come
    if len(part) < len(_LEAD):
        return _LEAD.startswith(part) or _TIGHT_LEAD.startswith(part)
    if not part.startswith(_LEAD) and not part.startswith(_TIGHT_LEAD):
        return False
    return len(part) <= _LONGEST_BYTES and _CHOSEN.search(part) is None


def _is_usage(event: bytes) -> bool:
    if not has_value(event, _USAGE) or not event.startswith(b"data:"):
        return False
    try:
        read = bodies.usage_event.decode(event[5:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return read.choices is not None and not read.choices and read.usage is not None
