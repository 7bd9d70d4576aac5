"""Going on with a cut answer of OpenAI's responses (API reference, responses and their streaming).

Every event has a type; most engines number them, and name in each the item that it is about and its
place among others (llama.cpp does neither). An answer is gone on with while its one text is told.
"""

from typing import Any, Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai import RESPONSE
from penstock.wire.resume.answer_text import AnswerText, shown
from penstock.wire.resume.events import data_of, fields_of, object_in, split_events
from penstock.wire.resume.splice import Splicer

_NOTHING: Final = msgspec.Raw(b"")
_EMPTY: Final = frozenset((b"", b"null", b'""', b"{}", b"[]"))
_QUOTE: Final = b'"'
_BACKSLASH: Final = 92
_DELTA: Final = "response.output_text.delta"
_BEGINNINGS: Final = ("response.created", "response.queued", "response.in_progress")
_TEXT_DONE: Final = "response.output_text.done"
_PART_DONE: Final = "response.content_part.done"
_ITEM_ADDED: Final = "response.output_item.added"
_ITEM_DONE: Final = "response.output_item.done"
_ENDS: Final = ("response.completed", "response.incomplete")
# Of the text's events: where it stands.
_PLACE: Final = ("item_id", "output_index", "content_index")
# What of a response is known at its end only.
_OF_THE_END: Final = frozenset(
    ("status", "output", "output_text", "usage", "incomplete_details", "error", "completed_at")
)
_NUMBER: Final = b'"sequence_number":'
_TEXT: Final = b'"delta":'


class ResponseText(AnswerText):
    """``problem`` says why the answer cannot be gone on with from here; "" while it can."""

    def __init__(self, api: int) -> None:
        super().__init__(api)
        self.number: int = -1  # of the last event; -1 where they have none
        self.begun: dict[str, msgspec.Raw] = {}  # the response, as it was told first
        self.item: bytes = b""  # the message
        self.part: bytes = b""  # its text
        self.place: dict[str, msgspec.Raw] = {}  # of the text
        # What stands around number and text of an event, in the order in which they come.
        self.head: bytes = b""
        self.middle: bytes = b""
        self.tail: bytes = b""
        self.number_first: bool = False

    def take(self, data: bytes) -> None:
        """Whole events that go to the client."""
        if self._stopped:
            return
        if self.head and data.startswith(self.head) and data.endswith(self.tail):
            inner = data[len(self.head) : len(data) - len(self.tail)]
            text = self._text_in(inner) if self.middle else inner
            if text and _QUOTE not in text and text[-1] != _BACKSLASH:
                self.add(text)
                return
        for event in split_events(data):
            self._read(event)

    def _text_in(self, inner: bytes) -> bytes:
        """The text of an event of the known form, whose number is noted; b"" of any other."""
        at = inner.find(self.middle)
        if at < 0:
            return b""
        number, text = inner[:at], inner[at + len(self.middle) :]
        if not self.number_first:
            number, text = text, number
        if not number.isdigit() or not text or _QUOTE in text:
            return b""
        self.number = int(number)
        return text

    def framed(self, text: bytes, number: int) -> bytes:
        """An event of that text, as JSON has it, in the known form; b"" before there is one."""
        if not self.head:
            return b""
        if not self.middle:
            return b"".join((self.head, text, self.tail))
        shown_number = b"%d" % number
        first, second = (shown_number, text) if self.number_first else (text, shown_number)
        return b"".join((self.head, first, self.middle, second, self.tail))

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        told = fields_of(data)
        if not told:
            if data and data != b"[DONE]":
                self.problem = self.problem or "an event is not understood"
            return
        number = bytes(told.get("sequence_number", _NOTHING))
        if number.isdigit():
            self.number = int(number)
        kind = _named(told)
        if kind in _BEGINNINGS:
            if not self.begun:
                self.begun = fields_of(bytes(told.get("response", _NOTHING)))
        elif kind == _DELTA:
            self._read_delta(event, told)
        elif kind == _ITEM_ADDED:
            item = fields_of(bytes(told.get("item", _NOTHING)))
            if self.item or _named(item) != "message":
                self.problem = "it is no text alone: a tool is called, or reasoning told"
            if not self.item:
                self.item = bytes(told.get("item", _NOTHING))
        elif kind == "response.content_part.added":
            part = fields_of(bytes(told.get("part", _NOTHING)))
            if self.part or _named(part) != "output_text":
                self.problem = "it has several parts, or another than text"
            elif bytes(part.get("text", _NOTHING)) not in _EMPTY:
                self.problem = "its first part begins with text"
            if not self.part:
                self.part = bytes(told.get("part", _NOTHING))
        elif kind in _ENDS:
            self.finished = self.done = self.told_usage = True
        elif kind == "response.failed":
            response = fields_of(bytes(told.get("response", _NOTHING)))
            self.failure = self.failure or shown(response.get("error", told["type"]))
        elif kind == "error" or bytes(told.get("error", _NOTHING)) not in _EMPTY:
            self.failure = self.failure or shown(told.get("error", msgspec.Raw(data)))
        elif kind in (_TEXT_DONE, _PART_DONE, _ITEM_DONE):
            self.problem = self.problem or "its text has ended, and what follows is not known"
        else:
            self.problem = (
                self.problem or "it is no text alone: a tool is called, or reasoning told"
            )

    def _read_delta(self, event: bytes, told: dict[str, msgspec.Raw]) -> None:
        text = bytes(told.get("delta", _NOTHING))
        if not text.startswith(_QUOTE):
            self.problem = "its content is no text"
            return
        if bytes(told.get("logprobs", _NOTHING)) not in _EMPTY:
            self.problem = "it tells log probabilities"
        if not self.place:
            self.place = {name: told[name] for name in _PLACE if name in told}
        self.add(text[1:-1])
        if len(text) > 2:
            self._learn_form_of(event, text, bytes(told.get("sequence_number", _NOTHING)))

    def _learn_form_of(self, event: bytes, text: bytes, number: bytes) -> None:
        """What stands around text and number, where that is certain."""
        at = _value_at(event, _TEXT, text)
        if at < 0:
            return
        start, end = at + 1, at + len(text) - 1
        if not number:
            self.head, self.middle, self.tail = event[:start], b"", event[end:]
            return
        numbered = _value_at(event, _NUMBER, number)
        if numbered < 0 or not number.isdigit():
            return
        behind = numbered + len(number)
        self.number_first = numbered < start
        if self.number_first:
            self.head, self.middle, self.tail = event[:numbered], event[behind:start], event[end:]
        else:
            self.head, self.middle, self.tail = event[:start], event[end:numbered], event[behind:]


class ResponseSplicer(Splicer):
    """Events under the ids, places and numbers of the engine that began."""

    def __init__(self, begun: ResponseText, answered: int) -> None:
        super().__init__(RESPONSE, begun, answered, RESPONSE)
        self._text: ResponseText = begun
        self._number: int = begun.number
        self._fresh: list[str] = []  # text of the events at hand, which ``begun`` has yet to take
        self._has_message: bool = False  # the engine that goes on told one
        self._shift: int = 0  # how much further back its other items stand

    def change(self, data: bytes) -> bytes:
        """What the client gets of whole events."""
        self._fresh = []
        return b"".join([self._changed(event) for event in split_events(data)])

    def _changed(self, event: bytes) -> bytes:
        told = object_in(event)
        if told is None:
            return event
        kind = told.get("type")
        if kind == "error" or kind == "response.failed":
            return event
        if kind == _DELTA:
            return self._text_event(told)
        if kind in _BEGINNINGS or kind == "response.content_part.added":
            return b""  # they were told
        closing = b""
        if kind == _ITEM_ADDED:
            item = told.get("item")
            if isinstance(item, dict) and item.get("type") == "message":
                self._has_message = True
                return b""
            if not self._has_message:  # another item follows the text at once
                self._has_message = True
                self._shift = 1
                closing = self._closing()
        if kind == _TEXT_DONE:
            told["text"] = self._whole()
            self._put(told)
        elif kind == _PART_DONE:
            self._end_part(told.get("part"))
            self._put(told)
        elif kind == _ITEM_DONE and self._is_message(told.get("item")):
            self._end_item(told["item"])
            if "output_index" in self._text.place:
                told["output_index"] = _value_of(self._text.place["output_index"])
        elif kind in _ENDS:
            response = told.get("response")
            if isinstance(response, dict):
                self._end(response)
        elif isinstance(told.get("output_index"), int):
            told["output_index"] += self._shift
        return closing + self._event(told)

    def _event(self, told: dict[str, Any]) -> bytes:
        if self._text.number >= 0:
            self._number += 1
            told["sequence_number"] = self._number
        else:
            told.pop("sequence_number", None)
        kind = str(told["type"]).encode("utf-8", "replace")
        return b"event: %b\ndata: %b\n\n" % (kind, msgspec.json.encode(told))

    def _text_event(self, told: dict[str, Any]) -> bytes:
        text = told.get("delta")
        if not isinstance(text, str) or text == "":
            return b""
        self._fresh.append(text)
        framed = self._text.framed(msgspec.json.encode(text)[1:-1], self._number + 1)
        if framed:
            self._number += 1
            return framed
        self._put(told)
        return self._event(told)

    def _whole(self) -> str:
        """All of the text, as far as it came."""
        try:
            return self._text.text() + "".join(self._fresh)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "".join(self._fresh)

    def _put(self, told: dict[str, Any]) -> None:
        """Where the text stands."""
        for name in _PLACE:
            if name in self._text.place:
                told[name] = _value_of(self._text.place[name])
            else:
                told.pop(name, None)

    def _is_message(self, item: Any) -> bool:
        return isinstance(item, dict) and item.get("type") == "message"

    def _end_part(self, part: Any) -> None:
        if isinstance(part, dict) and part.get("type") == "output_text":
            part["text"] = self._whole()

    def _end_item(self, item: Any) -> None:
        if not isinstance(item, dict):
            return
        begun = fields_of(self._text.item)
        if "id" in begun:
            item["id"] = _value_of(begun["id"])
        content = item.get("content")
        if isinstance(content, list) and len(content) > 0:
            self._end_part(content[0])

    def _closing(self) -> bytes:
        """The ends of the text that was begun, where the engine that goes on has none for it."""
        whole = self._whole()
        text: dict[str, Any] = {"type": _TEXT_DONE, "text": whole, "logprobs": []}
        self._put(text)
        part = self._closed_part(whole)
        part_done: dict[str, Any] = {"type": _PART_DONE, "part": part}
        self._put(part_done)
        item_done: dict[str, Any] = {"type": _ITEM_DONE, "item": self._closed_item(part)}
        if "output_index" in self._text.place:
            item_done["output_index"] = _value_of(self._text.place["output_index"])
        return b"".join([self._event(each) for each in (text, part_done, item_done)])

    def _closed_part(self, whole: str) -> dict[str, Any]:
        part = {name: _value_of(raw) for name, raw in fields_of(self._text.part).items()}
        part["type"] = "output_text"
        part["text"] = whole
        return part

    def _closed_item(self, part: dict[str, Any]) -> dict[str, Any]:
        item = {name: _value_of(raw) for name, raw in fields_of(self._text.item).items()}
        item["status"] = "completed"
        item["content"] = [part]
        return item

    def _end(self, response: dict[str, Any]) -> None:
        """What the whole response is, which its last event tells."""
        for name, raw in self._text.begun.items():
            if name not in _OF_THE_END:
                response[name] = _value_of(raw)
        output = response.get("output")
        if isinstance(output, list):
            if self._shift:
                output.insert(0, self._closed_item(self._closed_part(self._whole())))
            elif len(output) > 0 and self._is_message(output[0]):
                self._end_item(output[0])
        if isinstance(response.get("output_text"), str):
            response["output_text"] = self._whole()
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._add_answered_here(usage)

    def _add_answered_here(self, usage: dict[str, Any]) -> None:
        answered = self._answered
        given, output = usage.get("input_tokens"), usage.get("output_tokens")
        if not isinstance(given, int) or not isinstance(output, int):
            return
        usage["input_tokens"] = max(given - answered, 0)
        usage["output_tokens"] = output + answered
        details = usage.get("input_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
            details["cached_tokens"] = min(details["cached_tokens"], max(given - answered, 0))


def _named(told: dict[str, msgspec.Raw]) -> str:
    """The type of an object."""
    return bytes(told.get("type", _NOTHING)).strip(_QUOTE).decode("utf-8", "replace")


def _value_of(raw: msgspec.Raw) -> Any:
    return bodies.anything.decode(bytes(raw))


def _value_at(event: bytes, key: bytes, value: bytes) -> int:
    """Where the value of a key begins that is there once; else -1."""
    if event.count(key) != 1:
        return -1
    at = event.find(key) + len(key)
    while event.startswith(b" ", at):
        at += 1
    return at if event.startswith(value, at) else -1
