"""Reads along in a streamed answer as it passes: how many events, the usage, the end.

Server-sent events (WHATWG HTML, 9.2) as inference servers send them: lines end with LF or CRLF,
not with CR alone. Some part events by one newline, and clients that go line by line read each line
as an event: so does this where two lines cannot be one JSON text. The bytes are never held back or
changed; a line that is not whole is kept as a copy until the rest has come, and an event over a
mebibyte is counted but not read.

Nearly every event only brings text: such a one is counted, and searched for the two names that
matter. In JSON a quote inside text is escaped, so that a name in quotes which is followed by a
colon is a key, and only events that have such a key with a value are decoded.
"""

from typing import Any, Final, TypeGuard

import msgspec

from penstock._in_c import in_c
from penstock.wire import openai_bodies as bodies

_MAX_EVENT_BYTES: Final = 1024 * 1024
_MOST_TOKENS: Final = 1 << 30  # of one request; what is beyond is nonsense
_DONE: Final = b"[DONE]"
_UNREAD: Final = b"?"  # stands for a line that is too long: an event all the same
_RETURN: Final = 13
_SPACE: Final = 32
_COLON: Final = 58
_N: Final = 110  # null begins with it
_HEADING_BYTES: Final = 512  # of an event, where its type is looked for

_FAILED: Final = b'"error"'
_FAILURE_BYTES: Final = 64  # of an event or answer that is an error, where it says so
_MAX_SHOWN: Final = 256  # characters of an error

_CREATED: Final = b'"response.created"'
# Events of Anthropic's messages and OpenAI's responses that come before any token.
_PREAMBLES: Final = (
    b'"message_start"',
    b'"content_block_start"',
    b'"ping"',
    _CREATED,
    b'"response.queued"',
    b'"response.in_progress"',
    b'"response.output_item.added"',
    b'"response.content_part.added"',
)
_CHOICES: Final = b'"choices"'
_EMPTY: Final = frozenset((b"", b"null", b'""', b"{}", b"[]"))
_PROGRESS: Final = b'"prompt_progress"'  # llama.cpp's, while it computes a prompt

# Finish reason, prompt, cached and output tokens, -1 where they are not told.
_AtOnce = tuple[str, int, int, int]
_answers: Final[Any] = in_c("_answers")
_answer: Final[Any] = None if _answers is None else _answers.answer


class SseMeter:
    """Of one stream. Token counts are -1 until the engine has told them."""

    def __init__(self) -> None:
        self.events: int = 0  # with data, [DONE] excluded
        self.begun: bool = False  # an event came that brings a token
        self.done: bool = False  # [DONE] came
        self.finish_reason: str = ""  # "error" where it told one
        self.failure: str = ""  # the error that came in the place of an answer, or of its rest
        self.tells_timings: bool = False  # and nothing else of tokens: llama.cpp's own API
        self.response_id: str = ""  # of OpenAI's responses API
        self.prompt_tokens: int = -1
        self.cached_tokens: int = -1
        self.output_tokens: int = -1
        self._tail: bytes = b""  # of a line that is not whole
        self._skipping: bool = False  # the rest of a line that is too long
        self._data: list[bytes] | None = None  # lines of the event under way
        self._data_bytes: int = 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        if self._tail:
            data = self._tail + data
            self._tail = b""
        start = 0
        size = len(data)
        while start < size:
            end = data.find(b"\n", start)
            if end < 0:
                self._keep(data[start:] if start else data)
                return
            if self._skipping:
                self._skipping = False
            elif end == start or (end == start + 1 and data[start] == _RETURN):
                if self._data is not None:
                    self._dispatch(self._data)
                    self._data = None
            elif data.startswith(b"data:", start):
                if end - start > _MAX_EVENT_BYTES:
                    self._add_line(_UNREAD)
                else:
                    self._take_line(data, start + 5, end)
            start = end + 1

    def end(self) -> None:
        """The stream ended. What it ends within is read, as clients do that go line by line."""
        if self._tail:
            self.feed(b"\n")
        if self._data is not None:
            self._dispatch(self._data)
            self._data = None

    def _take_line(self, data: bytes, start: int, end: int) -> None:
        if data[end - 1] == _RETURN:
            end -= 1
        if start < end and data[start] == _SPACE:
            start += 1
        self._add_line(data[start:end])

    def _add_line(self, line: bytes) -> None:
        lines = self._data
        if lines is not None and _ends_text(lines[len(lines) - 1]) and _begins_text(line):
            self._dispatch(lines)
            self._data = lines = None
        if lines is None:
            if line == _DONE:
                self.done = True
                return
            self._data = [line]
            self._data_bytes = len(line)
            return
        self._data_bytes += len(line)
        if self._data_bytes > _MAX_EVENT_BYTES:
            self._data = [_UNREAD]
        else:
            lines.append(line)

    def _keep(self, rest: bytes) -> None:
        if self._skipping:
            return
        if len(rest) > _MAX_EVENT_BYTES:
            if rest.startswith(b"data:"):
                self._add_line(_UNREAD)
            self._skipping = True
            return
        self._tail = rest

    def _dispatch(self, lines: list[bytes]) -> None:
        line = lines[0] if len(lines) == 1 else b"\n".join(lines)
        if line == _DONE:
            self.done = True
            return
        self.events += 1
        if line.find(_FAILED, 0, _FAILURE_BYTES) >= 0 and self._take_failure(line):
            return
        if not self.begun:
            self.begun = not _is_preamble(line) and _brings_any(line)
            if not self.begun and _CREATED in line[:_HEADING_BYTES]:
                self.read(line)
        if (
            has_value(line, b'"usage"')
            or has_value(line, b'"finish_reason"')
            or has_value(line, b'"stop_reason"')
            or (self.tells_timings and has_value(line, b'"timings"'))
        ):
            self.read(line)

    def read(self, line: bytes) -> None:
        """Take usage and finish reason from one JSON text: an event, or a whole answer."""
        if line.find(_FAILED, 0, _FAILURE_BYTES) >= 0 and self._take_failure(line):
            return
        told: _AtOnce | None = _answer(line) if _answer is not None else None
        if told is None:
            self.read_decoded(line)
        else:
            self.take_at_once(told)

    def take_at_once(self, told: "_AtOnce") -> None:
        """As ``_answers.c`` tells of an answer that has the form that nearly all have."""
        reason, prompt, cached, output = told
        if reason:
            self.finish_reason = reason
        if 0 <= output <= _MOST_TOKENS:
            self.output_tokens = output
        if prompt >= 0:
            if prompt <= _MOST_TOKENS:
                self.prompt_tokens = prompt
            if 0 <= cached <= _MOST_TOKENS:
                self.cached_tokens = cached

    def read_decoded(self, line: bytes) -> None:
        """The same, by decoding it; of what tells no error."""
        try:
            event = bodies.event.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._read_usage_alone(line)
            return
        for choice in event.choices or ():
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
        if event.delta is not None and not isinstance(event.delta, str):
            self.finish_reason = event.delta.stop_reason or self.finish_reason
        self.finish_reason = event.stop_reason or self.finish_reason
        named = event.id if event.object == "response" else None
        if event.response is not None:
            named = event.response.id
        if isinstance(named, str):
            self.response_id = named
        for inner in (event.message, event.response):
            if inner is not None:
                self.finish_reason = inner.stop_reason or self.finish_reason
                if inner.usage is not None:
                    self._take_usage(inner.usage)
        if event.usage is not None:
            self._take_usage(event.usage)
        timings = event.timings
        if timings is not None and _is_count(timings.cache_n):
            self.cached_tokens = timings.cache_n
            if _is_count(timings.prompt_n):
                self.prompt_tokens = timings.cache_n + timings.prompt_n
            if _is_count(timings.predicted_n):
                self.output_tokens = timings.predicted_n

    def _take_failure(self, line: bytes) -> bool:
        """Whether it is an error, as engines tell one under status 200 once a stream began."""
        try:
            read = bodies.failure.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        told = read.error
        if read.object == "error":
            told = read.message
        if not told:
            return False
        if isinstance(told, dict):
            told = told.get("message") or told
        self.failure = str(told)[:_MAX_SHOWN]
        self.finish_reason = "error"
        return True

    def _read_usage_alone(self, line: bytes) -> None:
        """Of what is otherwise not as those APIs have it. It passes all the same."""
        try:
            usage = bodies.bare_usage.decode(line).usage
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # what it says of usage is not known
        if usage is not None:
            self._take_usage(usage)

    def _take_usage(self, usage: bodies.Usage) -> None:
        prompt = usage.prompt_tokens
        cached = usage.prompt_tokens_details
        if prompt is None:
            prompt = usage.input_tokens
            cached = usage.input_tokens_details or usage.input_token_details
        output = usage.completion_tokens
        if output is None:
            output = usage.output_tokens
        if _is_count(prompt):
            self.prompt_tokens = prompt
        if _is_count(output):
            self.output_tokens = output
        if cached is not None and cached.cached_tokens is not None:
            if _is_count(cached.cached_tokens):
                self.cached_tokens = cached.cached_tokens
        elif _is_count(usage.cache_read_input_tokens):
            # Anthropic counts apart from input_tokens what was cached, and what a cache took in.
            self.cached_tokens = usage.cache_read_input_tokens
            if _is_count(usage.input_tokens):
                taken_in = usage.cache_creation_input_tokens
                self.prompt_tokens = usage.input_tokens + self.cached_tokens
                if _is_count(taken_in):
                    self.prompt_tokens += taken_in


def _brings_any(line: bytes) -> bool:
    """Whether an event brings any of an answer, and not its form alone: no choices, or a role."""
    if line in _EMPTY:
        return False
    if _CHOICES not in line:
        return True
    try:
        choices = bodies.opening.decode(line).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    for choice in choices or ():
        if choice.text or choice.finish_reason or choice.message is not None:
            return True
        for name, value in (choice.delta or {}).items():
            if name != "role" and bytes(value) not in _EMPTY:
                return True
    return False


def _ends_text(line: bytes) -> bool:
    """Whether a JSON object may end with this line, so that none goes on with "{" behind it."""
    return line.endswith(b"}") or line == _UNREAD


def _begins_text(line: bytes) -> bool:
    return line.startswith(b"{") or line == _DONE


def _is_count(tokens: int | None) -> TypeGuard[int]:
    """Whether an answer can have so many tokens: what engines tell is added up, here for years."""
    return tokens is not None and 0 <= tokens <= _MOST_TOKENS


def _is_preamble(line: bytes) -> bool:
    if has_value(line, _PROGRESS):
        return True
    heading = line[:_HEADING_BYTES]
    return b'"type"' in heading and any([name in heading for name in _PREAMBLES])


def has_value(line: bytes, key: bytes) -> bool:
    """Whether the key stands there with any value but null."""
    at = line.find(key)
    size = len(line)
    while at >= 0:
        at += len(key)
        while at < size and line[at] == _SPACE:
            at += 1
        if at < size and line[at] == _COLON:
            at += 1
            while at < size and line[at] == _SPACE:
                at += 1
            if at < size and line[at] != _N:
                return True
        at = line.find(key, at)
    return False
