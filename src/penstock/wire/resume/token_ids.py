"""Token ids that an engine is asked for in its client's stead: kept, and hidden from the client.

A prompt of ids goes on exactly where the answer was cut, which its text may not: the same text can
be cut into other tokens. Engines tell them in one of two ways:

- asked with ``return_token_ids``, those of the prompt in the first event and those of each piece in
  every event: vLLM (``ChatCompletionStreamResponse``, ``CompletionStreamResponse``), and SGLang in
  text completions (sglang#30917; it refuses to in streamed chats);
- among the probabilities of each token, and nothing of the prompt: llama.cpp. In its own
  completions it tells them by ``return_tokens``, with the number of those that came.
"""

from typing import Final

import msgspec

from penstock.wire.openai import CHAT, COMPLETION, LLAMACPP
from penstock.wire.resume import told
from penstock.wire.resume.events import data_of, split_events

# Ways to tell them, as engines' dialects name theirs.
FIELDS: Final = 0  # also of engines that are not known: one that refuses is asked without
PROBABILITIES: Final = 1
NO_WAY: Final = 2
APIS_WITH_IDS: Final = (CHAT, COMPLETION, LLAMACPP)
# Both keys end so. Inside of a text the quote would be escaped, so what stands there is a key.
_KEY_END: Final = b'token_ids"'
_PROMPTS: Final = b'"prompt_'
_LOGPROBS: Final = b'"logprobs"'
_TOKENS: Final = b'"tokens":['
_QUOTE: Final = 34
_COMMA: Final = 44
_COLON: Final = 58
_BRACKET: Final = 91
_BLANKS: Final = b" \t\r\n"


def wish_for_ids(api: int, way: int, json: bytes) -> bytes:
    """What is written behind the brace that opens a request to ask for them; b"" where they cannot
    be asked for, or the client asks for what would tell them."""
    if api not in APIS_WITH_IDS or way == NO_WAY:
        return b""
    if api == LLAMACPP:
        return b"" if b'"return_tokens"' in json else b'"return_tokens":true,'
    if way == FIELDS:
        return b"" if b'"return_token_ids"' in json else b'"return_token_ids":true,'
    if _LOGPROBS in json or b'"top_logprobs"' in json:
        return b""
    return b'"logprobs":true,"top_logprobs":1,' if api == CHAT else b'"logprobs":1,'


class TokenIds:
    """Of one answer, whose whole events go through here, whoever tells them."""

    def __init__(self, api: int) -> None:
        self.prompt: list[int] = []  # empty where it was not told
        self.answer: list[int] = []
        self.events: int = 0  # that told some of the answer's
        self.way: int = FIELDS
        self.api: int = api  # through which the events at hand come
        self._told: int = 0  # by the engine at hand, of llama.cpp's own

    def begin(self, way: int) -> None:
        """Events come of another engine from here on, which tells them so."""
        self.way = way
        self._told = 0

    def take_out(self, data: bytes, texts: bool) -> bytes:
        """The events without ids. ``texts``: what they bring counts as the answer's."""
        if self.api == LLAMACPP:
            if _TOKENS not in data:
                return data
            return b"".join([self._without_tokens(event, texts) for event in split_events(data)])
        if self.way == PROBABILITIES:
            if _LOGPROBS not in data:
                return data
            return b"".join([self._without(event, texts) for event in split_events(data)])
        return self._take_fields(data, texts)

    def _without(self, event: bytes, texts: bool) -> bytes:
        """An event without its probabilities. An id counts only where the bytes of its token are
        what the event tells: llama.cpp leaves those out of which a character is not whole."""
        try:
            brought = told.probable_event.decode(data_of(event))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return event
        if not brought.choices:
            return event
        choice = brought.choices[0]
        raw = bytes(choice.logprobs)
        if not raw.startswith(b"{"):
            return event
        tokens = _tokens_in(raw)
        text = choice.delta.content if choice.delta is not None else choice.text
        if (
            texts
            and tokens
            and b"".join([bytes(each.bytes) for each in tokens]) == (text or "").encode()
        ):
            self.answer += [each.id for each in tokens]
            self.events += 1
        if event.count(raw) != 1:
            return event
        start = event.find(raw)
        end = start + len(raw)
        if self.api == COMPLETION:  # which has it null where nobody asked
            return b"%bnull%b" % (event[:start], event[end:])
        start = event.rfind(_LOGPROBS, 0, start)
        start, end = _with_comma(event, start, end, 0)
        return event[:start] + event[end:]

    def _without_tokens(self, event: bytes, texts: bool) -> bytes:
        """An event with no ids in their list. They count while all are there: llama.cpp leaves out
        those of which a character is not whole."""
        at = event.find(_TOKENS)
        start = at + len(_TOKENS)
        end = event.find(b"]", start)
        if at < 0 or end < 0:
            return event
        if texts:
            try:
                brought = told.counted_event.decode(data_of(event))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return event
            self._told += len(brought.tokens)
            if brought.tokens and self._told == brought.tokens_predicted:
                self.answer += brought.tokens
                self.events += 1
        return event[:start] + event[end:]

    def _take_fields(self, data: bytes, texts: bool) -> bytes:
        at = data.find(_KEY_END)
        if at < 0:
            return data
        kept: list[bytes] = []
        done = 0
        while at >= 0:
            behind = at + len(_KEY_END)
            of_prompt = data.endswith(_PROMPTS, done, at)
            start = at - len(_PROMPTS) if of_prompt else at - 1
            value = _after_colon(data, behind)
            end = _end_of_ids(data, value) if start >= done and data[start] == _QUOTE else -1
            if end >= 0:
                if texts and data[value] == _BRACKET:
                    self._take(data[value + 1 : end - 1], of_prompt)
                start, end = _with_comma(data, start, end, done)
                kept.append(data[done:start])
                done = behind = end
            at = data.find(_KEY_END, behind)
        kept.append(data[done:])
        return b"".join(kept)

    def _take(self, listed: bytes, of_prompt: bool) -> None:
        if b"," in listed:
            ids = [int(each) for each in listed.split(b",")]
        else:
            single = listed.strip()
            ids = [int(single)] if single else []
        if of_prompt:
            if not self.prompt:
                self.prompt = ids
        elif ids:
            self.answer += ids
            self.events += 1


def _tokens_in(raw: bytes) -> list[told.Token]:
    try:
        return told.probabilities.decode(raw).content or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _after_colon(data: bytes, at: int) -> int:
    """Where the value of a key begins that ends there; -1 where none follows."""
    size = len(data)
    while at < size and data[at] in _BLANKS:
        at += 1
    if at >= size or data[at] != _COLON:
        return -1
    at += 1
    while at < size and data[at] in _BLANKS:
        at += 1
    return at if at < size else -1


def _end_of_ids(data: bytes, at: int) -> int:
    """Where the ids end that begin there; -1 of anything else."""
    if at < 0:
        return -1
    if data.startswith(b"null", at):
        return at + 4
    if data[at] != _BRACKET:
        return -1
    end = data.find(b"]", at)
    if end < 0 or data[at + 1 : end].strip(b"0123456789, \t\r\n"):
        return -1
    return end + 1


def _with_comma(data: bytes, start: int, end: int, done: int) -> tuple[int, int]:
    """A field with the comma that parts it from another, before it or else behind it."""
    before = start - 1
    while before >= done and data[before] in _BLANKS:
        before -= 1
    if before >= done and data[before] == _COMMA:
        return before, end
    size = len(data)
    behind = end
    while behind < size and data[behind] in _BLANKS:
        behind += 1
    return (start, behind + 1) if behind < size and data[behind] == _COMMA else (start, end)
