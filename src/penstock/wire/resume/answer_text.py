"""What was answered so far, read of the events of a stream as they pass: of OpenAI's chat and text
completions and of Anthropic's messages. Other APIs have a file each.

Events of one stream are alike but for the text: once one was read, the others that begin and end
with the same bytes, and have no quote in between, are known to be that text alone.
"""

from typing import Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai import ANTHROPIC, CHAT
from penstock.wire.resume.events import data_of, fields_of, split_events

_PIECES: Final = 256  # of text, before they are put together
_SPACE: Final = 32
_BACKSLASH: Final = 92
_EMPTY: Final = frozenset((b"", b"null", b'""', b"{}", b"[]"))
# Fields of a delta that bring nothing which would have to be gone on with.
_HARMLESS: Final = frozenset(("role", "content"))
_MAX_SHOWN: Final = 256  # characters of an error
_NOTHING: Final = msgspec.Raw(b"")
_PROBLEMS: Final = {
    "tool_calls": "a tool call is under way",
    "function_call": "a tool call is under way",
    "reasoning_content": "it tells its reasoning",
    "reasoning": "it tells its reasoning",
    "audio": "it brings audio",
}
_NAMES: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


class AnswerText:
    """Of one choice.

    ``problem`` says why the answer cannot be gone on with from here; "" while it can.
    """

    def __init__(self, api: int) -> None:
        self.problem: str = ""
        self.failure: str = ""  # the error that the stream told in place of the rest
        self.finished: bool = False  # the reason for its end was told
        self.done: bool = False  # nothing follows: [DONE], or ``message_stop``
        self.told_usage: bool = False
        self.tokens: int = 0  # events that brought text
        self.size: int = 0  # bytes of text kept, as JSON has it
        self.names: dict[str, msgspec.Raw] = {}  # what the stream is called, by field
        self.prefix: bytes = b""  # of an event that brings text alone; b"" before one was read
        self.suffix: bytes = b""
        self._api: int = api
        self._key: bytes = b'"content":' if api == CHAT else b'"text":'
        self._blocks: int = 0  # of Anthropic's content, that began
        self._pieces: list[bytes] = []
        self._stopped: bool = False

    def take(self, data: bytes) -> None:
        """Whole events that go to the client."""
        if self._stopped:
            return
        prefix = self.prefix
        if prefix and data.startswith(prefix) and data.endswith(self.suffix):
            text = data[len(prefix) : len(data) - len(self.suffix)]
            if text and b'"' not in text and text[-1] != _BACKSLASH:
                # ``add``, without the call.
                self.tokens += 1
                self.size += len(text)
                self._pieces.append(text)
                if self.tokens % _PIECES == 0:
                    self.raw()
                return
        for event in split_events(data):
            self._read(event)

    def stop(self) -> None:
        """Keep no more of it."""
        self.problem = self.problem or "too much would have to be kept"
        self._pieces = []
        self.prefix = b""
        self._stopped = True

    def look(self) -> None:
        """Read what was put off until it is needed."""

    def ids(self) -> list[int]:
        """Of its tokens, where every answer of its API tells them; else none."""
        return []

    def text(self) -> str:
        """All of it. Raises msgspec.DecodeError where that is no text."""
        return bodies.text.decode(b'"%b"' % self.raw())

    def raw(self) -> bytes:
        """The same as JSON has it, without quotes."""
        pieces = self._pieces
        if len(pieces) > 1:
            self._pieces = [b"".join(pieces)]
        return self._pieces[0] if self._pieces else b""

    def add(self, text: bytes) -> None:
        """A piece of it, as JSON has it."""
        if not text:
            return
        self.tokens += 1
        self.size += len(text)
        self._pieces.append(text)
        if self.tokens % _PIECES == 0:
            self.raw()

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        if data == b"[DONE]":
            self.done = True
            return
        told = fields_of(data)
        if not told:
            if data:
                self.problem = self.problem or "an event is not understood"
            return
        if bytes(told.get("error", _NOTHING)) not in _EMPTY:
            self.failure = self.failure or shown(told["error"])
            return
        if self._api == ANTHROPIC:
            self._read_message(event, told)
            return
        if not self.names:
            self.names = {name: told[name] for name in _NAMES if name in told}
        if bytes(told.get("usage", _NOTHING)) not in _EMPTY:
            self.told_usage = True
        choices = _objects_of(told.get("choices", _NOTHING))
        if len(choices) > 1:
            self.problem = "it has several choices"
        for choice in choices:
            self._read_choice(event, choice)

    def _read_message(self, event: bytes, told: dict[str, msgspec.Raw]) -> None:
        kind = bytes(told.get("type", _NOTHING)).strip(b'"')
        if kind == b"content_block_start":
            self._blocks += 1
            block = fields_of(bytes(told.get("content_block", _NOTHING)))
            if self._blocks > 1:
                self.problem = "it has several parts"
            elif bytes(block.get("type", _NOTHING)) != b'"text"':
                self.problem = "it is no text: a tool is called, or reasoning told"
            elif bytes(block.get("text", _NOTHING)) not in _EMPTY:
                self.problem = "its first part begins with text"
        elif kind == b"content_block_delta":
            text = bytes(fields_of(bytes(told.get("delta", _NOTHING))).get("text", _NOTHING))
            if not text.startswith(b'"'):
                self.problem = "it is no text: a tool is called, or reasoning told"
                return
            self.add(text[1:-1])
            if len(text) > 2:
                self._learn_form(event, text)
        elif kind == b"content_block_stop":
            self.problem = self.problem or "its text has ended, and what follows is not known"
        elif kind == b"message_delta":
            self.finished = self.told_usage = True
        elif kind == b"message_stop":
            self.done = True

    def _read_choice(self, event: bytes, choice: dict[str, msgspec.Raw]) -> None:
        if bytes(choice.get("index", _NOTHING)) not in (b"", b"0"):
            self.problem = "it has several choices"
        if bytes(choice.get("logprobs", _NOTHING)) not in _EMPTY:
            self.problem = "it tells log probabilities"
        finished = bytes(choice.get("finish_reason", _NOTHING)) not in _EMPTY
        brought = choice
        if self._api == CHAT:
            brought = fields_of(bytes(choice.get("delta", _NOTHING)))
            for name, value in brought.items():
                if name not in _HARMLESS and bytes(value) not in _EMPTY:
                    self.problem = _PROBLEMS.get(name, f"it brings `{name[:32]}`")
        text = bytes(brought.get("content" if self._api == CHAT else "text", _NOTHING))
        if text.startswith(b'"'):
            self.add(text[1:-1])
            if not finished and len(text) > 2 and not self.told_usage:
                self._learn_form(event, text)
        elif text not in _EMPTY:
            self.problem = "its content is no text"
        self.finished = self.finished or finished

    def _learn_form(self, event: bytes, text: bytes) -> None:
        """What stands around the text, where that is certain."""
        if event.count(self._key) != 1 or b'"role"' in event:
            return
        start = event.find(self._key) + len(self._key)
        while start < len(event) and event[start] == _SPACE:
            start += 1
        if event[start : start + len(text)] == text:
            self.prefix = event[: start + 1]
            self.suffix = event[start + len(text) - 1 :]


def _objects_of(raw: msgspec.Raw) -> list[dict[str, msgspec.Raw]]:
    try:
        return bodies.objects.decode(bytes(raw)) if bytes(raw) not in _EMPTY else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def shown(raw: msgspec.Raw) -> str:
    """An error in a sentence."""
    told = fields_of(bytes(raw)).get("message", raw)
    try:
        return bodies.text.decode(bytes(told))[:_MAX_SHOWN]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(told)[:_MAX_SHOWN].decode("utf-8", "replace")
