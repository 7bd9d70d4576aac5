"""Asks an engine for its token counts where the client did not, and hides them from the client.

A streamed answer of OpenAI's API tells its usage only when ``stream_options.include_usage`` is set
(OpenAI API reference, chat completions and completions): in an event of its own before ``[DONE]``,
with no choices. The wish is written into the request's bytes without making its JSON anew, and the
client gets what the engine would have sent without it: that event is taken out, and what asking
changes in others is changed back. Asked for usage,

- llama.cpp tells its ``timings``, and vLLM its ``system_fingerprint``, in the usage event in place
  of the one that finishes the answer (llama.cpp, ``server_task_result_cmpl_final``; vLLM,
  ``chat_completion_stream_generator``), which is therefore held until the next one is there;
- OpenAI says ``"usage":null`` in all other events.

Everything else passes byte for byte. An event that comes in pieces is passed on when it is whole,
since no client reads it before.
"""

import re
from typing import Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.sse import has_value
from penstock.wire.usage_habit import (
    LEARNT,
    NAMES_FINGERPRINT,
    NAMES_TIMINGS,
    NAMES_USAGE,
    TELLS_USAGE,
)

_WISH: Final = b'"include_usage":true'
_KEY: Final = b'"stream_options"'
_DECLINED: Final = re.compile(rb'"include_usage"(\s*+:\s*+)(?:false|null)')
_NO_CHOICES: Final = re.compile(rb"null|\[\s*\]")
_NULL_USAGE: Final = re.compile(rb',\s*+"usage"\s*+:\s*+null|"usage"\s*+:\s*+null\s*+,\s*+')
_USAGE: Final = b'"usage"'
_FINISH: Final = b'"finish_reason"'
# What moves into the usage event when it is asked for, and the habit of telling it unasked.
_MOVED: Final = (
    ("system_fingerprint", NAMES_FINGERPRINT),
    ("timings", NAMES_TIMINGS),
)
# An empty line; or a line's end between two JSON texts, see ``event_end``.
_END: Final = re.compile(rb"\n\r?\n|\}[ \t]*\r?\n(?=data: ?(?:\{|\[DONE\]))")
_TAIL_BYTES: Final = 32  # more than what stands around such an end
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_BYTES: Final = 65536  # of an event that is held: a usage event is well under a KiB
_LINE_ENDS: Final = b"\r\n"
_COLON: Final = 58


class Wish:
    """For usage, to be written into a body; it can be taken out again without a copy kept."""

    def __init__(self, at: int, old: bytes, new: bytes) -> None:
        self._at: int = at
        self._old: bytes = old
        self._new: bytes = new

    def written_into(self, body: bytes) -> bytes:
        """The body with it."""
        return self._replaced(body, self._old, self._new)

    def taken_out_of(self, body: bytes) -> bytes:
        """That body as it was."""
        return self._replaced(body, self._new, self._old)

    def _replaced(self, body: bytes, old: bytes, new: bytes) -> bytes:
        at = self._at
        return b"".join((body[:at], new, memoryview(body)[at + len(old) :]))  # one copy


def wish_for_usage(body: bytes, options: bytes) -> Wish | None:
    """Where and how an understood, streaming request asks for usage.

    ``options`` is the raw value of its ``stream_options``, empty without one. None when the client
    asked already, or when the place to write to is not certain.
    """
    if not options:
        return Wish(body.find(b"{") + 1, b"", b'"stream_options":{' + _WISH + b"},")
    try:
        asked = bodies.stream_options.decode(options)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if asked is not None and asked.include_usage:
        return None
    edited = _edited_options(options)
    # Inside of a text the quote before the colon would be escaped, so this is a key; once means
    # that it is the outermost one, which was read.
    found = re.search(_KEY + rb"\s*+:\s*+" + re.escape(options), body)
    if not edited or found is None or body.count(_KEY) != 1:
        return None
    return Wish(found.end() - len(options), options, edited)


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
    """Makes of one stream, which goes through as payload, what it would be without the wish.

    ``habit`` is what the endpoint's streams are like that nobody asked for usage.
    """

    def __init__(self, habit: int = 0) -> None:
        self._held: bytes = b""  # the beginning of an event
        self._last: bytes = b""  # a finishing event, whole, until what follows it is known
        self._passing: bool = False  # an event under way was too long to hold
        self._tail: bytes = b""  # its last bytes that went out, in which its end may begin
        self._finishing: bool = False
        self._parted: bool = True  # what went out ends with an empty line
        self._moves: list[str] = [name for name, bit in _MOVED if habit & bit or not habit]
        self._drops_nulls: bool = habit & LEARNT != 0 and habit & NAMES_USAGE == 0
        self._tells_nothing: bool = habit & LEARNT != 0 and habit & TELLS_USAGE == 0

    def feed(self, data: bytes, *, finishing: bool = True) -> bytes:
        """What the client gets of the next bytes, cut anywhere.

        ``finishing``: a finish reason may be in them, or was before.
        """
        if (
            not finishing
            and not self._held
            and not self._passing
            and (data.endswith(b"\n\n") or data.endswith(b"\n\r\n"))  # noqa: PIE810 - no tuple
            and not (_USAGE in data if self._drops_nulls else has_value(data, _USAGE))
        ):
            self._parted = True
            return data
        self._finishing = finishing
        return self._feed_events(data)

    def finish(self) -> bytes:
        """What is left at the end of the stream."""
        held = self._held
        self._held = b""
        out: list[bytes] = []
        if held:
            self._take(held, out)  # clients take an event that ends with the stream, or not
        self._release(out)
        return b"".join(out)

    def _feed_events(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        if self._passing:
            before = len(self._tail)
            joined = self._tail + data
            end = event_end(joined, 0)
            if end < before:
                self._tail = joined[-_TAIL_BYTES:]
                return data
            self._passing = False
            at = end - before
            out.append(data[:at])
            self._parted = _ends_blank(joined[:end])
        elif self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        while at < size:
            start = at
            at = _event_start(data, at)
            if at > start:
                self._pass_between(data[start:at], out)
            end = event_end(data, at) if at < size else at
            if end < 0:
                self._begin(data[at:], out)
                break
            if end > at:
                self._take(data[at:end], out)
            at = end
        return out[0] if len(out) == 1 else b"".join(out)

    def _begin(self, part: bytes, out: list[bytes]) -> None:
        """An event without its end: of no use to the client before, so it is held within a bound.

        What is no event at all is not.
        """
        if len(part) + len(self._last) <= _LONGEST_BYTES and _begins_event(part):
            self._held = part
            return
        self._passing = True
        self._tail = part[-_TAIL_BYTES:]
        self._pass(part, out)

    def _pass_between(self, data: bytes, out: list[bytes]) -> None:
        """Comments and empty lines. Who sends those after an answer may yet take its time."""
        self._parted = self._parted or data[0] in _LINE_ENDS
        self._release(out)
        out.append(data)

    def _pass(self, data: bytes, out: list[bytes]) -> None:
        self._release(out)
        out.append(data)
        self._parted = _ends_blank(data)

    def _release(self, out: list[bytes]) -> None:
        if self._last:
            out.append(self._last)
            self._last = b""

    def _take(self, event: bytes, out: list[bytes]) -> None:
        """A whole event."""
        if b'"' not in event:
            self._pass(event, out)  # [DONE], mostly
            return
        if has_value(event, _USAGE):
            told = _fields_of(event)
            if _tells_usage_alone(told):
                self._take_out(event, told, out)
                return
            if self._tells_nothing and "usage" in told:
                event = _with_null_usage(event, bytes(told["usage"]))
        if self._drops_nulls:
            event = _NULL_USAGE.sub(b"", event, count=1)
        self._pass(event, out)
        if self._finishing and has_value(event, _FINISH):
            self._last = out.pop()

    def _take_out(self, event: bytes, told: dict[str, msgspec.Raw], out: list[bytes]) -> None:
        """The usage does not go on; what moved into its event goes back where it came from."""
        if self._last:
            for name in self._moves:
                if name in told:
                    self._last = _with_field(self._last, name, bytes(told[name]))
        self._release(out)
        if _ends_blank(event) and not self._parted:
            out.append(b"\n")
            self._parted = True


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


def event_end(data: bytes, start: int) -> int:
    """Where the event ends that begins there, its empty line included; -1 before it is whole.

    Some servers part events by one newline, and clients that read line by line take them. A JSON
    text cannot go on with "{" behind "}", so that is an end as well.
    """
    found = _END.search(data, start)
    return found.end() if found is not None else -1


def _begins_event(part: bytes) -> bool:
    return any([part.startswith(field) or field.startswith(part) for field in _FIELDS])


def _ends_blank(event: bytes) -> bool:
    return event.endswith(b"\n\n") or event.endswith(b"\n\r\n")  # noqa: PIE810 - no tuple


def _with_field(event: bytes, name: str, value: bytes) -> bytes:
    """The event's object with one more field at its end, unless it has it already."""
    end = event.rfind(b"}")
    key = b'"%b"' % name.encode()
    if end < 0 or has_value(event, key):
        return event
    return b"%b,%b:%b%b" % (event[:end], key, value, event[end:])


def _with_null_usage(event: bytes, value: bytes) -> bytes:
    """An event of an answer that tells the usage as well."""
    return re.sub(rb'("usage"\s*+:\s*+)' + re.escape(value), rb"\1null", event, count=1)


def _fields_of(event: bytes) -> dict[str, msgspec.Raw]:
    """The object in an event's data; empty where there is none."""
    lines = [_value_of(line) for line in event.splitlines() if line.startswith(b"data:")]
    try:
        return bodies.fields.decode(b"\n".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _value_of(line: bytes) -> bytes:
    return line[6:] if line[5:6] == b" " else line[5:]


def _tells_usage_alone(told: dict[str, msgspec.Raw]) -> bool:
    usage = told.get("usage")
    if usage is None or not bytes(usage).startswith(b"{"):
        return False
    choices = told.get("choices")
    if choices is None:
        return "error" not in told
    return _NO_CHOICES.fullmatch(bytes(choices)) is not None
